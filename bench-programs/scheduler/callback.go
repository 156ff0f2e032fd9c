package main

/*
#include "clib.h"
*/
import "C"

import (
	"sync/atomic"
	"time"
)

// goNanos is the time spent in callbacks, from each one's first line to its last.
var goNanos int64

//export goVisit
func goVisit(depth C.int, nanos C.long) {
	begin := time.Now()
	if depth == -2 {
		panic("left")
	}
	spin(time.Duration(nanos))
	if depth > 0 {
		C.visit(depth-1, nanos)
	}
	spin(time.Duration(nanos))
	atomic.AddInt64(&goNanos, time.Since(begin).Nanoseconds())
}

//export goWork
func goWork() {
	begin := time.Now()
	time.Sleep(time.Millisecond)
	atomic.AddInt64(&goNanos, time.Since(begin).Nanoseconds())
}

func spin(duration time.Duration) {
	for begin := time.Now(); time.Since(begin) < duration; {
	}
}

// monotonic is the clock that C reads.
func monotonic() int64 {
	return processStart + time.Since(started).Nanoseconds()
}

var started, processStart = time.Now(), int64(C.now_ns())
