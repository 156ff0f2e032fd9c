package main

/*
#include <stdlib.h>
#include "clib.h"
*/
import "C"

import (
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// hot calls one function from one line.
func hot(t *Truth, n int) {
	n = or(n, 1_000_000)
	for i := 0; i < n; i++ {
		C.nop()
	}
	t.count("nop", n)
	t.Sites = 1
}

// sites alternates over ten lines on four goroutines.
func sites(t *Truth, n int) {
	fourGoroutines(t, or(n, 20_000), tenSites)
	t.Sites = 10
}

// oneSite crosses as often, on four goroutines too, from one line.
func oneSite(t *Truth, n int) {
	fourGoroutines(t, or(n, 20_000), single)
	t.Sites = 1
}

// fourGoroutines makes 40 times n crossings, in rounds whose processor time is taken.
func fourGoroutines(t *Truth, n int, cross func(calls int)) {
	const rounds = 20
	calls := 10 * n / rounds
	for round := 0; round < rounds; round++ {
		before := cpuTime()
		var wait sync.WaitGroup
		for worker := 0; worker < 4; worker++ {
			wait.Add(1)
			go func() {
				defer wait.Done()
				cross(calls)
			}()
		}
		wait.Wait()
		nanos := float64(cpuTime()-before) / float64(4*calls)
		if t.CallNanos == 0 || nanos < t.CallNanos {
			t.CallNanos = nanos
		}
	}
	t.count("add", 4*rounds*calls)
}

// cpuTime is the process's own, so that four goroutines on two Ps can be compared.
func cpuTime() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func single(calls int) {
	for i := 0; i < calls; i++ {
		C.add(1, 1)
		if i%1000 == 0 {
			runtime.Gosched()
		}
	}
}

func tenSites(calls int) {
	for i := 0; i < calls/10; i++ {
		C.add(1, 1)
		C.add(2, 1)
		C.add(3, 1)
		C.add(4, 1)
		C.add(5, 1)
		C.add(6, 1)
		C.add(7, 1)
		C.add(8, 1)
		C.add(9, 1)
		C.add(10, 1)
		if i%100 == 0 {
			runtime.Gosched()
		}
	}
}

// threads crosses on two threads at the same time.
func threads(t *Truth, n int) {
	n = or(n, 1_000_000)
	var wait sync.WaitGroup
	for worker := 0; worker < 2; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			t.measure(20, n/20, func(n int) {
				for i := 0; i < n; i++ {
					C.nop()
				}
			})
		}()
	}
	wait.Wait()
	t.count("nop", 2*(n/20*20))
}

// errnoForm uses the form with two results.
func errnoForm(t *Truth, n int) {
	n = or(n, 1000)
	for i := 0; i < n; i++ {
		if _, err := C.fails(2); err == nil {
			panic("no errno")
		}
	}
	t.count("fails", n)
}

// cStrings allocates in C and frees.
func cStrings(t *Truth, n int) {
	n = or(n, 1000)
	for i := 0; i < n; i++ {
		text := C.CString("boundary")
		C.free(unsafe.Pointer(text))
	}
	t.count("malloc", n)
	t.count("free", n)
}

// locked makes half of its crossings on a locked thread.
func locked(t *Truth, n int) {
	n = or(n, 1000)
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for i := 0; i < n; i++ {
			C.nop()
		}
		done <- true
	}()
	<-done
	for i := 0; i < n; i++ {
		C.nop()
	}
	t.count("nop", 2*n)
	t.Locked = uint64(n)
}
