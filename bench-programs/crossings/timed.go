package main

/*
#include "clib.h"
*/
import "C"

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// The clocks of clib.c.
const (
	clockSpin = iota
	clockSpinShort
	clockPause
	clockTail
	clockMixed
)

// durations calls functions that know how long they took.
func durations(t *Truth, n int) {
	n = or(n, 2000)
	for i := 0; i < n*10; i++ {
		C.spin_short(1000)
	}
	for i := 0; i < n; i++ {
		C.spin(100_000)
	}
	for i := 0; i < n/20; i++ {
		C.pause_for(1_000_000)
	}
	t.count("spin_short", n*10)
	t.count("spin", n)
	t.count("pause_for", n/20)
	t.spent(clockSpin, "spin")
	t.spent(clockSpinShort, "spin_short")
	t.spent(clockPause, "pause_for")
}

// blocking sleeps in C on more goroutines than there are Ps.
func blocking(t *Truth, n int) {
	n = or(n, 20)
	runtime.GOMAXPROCS(2)
	var wait sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := 0; i < n; i++ {
				C.pause_for(5_000_000)
			}
		}()
	}
	wait.Wait()
	t.count("pause_for", 8*n)
	t.spent(clockPause, "pause_for")
}

// crowd has n threads in C at the same time, then each crosses on.
func crowd(t *Truth, n int) {
	n = or(n, 600)
	var wait sync.WaitGroup
	for worker := 0; worker < n; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			runtime.LockOSThread()
			C.pause_for(400_000_000)
			for i := 0; i < 100; i++ {
				C.nop()
			}
		}()
	}
	wait.Wait()
	t.count("pause_for", n)
	t.count("nop", 100*n)
	t.Locked = uint64(101 * n)
	t.spent(clockPause, "pause_for")
}

// asleep is in C for N seconds, once.
func asleep(t *Truth, n int) {
	C.pause_for(C.long(or(n, 1)) * 1_000_000_000)
	t.count("pause_for", 1)
}

// throng has a thousand threads that cross now and then, for N seconds.
func throng(t *Truth, n int) {
	running := lasting(n, 3)
	var calls uint64
	var wait sync.WaitGroup
	for worker := 0; worker < 1000; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			runtime.LockOSThread()
			for running() {
				C.pause_for(50_000_000)
				C.nop()
				atomic.AddUint64(&calls, 1)
			}
		}()
	}
	wait.Wait()
	t.count("pause_for", int(calls))
	t.count("nop", int(calls))
	t.Locked = 2 * calls
	t.spent(clockPause, "pause_for")
}

// tail calls a function that takes nothing, but once in 2 000 calls 200 us.
func tail(t *Truth, n int) {
	n = or(n, 2_000_000)
	for i := 0; i < n; i++ {
		C.tail()
	}
	t.count("tail", n)
	t.spent(clockTail, "tail")
}

// mixed calls a function that takes 100 ns to 1 us.
func mixed(t *Truth, n int) {
	n = or(n, 400_000)
	for i := 0; i < n; i++ {
		C.mixed()
	}
	t.count("mixed", n)
	t.spent(clockMixed, "mixed")
}
