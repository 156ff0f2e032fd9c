#define _GNU_SOURCE
#include "code.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

extern void calledBack(void);

static long nanos;
static void (*made)(long);

static long clock_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

// push rbp; xor ebp, ebp; sub rsp, 0x108; dec rdi; jnz; add rsp, 0x108; pop rbp; ret: neither call frame information nor
// frame pointers lead out of it.
static const unsigned char code[] = {0x55, 0x31, 0xed, 0x48, 0x81, 0xec, 0x08, 0x01, 0x00, 0x00, 0x48, 0xff, 0xcf, 0x75,
                                     0xfb, 0x48, 0x81, 0xc4, 0x08, 0x01, 0x00, 0x00, 0x5d, 0xc3};

void run_made_code(void) {
    if (!made) {
        void *place = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memcpy(place, code, sizeof code);
        made = place;
    }
    long from = clock_of(CLOCK_THREAD_CPUTIME_ID);
    made(5000000);
    nanos += clock_of(CLOCK_THREAD_CPUTIME_ID) - from;
    calledBack();
}

long spent(void) { return nanos; }

static long limit;

static void *worker(void *result) {
    pthread_setname_np(pthread_self(), "c-worker");
    volatile long x = 0;
    while (clock_of(CLOCK_THREAD_CPUTIME_ID) < limit) {
        for (int i = 0; i < 100000; i++) x += i;
    }
    *(long *)result = clock_of(CLOCK_THREAD_CPUTIME_ID);
    return 0;
}

long work_in_thread(long milliseconds) {
    pthread_t thread;
    long result;
    limit = milliseconds * 1000000;
    pthread_create(&thread, 0, worker, &result);
    pthread_join(thread, 0);
    return result;
}
