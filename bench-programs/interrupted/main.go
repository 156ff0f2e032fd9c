// Command interrupted waits in system calls of C that end with EINTR when their thread is stopped, and counts how often they do.
// It answers each line with what it has counted, as JSON.
package main

/*
#define _GNU_SOURCE
#include <errno.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { EPOLL, SEMOP, SIGWAIT, IO_EVENTS, EPOLL_LIMITED, SEMOP_LIMITED, SIGWAIT_LIMITED, IO_EVENTS_LIMITED, RECV_LIMITED, CALLS };

static int interrupted[CALLS], returned[CALLS];

static long wait_in(int which) {
	struct timespec limit = {1000, 0};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 8);
	int limited = which >= EPOLL_LIMITED;
	switch (which) {
	case EPOLL:
	case EPOLL_LIMITED: {
		static int epoll;
		struct epoll_event event;
		if (!epoll) epoll = epoll_create1(0);
		return epoll_wait(epoll, &event, 1, limited ? 1000000 : -1);
	}
	case SEMOP:
	case SEMOP_LIMITED: {
		static int set[2];
		struct sembuf take = {0, -1, 0};
		if (!set[limited]) set[limited] = semget(IPC_PRIVATE, 1, 0600);
		return semtimedop(set[limited], &take, 1, limited ? &limit : 0);
	}
	case SIGWAIT:
	case SIGWAIT_LIMITED:
		return sigtimedwait(&set, 0, limited ? &limit : 0);
	case IO_EVENTS:
	case IO_EVENTS_LIMITED: {
		static aio_context_t context[2];
		struct io_event event;
		if (!context[limited]) syscall(SYS_io_setup, 4, &context[limited]);
		return syscall(SYS_io_getevents, context[limited], 1, 1, &event, limited ? &limit : 0);
	}
	default: {
		static int ends[2];
		struct timeval limit = {1000, 0};
		char byte;
		if (!ends[0]) {
			socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
			setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		}
		return recv(ends[0], &byte, 1, 0);
	}
	}
}

static void *wait_on(void *which) {
	// No signal of Go's comes here.
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, 0);
	for (;;) {
		int *count = wait_in((long)which) < 0 && errno == EINTR ? interrupted : returned;
		__atomic_fetch_add(&count[(long)which], 1, __ATOMIC_RELAXED);
	}
}
static void begin(void) {
	for (long which = 0; which < CALLS; which++) {
		pthread_t thread;
		pthread_create(&thread, 0, wait_on, (void *)which);
	}
}
static int count(int which) { return __atomic_load_n(&interrupted[which], __ATOMIC_RELAXED); }
static int others(int which) { return __atomic_load_n(&returned[which], __ATOMIC_RELAXED); }
*/
import "C"

import (
	"bufio"
	"encoding/json"
	"os"
)

var names = [C.CALLS]string{"epoll_wait", "semop", "sigtimedwait", "io_getevents",
	"epoll_wait limited", "semop limited", "sigtimedwait limited", "io_getevents limited", "recv limited"}

func main() {
	C.begin()
	answers := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		counts := map[string]C.int{}
		for which, name := range names {
			counts[name] = C.count(C.int(which))
			if C.others(C.int(which)) != 0 {
				panic(name + " has returned")
			}
		}
		answers.Encode(counts)
	}
}
