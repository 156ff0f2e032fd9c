package main

/*
#include "clib.h"
*/
import "C"

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync"
)

// rounds does a round of crossings for each line on its input and prints the truth of each, and at the end of its input
// nothing more: for recorders that come and go between rounds.
func rounds(t *Truth, n int) {
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		round := newTruth("round")
		round.before = runtime.NumCgoCall()
		oneRound(round, or(n, 2000))
		round.print()
	}
	t.silent = true
}

func oneRound(t *Truth, n int) {
	var wait sync.WaitGroup
	for worker := 0; worker < 4; worker++ {
		wait.Add(1)
		go func(worker int) {
			defer wait.Done()
			if worker == 0 {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
			}
			for i := 0; i < n; i++ {
				C.nop()
				C.add(1, 2)
			}
		}(worker)
	}
	nested(t, n/100)
	callbacks := t.Callbacks
	panics(t, n/20)
	t.Callbacks += callbacks
	wait.Wait()
	t.count("nop", 4*n)
	t.count("add", 4*n)
	t.Locked = uint64(2 * n)
	// Not all of it is counted by stack.
	t.Stacks = map[string]int{}
}

// forks forks in C: children that run on in C, that call back, that return to Go and cross, and that become other
// programs. What they do is not in the truth.
func forks(t *Truth, n int) {
	n = or(n, 50)
	for i := 0; i < n; i++ {
		for how := C.int(0); how < 4; how++ {
			if C.fork_once(how) == 1 {
				// In the child, the only thread.
				for i := 0; i < 1000; i++ {
					C.nop()
				}
				C.leave()
			}
			C.nop()
		}
	}
	t.count("fork_once", 4*n)
	t.count("nop", 4*n)
}
