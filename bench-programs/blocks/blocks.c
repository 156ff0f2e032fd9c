#define _GNU_SOURCE
#include "blocks.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define PAGE_FILE (64 << 20)

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static int written[2], synced = -1, mapped = -1;
static _Atomic long sums[WAYS];

static long now(clockid_t clock)
{
	struct timespec at;
	clock_gettime(clock, &at);
	return at.tv_sec * 1000000000L + at.tv_nsec;
}

static void rest(long nanos)
{
	struct timespec length = { nanos / 1000000000L, nanos % 1000000000L };
	nanosleep(&length, NULL);
}

static void *hold(void *unused)
{
	for (;;) {
		pthread_mutex_lock(&held);
		rest(6000000);
		pthread_mutex_unlock(&held);
		rest(300000);
	}
	return unused;
}

static void *write_bytes(void *unused)
{
	for (;;) {
		rest(6000000);
		if (write(written[1], "x", 1) < 0)
			abort();
	}
	return unused;
}

int prepare(const char *folder)
{
	char path[4096];
	pthread_t thread;
	snprintf(path, sizeof path, "%s/synced", folder);
	synced = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	snprintf(path, sizeof path, "%s/mapped", folder);
	mapped = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (synced < 0 || mapped < 0 || ftruncate(mapped, PAGE_FILE) < 0 || pipe(written) < 0)
		return -1;
	char *block = malloc(1 << 20);
	memset(block, 1, 1 << 20);
	for (int at = 0; at < PAGE_FILE >> 20; at++)
		if (pwrite(mapped, block, 1 << 20, (off_t)at << 20) < 0)
			return -1;
	free(block);
	if (fsync(mapped) < 0)
		return -1;
	return pthread_create(&thread, NULL, hold, NULL) || pthread_create(&thread, NULL, write_bytes, NULL) ? -1 : 0;
}

static NOINLINE void wait_for_mutex(void)
{
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
}

static NOINLINE void wait_asleep(void)
{
	rest(2000000);
}

static NOINLINE void wait_for_pipe(void)
{
	char byte;
	if (read(written[0], &byte, 1) < 0)
		abort();
}

static NOINLINE void wait_in_poll(void)
{
	poll(NULL, 0, 3);
}

static NOINLINE void wait_for_disk(void)
{
	static char block[1 << 16];
	if (pwrite(synced, block, sizeof block, 0) < 0 || fsync(synced) < 0)
		abort();
}

static NOINLINE void wait_for_pages(void)
{
	volatile long sum = 0;
	char *pages = mmap(NULL, PAGE_FILE, PROT_READ, MAP_SHARED, mapped, 0);
	if (pages == MAP_FAILED)
		abort();
	posix_fadvise(mapped, 0, 0, POSIX_FADV_DONTNEED);
	sum += pages[PAGE_FILE / 2];
	munmap(pages, PAGE_FILE);
}

void block(int way)
{
	static void (*const ways[])(void) = { wait_for_mutex, wait_asleep, wait_for_pipe, wait_in_poll, wait_for_disk, wait_for_pages };
	long wall = now(CLOCK_MONOTONIC), own = now(CLOCK_THREAD_CPUTIME_ID);
	ways[way]();
	sums[way] += now(CLOCK_MONOTONIC) - wall - (now(CLOCK_THREAD_CPUTIME_ID) - own);
}

long blocked(int way)
{
	return sums[way];
}
