// Command manythreads has many threads, and prints what it knows of its crossings as JSON.
//
//	manythreads idle N      N threads that stay in C while others call C one after the other
//	manythreads napping N   N goroutines that sleep in C for 40 ms again and again, for six seconds
//	manythreads blocked N   N goroutines in C at once, which then call C ten times each
package main

/*
#include <pthread.h>
#include <unistd.h>
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int is_open, inside;
static void wait_inside(void) {
	pthread_mutex_lock(&mutex);
	inside++;
	while (!is_open) pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}
static int count_inside(void) {
	pthread_mutex_lock(&mutex);
	int count = inside;
	pthread_mutex_unlock(&mutex);
	return count;
}
static void let_out(void) {
	pthread_mutex_lock(&mutex);
	is_open = 1;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}
static void nothing(void) {}
static void nap(int us) { usleep(us); }
*/
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	rounds   = 5
	perRound = 200000
	naps     = 10
)

func main() {
	n, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	if os.Args[1] == "napping" {
		napping(n)
		return
	}
	var wait sync.WaitGroup
	for i := 0; i < n; i++ {
		wait.Add(1)
		go func() {
			C.wait_inside()
			if os.Args[1] == "blocked" {
				for k := 0; k < naps; k++ {
					C.nap(100)
				}
			}
			wait.Done()
		}()
	}
	looks := 1
	for int(C.count_inside()) < n {
		time.Sleep(time.Millisecond)
		looks++
	}
	truth := map[string]any{"threads": n}
	calls := map[string]int{"wait_inside": n, "let_out": 1}
	if os.Args[1] == "idle" {
		best := 0.0
		for round := 0; round < rounds; round++ {
			done := make(chan float64)
			go func() {
				start := time.Now()
				for i := 0; i < perRound; i++ {
					C.nothing()
				}
				done <- float64(time.Since(start).Nanoseconds()) / perRound
			}()
			if nanos := <-done; best == 0 || nanos < best {
				best = nanos
			}
		}
		truth["call_ns"] = best
		calls["nothing"] = rounds * perRound
	} else {
		time.Sleep(time.Second)
		calls["nap"] = n * naps
	}
	C.let_out()
	wait.Wait()
	calls["count_inside"] = looks
	truth["calls"], truth["num_cgo_call"] = calls, runtime.NumCgoCall()
	if err := json.NewEncoder(os.Stdout).Encode(truth); err != nil {
		panic(err)
	}
}

func napping(n int) {
	var naps atomic.Int64
	var wait sync.WaitGroup
	for end, i := time.Now().Add(6*time.Second), 0; i < n; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for time.Now().Before(end) {
				C.nap(40_000)
				naps.Add(1)
			}
		}()
	}
	wait.Wait()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	cpu := used.Utime.Nano() + used.Stime.Nano()
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"naps":         naps.Load(),
		"nap_cpu_ns":   float64(cpu) / float64(naps.Load()),
		"calls":        map[string]int64{"nap": naps.Load()},
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
