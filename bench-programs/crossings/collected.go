package main

// #include "clib.h"
import "C"

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// collected crosses on four goroutines for N seconds while two others have garbage collected all the time: what the
// collector wants of each P is done by who enters C.
func collected(t *Truth, n int) {
	end := time.Now().Add(time.Duration(or(n, 3)) * time.Second)
	var wait sync.WaitGroup
	var calls uint64
	all := func(count int, what func()) {
		for worker := 0; worker < count; worker++ {
			wait.Add(1)
			go func() {
				defer wait.Done()
				for time.Now().Before(end) {
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
