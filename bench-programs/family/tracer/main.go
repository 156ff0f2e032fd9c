// Tracer is a program that crosses, and traces what it starts, as debuggers do. It exits with the status of that.
//
// Usage: tracer COMMAND ARGUMENT...
package main

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"cgoprof.bench/family/border"
)

func main() {
	border.Cross(10)
	// Only the thread that traces may wait.
	runtime.LockOSThread()
	command := exec.Command(os.Args[1], os.Args[2:]...)
	command.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	check(command.Start())
	var status syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(command.Process.Pid, &status, 0, nil)
		check(err)
		if status.Exited() {
			break
		}
		check(syscall.PtraceCont(pid, 0))
	}
	border.WriteCount()
	os.Exit(status.ExitStatus())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
