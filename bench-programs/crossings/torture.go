package main

/*
#include "clib.h"
*/
import "C"

import (
	"io"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

//go:noinline
func grow(depth int) int {
	var block [128]int
	block[depth%128] = depth
	if depth == 0 {
		C.leaf()
		return block[0]
	}
	return grow(depth-1) + block[depth%128]
}

// torture crosses for N seconds, or until the end of its input, while the collector runs without pause, stacks grow and are copied, callbacks
// nest, panics go through C, profiling signals arrive, and all stacks are printed again and again.
func torture(t *Truth, n int) {
	runtime.SetCPUProfileRate(1000)
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		panic(err)
	}
	debug.SetGCPercent(1)
	running := lasting(n, 2)
	var disturbers sync.WaitGroup
	disturb := func(what func()) {
		disturbers.Add(1)
		go func() {
			defer disturbers.Done()
			for running() {
				what()
			}
		}()
	}
	disturb(func() { runtime.GC(); time.Sleep(time.Millisecond) })
	buffer := make([]byte, 1<<20)
	disturb(func() { runtime.Stack(buffer, true); time.Sleep(5 * time.Millisecond) })

	var nops, leaves, nestings, lefts, pauses uint64
	work := func(worker int) {
		for round := 0; running(); round++ {
			for i := 0; i < 100; i++ {
				C.nop()
			}
			atomic.AddUint64(&nops, 100)
			grow(round % 60)
			atomic.AddUint64(&leaves, 1)
			C.call_back(3)
			atomic.AddUint64(&nestings, 4)
			atomic.AddUint64(&leaves, 4)
			func() {
				defer func() { recover() }()
				atomic.AddUint64(&lefts, 1)
				atomic.AddUint64(&leaves, 1)
				C.call_back_panic(0)
			}()
			if round%50 == worker%50 {
				C.pause_for(100_000)
				atomic.AddUint64(&pauses, 1)
			}
		}
	}
	var workers sync.WaitGroup
	for worker := 0; worker < 64; worker++ {
		workers.Add(1)
		go func(worker int) {
			defer workers.Done()
			work(worker)
		}(worker)
	}
	// Short-lived goroutines on small stacks, thousands of them.
	var born uint64
	disturb(func() {
		var wait sync.WaitGroup
		for i := 0; i < 500; i++ {
			wait.Add(1)
			go func(i int) {
				defer wait.Done()
				grow(i % 40)
			}(i)
		}
		wait.Wait()
		atomic.AddUint64(&born, 500)
	})
	// Threads that end with their goroutine, so that the tables of Ms are given back.
	var exits uint64
	disturb(func() {
		done := make(chan bool)
		go func() {
			runtime.LockOSThread()
			C.add(1, 2)
			atomic.AddUint64(&exits, 1)
			close(done)
		}()
		<-done
		time.Sleep(time.Millisecond)
	})
	workers.Wait()
	disturbers.Wait()
	pprof.StopCPUProfile()
	// What an M has counted that is just ending is for a moment neither among those of living Ms nor of those that are
	// gone (runtime/proc.go, mexit).
	time.Sleep(100 * time.Millisecond)
	t.count("nop", int(nops))
	t.count("leaf", int(leaves+born))
	t.count("call_back", int(nestings))
	t.count("call_back_panic", int(lefts))
	t.count("pause_for", int(pauses))
	t.count("add", int(exits))
	t.Abandoned["call_back_panic"] = lefts
	t.Callbacks = nestings + lefts
	t.Locked = exits
}
