#define _GNU_SOURCE
#include "work.h"
#include "_cgo_export.h"

#include <time.h>

#define APART __attribute__((noinline, noclone))

static long long worked[LEAVES];

static long long now(void) {
	struct timespec time;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// Each leaf has a loop of its own, so that samples fall into it and not into a function that all share.
#define LEAF(name, leaf)                                                        \
	APART static unsigned name(unsigned seed, int rounds) {                     \
		long long start = now();                                                \
		for (int i = 0; i < rounds * 1000; i++) {                               \
			seed = seed * 1664525u + 1013904223u;                               \
			__asm__ volatile("" : "+r"(seed));                                  \
		}                                                                       \
		__atomic_fetch_add(&worked[leaf], now() - start, __ATOMIC_RELAXED);     \
		return seed;                                                            \
	}

LEAF(light, LIGHT)
LEAF(heavy, HEAVY)
LEAF(middle_work, MIDDLE)
LEAF(bottom, BOTTOM)

APART static unsigned middle(unsigned seed, int rounds) {
	seed = middle_work(seed, 2 * rounds);
	return bottom(seed, 3 * rounds) + 1;
}

void outer(int rounds) {
	unsigned seed = light(1, rounds);
	seed = middle(seed, rounds);
	__asm__ volatile("" : : "r"(seed));
}

void other(int rounds) {
	unsigned seed = heavy(2, 4 * rounds);
	__asm__ volatile("" : : "r"(seed));
}

void through_go(int rounds) {
	goOther(rounds);
	__asm__ volatile("");
}

long long worked_ns(int leaf) {
	return __atomic_load_n(&worked[leaf], __ATOMIC_RELAXED);
}
