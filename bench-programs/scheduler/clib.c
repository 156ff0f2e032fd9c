#define _GNU_SOURCE
#include "clib.h"
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Go's.
extern void goVisit(int depth, long nanos);
extern void goWork(void);

long now_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

int thread_id(void) { return syscall(SYS_gettid); }

// Returns when it was done.
long sleep_for(long nanos) {
	struct timespec left = {nanos / 1000000000L, nanos % 1000000000L};
	// Go's signals may come in between.
	while (nanosleep(&left, &left) != 0 && errno == EINTR) {
	}
	return now_ns();
}

void sleep_here(long nanos) { sleep_for(nanos); }

static void spin(long nanos) {
	long end = now_ns() + nanos;
	while (now_ns() < end) {
	}
}

void work(void) { spin(20000); }

static long spent;

// Works, calls Go, works again: only its own work is spent here.
void visit(int depth, long nanos) {
	long begin = now_ns();
	spin(nanos);
	spent += now_ns() - begin;
	goVisit(depth, nanos);
	begin = now_ns();
	spin(nanos);
	spent += now_ns() - begin;
}

long spent_ns(void) { return spent; }

static void *calls_go(void *calls) {
	for (long i = 0; i < (long)calls; i++)
		goWork();
	return 0;
}

void call_from_threads(int threads, int calls) {
	pthread_t all[64];
	for (int i = 0; i < threads; i++)
		pthread_create(&all[i], 0, calls_go, (void *)(long)calls);
	for (int i = 0; i < threads; i++)
		pthread_join(all[i], 0);
}
