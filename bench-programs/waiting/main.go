// Waiting sleeps, spins and waits on a mutex in C, and knows for how long it ran and for how long it did not.
package main

/*
#cgo CFLAGS: -O2
#cgo LDFLAGS: -lpthread
#include <pthread.h>
#include <time.h>

enum { NAP, SPIN, LOCKED, HOLD, KINDS };

// Nanoseconds of the clock on the wall and of processor time, by kind, on all threads.
static long long wall[KINDS], cpu[KINDS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static long long now(clockid_t clock) {
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void spin_for(long long nanos) {
	for (long long end = now(CLOCK_THREAD_CPUTIME_ID) + nanos; now(CLOCK_THREAD_CPUTIME_ID) < end;) {
	}
}

#define MEASURED(kind, body)                                                                 \
	long long at = now(CLOCK_MONOTONIC), own = now(CLOCK_THREAD_CPUTIME_ID);                 \
	body;                                                                                    \
	__atomic_fetch_add(&cpu[kind], now(CLOCK_THREAD_CPUTIME_ID) - own, __ATOMIC_RELAXED);    \
	__atomic_fetch_add(&wall[kind], now(CLOCK_MONOTONIC) - at, __ATOMIC_RELAXED);

static void nap(long long nanos) {
	struct timespec time = {0, nanos};
	MEASURED(NAP, nanosleep(&time, 0))
}

static void spin(long long nanos) {
	MEASURED(SPIN, spin_for(nanos))
}

// Waits for the mutex, if somebody holds it.
static void wait_locked(void) {
	MEASURED(LOCKED, pthread_mutex_lock(&mutex); pthread_mutex_unlock(&mutex))
}

// Holds the mutex: half of the time it runs, half it sleeps.
static void hold(long long nanos) {
	struct timespec time = {0, nanos / 2};
	MEASURED(HOLD, pthread_mutex_lock(&mutex); spin_for(nanos / 2); nanosleep(&time, 0); pthread_mutex_unlock(&mutex))
}

static long long wall_ns(int kind) { return __atomic_load_n(&wall[kind], __ATOMIC_RELAXED); }
static long long cpu_ns(int kind) { return __atomic_load_n(&cpu[kind], __ATOMIC_RELAXED); }
*/
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"sync"
)

func main() {
	n := 100
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}
	// One after the other, but for the waiters: two processors are enough.
	for i := 0; i < n; i++ {
		C.nap(4_000_000)
		C.nap(50_000)
		C.spin(500_000)
		C.spin(3_000)
	}
	for i := 0; i < n; i++ {
		var both sync.WaitGroup
		both.Add(2)
		for waiter := 0; waiter < 2; waiter++ {
			go func() {
				defer both.Done()
				C.wait_locked()
			}()
		}
		C.hold(2_000_000)
		both.Wait()
	}
	wall, cpu := map[string]int64{}, map[string]int64{}
	for kind, name := range []string{"nap", "spin", "wait_locked", "hold"} {
		wall[name], cpu[name] = int64(C.wall_ns(C.int(kind))), int64(C.cpu_ns(C.int(kind)))
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "waiting",
		"calls":        map[string]int{"nap": 2 * n, "spin": 2 * n, "wait_locked": 2 * n, "hold": n, "wall_ns": 4, "cpu_ns": 4},
		"wall_ns":      wall,
		"cpu_ns":       cpu,
		"locked":       0,
		"abandoned":    map[string]int{},
		"callbacks":    0,
		"stacks":       map[string]int{},
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
