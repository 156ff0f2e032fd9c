// Preloaded into cgoprof, where strace can't be: one call of the C library, the Nth of its name, fails or kills the process.
//
//   FAULT=NAME:N:ERRNO   ERRNO 0 kills; counted in each process
//   FAULT_FIRED=FILE     is made when that has happened
//   FAULT_COUNTS=FILE    appends the name of each call, to be counted
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

typedef long (*call)(long, long, long, long, long, long);

static char name[32];
static long when, number, made;
static int counts = -1;
static const char *fired;

// Without the calls that are to fail.
static long raw(long nr, long a, long b, long c, long d) {
	long result;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return result;
}

__attribute__((constructor)) static void begin(void) {
	char exe[256] = {0};
	raw(SYS_readlink, (long)"/proc/self/exe", (long)exe, sizeof exe - 1, 0);
	fired = getenv("FAULT_FIRED");
	const char *file = strrchr(exe, '/'), *fault = getenv("FAULT"), *list = getenv("FAULT_COUNTS");
	if (!file || strcmp(file, "/cgoprof"))
		return;
	if (fault)
		sscanf(fault, "%31[^:]:%ld:%ld", name, &when, &number);
	if (list)
		counts = raw(SYS_open, (long)list, O_WRONLY | O_CREAT | O_APPEND, 0600, 0);
}

static int fails(const char *called) {
	if (counts >= 0) {
		char line[40];
		raw(SYS_write, counts, (long)line, snprintf(line, sizeof line, "%s\n", called), 0);
	}
	if (strcmp(called, name) || __atomic_add_fetch(&made, 1, __ATOMIC_SEQ_CST) != when)
		return 0;
	if (fired)
		raw(SYS_open, (long)fired, O_WRONLY | O_CREAT | O_CLOEXEC, 0600, 0);
	if (number == 0)
		raw(SYS_kill, raw(SYS_getpid, 0, 0, 0, 0), 9, 0, 0);
	return 1;
}

// A call that fails so; its own name would clash with the headers'.
#define FAULTY(fn, failure)                                                          \
	long faulty_##fn(long, long, long, long, long, long) __asm__(#fn);           \
	long faulty_##fn(long a, long b, long c, long d, long e, long f) {           \
		static call real;                                                    \
		if (!real)                                                           \
			real = (call)dlsym(RTLD_NEXT, #fn);                          \
		if (fails(#fn)) {                                                    \
			errno = (int)number;                                         \
			return failure;                                              \
		}                                                                    \
		return real(a, b, c, d, e, f);                                       \
	}

FAULTY(ptrace, -1)
FAULTY(waitpid, -1)
FAULTY(waitid, -1)
FAULTY(process_vm_readv, -1)
FAULTY(process_vm_writev, -1)
FAULTY(pread64, -1)
FAULTY(pwrite64, -1)
FAULTY(read, -1)
FAULTY(write, -1)
FAULTY(open64, -1)
FAULTY(openat64, -1)
FAULTY(mmap64, -1)
FAULTY(mmap, -1)
FAULTY(munmap, -1)
FAULTY(ftruncate64, -1)
FAULTY(fork, -1)
FAULTY(readlink, -1)
FAULTY(opendir, 0)
FAULTY(ioctl, -1)
FAULTY(eventfd, -1)
FAULTY(timerfd_create, -1)
FAULTY(poll, -1)
FAULTY(kill, -1)
FAULTY(pthread_create, number)
FAULTY(sched_getaffinity, -1)
FAULTY(sigaction, -1)
FAULTY(sigprocmask, -1)
FAULTY(pthread_sigmask, number)
FAULTY(socket, -1)
FAULTY(bind, -1)
FAULTY(rename, -1)
FAULTY(statx, -1)
FAULTY(fcntl64, -1)
FAULTY(fcntl, -1)
FAULTY(prctl, -1)
FAULTY(setpgid, -1)
FAULTY(execve, -1)
FAULTY(execvp, -1)
FAULTY(getrlimit64, -1)
FAULTY(personality, -1)

// The number of the call, and six arguments.
long faulty_syscall(long, long, long, long, long, long, long) __asm__("syscall");
long faulty_syscall(long which, long a, long b, long c, long d, long e, long f) {
	static long (*real)(long, long, long, long, long, long, long);
	if (!real)
		real = dlsym(RTLD_NEXT, "syscall");
	if (fails("syscall")) {
		errno = (int)number;
		return -1;
	}
	return real(which, a, b, c, d, e, f);
}
