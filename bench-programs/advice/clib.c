#define _GNU_SOURCE
#include "clib.h"
#include <time.h>

// Go's.
extern void goEach(int index);

static long now_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

int add(int a, int b) { return a + b; }

void sleep_ms(int ms) {
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
	nanosleep(&t, 0);
}

void glFlush(void) {}

long sum(long *values, int count) {
	long sum = 0;
	for (int i = 0; i < count; i++)
		sum += values[i];
	return sum;
}

void each(int count) {
	for (int i = 0; i < count; i++)
		goEach(i);
}

void setup(void) { work_us(40000); }

void work_us(int us) {
	long end = now_ns() + us * 1000L;
	while (now_ns() < end) {
	}
}
