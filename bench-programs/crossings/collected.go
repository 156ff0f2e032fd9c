package main

// #include "clib.h"
import "C"

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// collected crosses on four goroutines for N seconds, or until the end of its input, while two others have garbage collected all the time: what the
// collector wants of each P is done by who enters C.
func collected(t *Truth, n int) {
	running := lasting(n, 3)
	var wait sync.WaitGroup
	var calls uint64
	all := func(count int, what func()) {
		for worker := 0; worker < count; worker++ {
			wait.Add(1)
			go func() {
				defer wait.Done()
				for running() {
					what()
				}
			}()
		}
	}
	all(4, func() {
		for i := 0; i < 100; i++ {
			C.nop()
		}
		atomic.AddUint64(&calls, 100)
	})
	all(2, runtime.GC)
	wait.Wait()
	t.count("nop", int(calls))
}
