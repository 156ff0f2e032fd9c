// Actor makes a thousand crossings, then does what its argument says: for the tests of `record` as a launcher.
package main

/*
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int pipe_ignored;
// The masks of blocked and of ignored signals, before Go changes them.
static char masks[2][64];
__attribute__((constructor)) static void note(void) {
	char line[256];
	FILE *status = fopen("/proc/self/status", "r");
	while (fgets(line, sizeof line, status)) {
		if (!strncmp(line, "SigBlk:", 7)) strncpy(masks[0], line, sizeof masks[0] - 1);
		if (!strncmp(line, "SigIgn:", 7)) strncpy(masks[1], line, sizeof masks[1] - 1);
	}
	fclose(status);
	struct sigaction present;
	sigaction(SIGPIPE, 0, &present);
	pipe_ignored = present.sa_handler == SIG_IGN;
}
static int sigpipe_ignored(void) { return pipe_ignored; }
static char *mask(int which) { return masks[which]; }
static void lock_memory(void) { mlockall(MCL_CURRENT | MCL_FUTURE); }

extern void goEnd(int);
static void call_back(int millis) { goEnd(millis); }

// Has calls of memfd_create and the like end as action says, for all threads.
static int filter(unsigned action, int call) {
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, code};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

// Has calls of mmap for code end the process.
static int filter_code(void) {
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {6, code};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static int twice(int n) { return 2 * n; }
static void segv(void) { *(volatile int *)8 = 1; }
static void do_abort(void) { signal(SIGABRT, SIG_DFL); abort(); }
*/
import "C"

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func cross() (sum int) {
	for i := 0; i < 1000; i++ {
		sum += int(C.twice(C.int(i)))
	}
	return sum
}

func main() {
	cross()
	switch os.Getenv("ACTOR_FILTER") {
	case "kill":
		C.filter(C.SECCOMP_RET_KILL_PROCESS, C.SYS_memfd_create)
	case "kill-code":
		C.filter_code()
	case "refuse":
		C.filter(C.SECCOMP_RET_ERRNO|1, C.SYS_memfd_create)
	case "refuse-mmap":
		C.filter(C.SECCOMP_RET_ERRNO|1, C.SYS_madvise)
	}
	if os.Getenv("ACTOR_LOCKED") != "" {
		C.lock_memory()
	}
	if os.Getenv("ACTOR_WAIT") != "" {
		// For a recorder that joins.
		fmt.Println("ready")
		_, _ = os.Stdin.Read(make([]byte, 1))
		cross()
	}
	number := 0
	if len(os.Args) > 2 {
		number, _ = strconv.Atoi(os.Args[2])
	}
	switch os.Args[1] {
	case "echo":
		io.Copy(os.Stdout, os.Stdin)
		fmt.Fprintln(os.Stderr, "to stderr")
		os.Exit(number)
	case "sigpipe":
		fmt.Println("ignored at start:", C.sigpipe_ignored())
	case "signals":
		fmt.Print(C.GoString(C.mask(0)), C.GoString(C.mask(1)))
	case "abort":
		C.do_abort()
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "segv":
		C.segv()
	case "wait":
		wait(map[os.Signal]int{os.Interrupt: 3, syscall.SIGTERM: 4})
	case "stubborn":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
		wait(nil)
	case "panic":
		panic("on the Go side")
	case "panic-in-callback":
		C.call_back(-1)
	case "callback":
		C.call_back(C.int(number))
	case "daemon":
		child, err := os.StartProcess("/bin/sleep", []string{"sleep", "60"}, &os.ProcAttr{
			Sys: &syscall.SysProcAttr{Setsid: true},
		})
		if err != nil {
			panic(err)
		}
		fmt.Println(child.Pid)
	case "exec":
		syscall.Exec("/bin/sleep", []string{"sleep", os.Args[2]}, nil)
	case "exec-self":
		// Once: the second has one argument less.
		time.Sleep(time.Second)
		syscall.Exec("/proc/self/exe", []string{"actor", "sleep", "1000"}, os.Environ())
	case "sleep":
		time.Sleep(time.Duration(number) * time.Millisecond)
	}
}

// wait ends with the status that belongs to a signal.
func wait(status map[os.Signal]int) {
	signals := make(chan os.Signal, 1)
	for s := range status {
		signal.Notify(signals, s)
	}
	fmt.Println("ready")
	os.Exit(status[<-signals])
}
