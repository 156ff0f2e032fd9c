package main

/*
#include "clib.h"
*/
import "C"

import (
	"runtime"
	"sync"
)

//export goNested
func goNested(depth C.int) {
	if depth > 0 {
		C.call_back(depth - 1)
	}
	C.leaf()
}

//export goOnce
func goOnce() {}

//export goPanic
func goPanic(how C.int) {
	C.leaf()
	if how == 0 {
		panic("through C")
	}
	runtime.Goexit()
}

// nested calls back through C to a depth of eight.
func nested(t *Truth, n int) {
	n = or(n, 1000)
	const depth = 8
	for i := 0; i < n; i++ {
		C.call_back(depth - 1)
	}
	t.count("call_back", n*depth)
	t.count("leaf", n*depth)
	t.Callbacks = uint64(n * depth)
	t.Stacks["call_back"] = depth
	t.Stacks["leaf"] = depth
}

// panics leaves crossings by panic and by Goexit.
func panics(t *Truth, n int) {
	n = or(n, 1000)
	for i := 0; i < n; i++ {
		func() {
			defer func() { recover() }()
			C.call_back_panic(0)
		}()
		if i%100 == 0 {
			var wait sync.WaitGroup
			wait.Add(1)
			go func() {
				defer wait.Done()
				C.call_back_panic(1)
			}()
			wait.Wait()
		}
		C.call_back_once()
	}
	left := n + (n+99)/100
	t.count("call_back_panic", left)
	t.count("leaf", left)
	t.count("call_back_once", n)
	t.Abandoned["call_back_panic"] = uint64(left)
	t.Callbacks = uint64(left + n)
}

// foreign has C's own threads call in.
func foreign(t *Truth, n int) {
	n = or(n, 100)
	const threads = 4
	for round := 0; round < 3; round++ {
		C.run_foreign_threads(threads, C.int(n))
	}
	t.count("run_foreign_threads", 3)
	t.Callbacks = uint64(3 * threads * n)
}
