#include "clib.h"

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <time.h>

enum { SPIN, SPIN_SHORT, PAUSE, TAIL, MIXED, CLOCKS };

// From here on, in nanoseconds, a preemption between two readings of its clock holds a function up.
enum { HELD_UP = 10000 };

static long spent[CLOCKS];
static long held[CLOCKS];
static volatile int sink;

static long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void took(int which, long since) { __atomic_add_fetch(&spent[which], now() - since, __ATOMIC_RELAXED); }

// A reading of the clock after the last one. If that is long ago, and another thread has had the processor, it was held up.
static long next(int which, long last) {
	static __thread long switches;
	long at = now();
	if (at - last >= HELD_UP) {
		struct rusage used;
		getrusage(RUSAGE_THREAD, &used);
		if (used.ru_nivcsw != switches) __atomic_add_fetch(&held[which], at - last, __ATOMIC_RELAXED);
		switches = used.ru_nivcsw;
	}
	return at;
}

long held_ns(int which) { return __atomic_load_n(&held[which], __ATOMIC_RELAXED); }

long spent_ns(int which) { return __atomic_load_n(&spent[which], __ATOMIC_RELAXED); }

void nop(void) {}

int add(int a, int b) { return a + b; }

static void spin_for(int which, long nanos) {
	long start = now(), at = start;
	while (at - start < nanos) {
		at = next(which, at);
		sink++;
	}
	__atomic_add_fetch(&spent[which], next(which, at) - start, __ATOMIC_RELAXED);
}

void spin(long nanos) { spin_for(SPIN, nanos); }

void spin_short(long nanos) { spin_for(SPIN_SHORT, nanos); }

void pause_for(long nanos) {
	long start = now();
	struct timespec left = {nanos / 1000000000L, nanos % 1000000000L};
	while (nanosleep(&left, &left) != 0) {}
	took(PAUSE, start);
}

// One call in 2 000, on average and at random, takes 200 us.
void tail(void) {
	static __thread unsigned long state = 88172645463325252UL;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	if (state % 2000 == 0) spin_for(TAIL, 200000);
}

// Takes 100 ns to 1 us at random.
void mixed(void) {
	static __thread unsigned long state = 88172645463325252UL;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	spin_for(MIXED, 100 + state % 900);
}

int fails(int code) {
	errno = code;
	return -1;
}

extern void goNested(int depth);
extern void goOnce(void);
extern void goPanic(int how);

void call_back(int depth) { goNested(depth); }

void call_back_once(void) { goOnce(); }

void call_back_panic(int how) { goPanic(how); }

void leaf(void) { sink++; }

static void *foreign(void *calls) {
	for (long i = 0; i < (long)calls; i++) goOnce();
	return 0;
}

void run_foreign_threads(int threads, int calls) {
	pthread_t ids[64];
	for (int i = 0; i < threads; i++) pthread_create(&ids[i], 0, foreign, (void *)(long)calls);
	for (int i = 0; i < threads; i++) pthread_join(ids[i], 0);
}

// Forks. The child ends in C (0), calls back and ends (1), becomes another program (2), or returns 1 (3). The parent waits
// for it and returns 0. Go is not made for being forked: in a child it may wait for threads that are not there, so that a
// child that goes on in Go is ended after a while.
int fork_once(int how) {
	pid_t child = fork();
	if (child == 0) {
		signal(SIGALRM, SIG_DFL);
		if (how % 2 == 1) ualarm(20000, 0);
		if (how == 1) goOnce();
		if (how == 2) execl("/bin/true", "true", (char *)0);
		if (how == 3) return 1;
		_exit(0);
	}
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) != child) abort();
	int waited = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
	if (status != 0 && !(waited && how % 2 == 1)) abort();
	return 0;
}

void leave(void) { _exit(0); }
