package main

/*
#include "clib.h"
*/
import "C"

import "time"

//go:noinline
func recurse(depth int, do func()) {
	if depth == 0 {
		do()
		return
	}
	recurse(depth-1, do)
}

//go:noinline
func left(depth int) {
	branch(depth)
}

//go:noinline
func right(depth int) {
	branch(depth)
}

//go:noinline
func branch(depth int) {
	if depth == 0 {
		C.add(1, 2)
		return
	}
	left(depth - 1)
	right(depth - 1)
}

// stacks makes the same crossings from many stacks: of every depth up to 40, from a tree of 256 paths of one
// depth, and from beyond the frames that are kept.
func stacks(t *Truth, n int) {
	n = or(n, 100)
	for round := 0; round < n; round++ {
		for depth := 0; depth < 40; depth++ {
			recurse(depth, func() { C.leaf() })
		}
		branch(8)
		recurse(300, func() { C.nop() })
	}
	t.count("leaf", n*40)
	t.count("add", n*256)
	t.count("nop", n)
	t.Stacks["leaf"] = 40
	t.Stacks["add"] = 256
	t.Stacks["nop"] = 1
}

// forest crosses from more stacks than one M's table holds: a tree of 2 to the n paths.
func forest(t *Truth, n int) {
	n = or(n, 15)
	branch(n)
	t.count("add", 1<<n)
}

// depth crosses at a stack of N frames in all: for the benchmark.
func depth(t *Truth, n int) {
	n = or(n, 16)
	const rounds, calls = 20, 1_000_000
	loop := func(calls int) {
		for i := 0; i < calls; i++ {
			C.nop()
		}
	}
	// The frames around the recursion: the wrapper, the loop, measure, two literals, depth, main, runtime.main
	// and goexit.
	const around = 8
	if n > around {
		recurse(n-around-1, func() { t.measure(rounds, calls, loop) })
	} else {
		done := make(chan bool)
		go shallow(t, rounds, calls, done)
		<-done
	}
	t.count("nop", rounds*calls)
}

// shallow makes a stack of four frames: the wrapper, this one, its start and goexit.
func shallow(t *Truth, rounds, calls int, done chan bool) {
	for round := 0; round < rounds; round++ {
		start := time.Now()
		for i := 0; i < calls; i++ {
			C.nop()
		}
		nanos := float64(time.Since(start).Nanoseconds()) / float64(calls)
		if t.CallNanos == 0 || nanos < t.CallNanos {
			t.CallNanos = nanos
		}
		t.MeanNanos += (nanos - t.MeanNanos) / float64(round+1)
	}
	done <- true
}
