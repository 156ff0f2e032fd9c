package main

/*
#include "clib.h"
*/
import "C"

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

// depth crosses at a stack of N frames in all: for the benchmark.
func depth(t *Truth, n int) {
	n = or(n, 16)
	const calls = 5_000_000
	// The wrapper, this literal, main.depth, main.main, runtime.main and runtime.goexit.
	recurse(n-7, func() {
		for i := 0; i < calls; i++ {
			C.nop()
		}
	})
	t.count("nop", calls)
}
