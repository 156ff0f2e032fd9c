#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "_cgo_export.h"
#include "hard.h"

static atomic_int over;

void end_all(void) { over = 1; }

// Threads that Go does not know come, call it a few times, and go.
static atomic_long strangers;

static void *stranger(void *unused) {
	(void)unused;
	for (int call = 0; call < 3; call++) {
		greet();
		strangers++;
	}
	return 0;
}

void run_strangers(void) {
	while (!over) {
		pthread_t threads[4];
		for (int i = 0; i < 4; i++)
			pthread_create(&threads[i], 0, stranger, 0);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], 0);
	}
}

long strangers_called(void) { return strangers; }

// Sleeps on a stack of C's own, far from the one that it was called on.
static _Thread_local ucontext_t caller, own;
static _Thread_local int nap;

static void sleep_there(void) { usleep(nap); }

void nap_on_own_stack(int micros) {
	const size_t size = 64 << 10;
	char *stack = malloc(size);
	nap = micros;
	getcontext(&own);
	own.uc_stack.ss_sp = stack;
	own.uc_stack.ss_size = size;
	own.uc_link = &caller;
	makecontext(&own, sleep_there, 0);
	swapcontext(&caller, &own);
	free(stack);
}

// Sends itself signals that are queued, each of which must come.
static atomic_int handled;

static void on_signal(int number, siginfo_t *info, void *context) {
	(void)number, (void)context;
	handled += info->si_value.sival_int;
}

int take_signals(void) {
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	sigaction(SIGRTMIN + 5, &action, 0);
	int sent = 0;
	while (!over) {
		union sigval one = {.sival_int = 1};
		if (sigqueue(getpid(), SIGRTMIN + 5, one) == 0)
			sent++;
		if (sent % 64 == 0)
			usleep(100);
	}
	usleep(200000);
	return sent;
}

int signals_handled(void) { return handled; }

void touch(int *p) { ++*p; }
