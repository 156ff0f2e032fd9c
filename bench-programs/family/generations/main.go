// Generations is a program that starts itself in every way that Go has. Each process writes its number of crossings to a file
// named by its process and its number of arguments, in the folder $COUNTS.
//
// Usage: generations STEP...; the steps after one that starts processes are those of what it starts:
//
//	cross N    crosses N times
//	fork N     starts N processes at the same time, and waits for them
//	each N     starts N processes one after the other
//	shell      starts a shell that starts one
//	daemon     starts one with a session of its own, and does not wait for it
//	spaces     starts one in a user namespace and a PID namespace of its own
//	exec       becomes one, with the same process id
//	command    starts another program, of which these are the name and the arguments
//	become     becomes another program, of which these are the name and the arguments
//	untraced   fails if one of its threads has a tracer
//	fail       tries to become a program that does not exist
//	pause N    sleeps N milliseconds
//	status N   sets its exit status
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"cgoprof.bench/family/border"
)

var status int

func main() {
	steps := os.Args[1:]
	for len(steps) > 0 {
		step := steps[0]
		steps = steps[1:]
		number := func() int {
			n, err := strconv.Atoi(steps[0])
			check(err)
			steps = steps[1:]
			return n
		}
		switch step {
		case "cross":
			n := number()
			border.Cross(n)
		case "pause":
			time.Sleep(time.Duration(number()) * time.Millisecond)
		case "status":
			status = number()
		case "fail":
			if syscall.Exec("/nowhere", []string{"nowhere"}, os.Environ()) == nil {
				panic("it was executed")
			}
		case "fork":
			var group sync.WaitGroup
			for n := number(); n > 0; n-- {
				group.Add(1)
				go func() {
					defer group.Done()
					run(itself(steps))
				}()
			}
			group.Wait()
			end()
		case "each":
			for n := number(); n > 0; n-- {
				run(itself(steps))
			}
			end()
		case "shell":
			script := append([]string{"-c", `"$0" "$@" & wait`, os.Args[0]}, steps...)
			run(exec.Command("sh", script...))
			end()
		case "daemon":
			command := itself(steps)
			command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			check(command.Start())
			end()
		case "spaces":
			command := itself(steps)
			ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			command.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
				UidMappings: ids,
			}
			run(command)
			end()
		case "command":
			command := exec.Command(steps[0], steps[1:]...)
			command.Stdout = os.Stdout
			run(command)
			end()
		case "become":
			path, err := exec.LookPath(steps[0])
			check(err)
			writeCount()
			check(syscall.Exec(path, steps, os.Environ()))
		case "untraced":
			files, err := filepath.Glob("/proc/self/task/*/status")
			check(err)
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err == nil && !strings.Contains(string(text), "TracerPid:\t0\n") {
					panic(file + " has a tracer")
				}
			}
		case "exec":
			writeCount()
			check(syscall.Exec(os.Args[0], append([]string{os.Args[0]}, steps...), os.Environ()))
		default:
			panic("unknown step " + step)
		}
	}
	end()
}

func itself(steps []string) *exec.Cmd {
	command := exec.Command(os.Args[0], steps...)
	command.Stderr = os.Stderr
	return command
}

func run(command *exec.Cmd) {
	check(command.Run())
}

func end() {
	writeCount()
	os.Exit(status)
}

func writeCount() {
	if os.Getenv("COUNTS") == "" {
		panic("COUNTS names no folder")
	}
	name := fmt.Sprintf("%d.%d", os.Getpid(), len(os.Args))
	check(os.WriteFile(filepath.Join(os.Getenv("COUNTS"), name), []byte(fmt.Sprint(runtime.NumCgoCall())), 0o644))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
