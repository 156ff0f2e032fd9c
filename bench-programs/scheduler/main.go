// Scheduler does to threads and goroutines what crossings can do to them, and prints, as JSON, what it knows about it.
//
// Usage: scheduler SCENARIO [N]; with TRACE=FILE it has the runtime write an execution trace too.
package main

/*
#cgo CFLAGS: -O2
#cgo LDFLAGS: -lpthread
#include "clib.h"
*/
import "C"

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"sync"
	"time"
)

var scenarios = map[string]func(t *Truth, n int){
	"sleepers":   sleepers,
	"busy":       busy,
	"workers":    workers,
	"ping-pong":  pingPong,
	"locks":      locks,
	"lock-moves": lockMoves,
	"ended":      ended,
	"nested":     nested,
	"foreign":    foreign,
	"labels":     labels,
	"panics":     panics,
	"many":       many,
}

func main() {
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: scheduler SCENARIO [N]")
		os.Exit(2)
	}
	n := 0
	if len(os.Args) > 2 {
		n, _ = strconv.Atoi(os.Args[2])
	}
	if path := os.Getenv("TRACE"); path != "" {
		file, err := os.Create(path)
		if err != nil {
			panic(err)
		}
		if err := trace.Start(file); err != nil {
			panic(err)
		}
		defer file.Close()
		defer trace.Stop()
	}
	truth := newTruth(os.Args[1])
	scenarios[os.Args[1]](truth, n)
	truth.print()
}

// labels: requests that sleep in C, each for a time of its own and with a label that tells it, and calls without labels between them.
func labels(t *Truth, n int) {
	const workers = 4
	n = or(n, 4)
	var wait sync.WaitGroup
	for worker := 0; worker < workers; worker++ {
		wait.Add(1)
		go func(worker int) {
			defer wait.Done()
			for i := 0; i < n; i++ {
				milliseconds := 40 + 20*(worker+workers*i)
				own := pprof.Labels("milliseconds", strconv.Itoa(milliseconds), "path", "/sleep")
				pprof.Do(context.Background(), own, func(ctx context.Context) {
					pprof.Do(ctx, pprof.Labels("part", "inner"), func(context.Context) {
						C.sleep_here(C.long(milliseconds * 1_000_000))
					})
				})
				C.sleep_here(3_000_000)
			}
		}(worker)
	}
	wait.Wait()
	t.Calls["sleep_here"] = 2 * workers * uint64(n)
}

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// sleepers: eight goroutines sleep in C at once, on two Ps, long enough for these to be taken: how often that is, the runtime's
// execution trace tells.
func sleepers(t *Truth, n int) {
	const all = 8
	n = or(n, 3)
	runtime.GOMAXPROCS(2)
	for round := 0; round < n; round++ {
		var wait sync.WaitGroup
		for i := 0; i < all; i++ {
			wait.Add(1)
			go func() {
				defer wait.Done()
				C.sleep_here(200_000_000)
			}()
		}
		wait.Wait()
	}
	t.Calls["sleep_here"] = uint64(all * n)
	t.InC = all
}

// busy: whoever comes back from C finds the only P taken by a goroutine that never gives way of its own. One, so that the
// kernel has a processor for everybody: it is the P that is waited for.
func busy(t *Truth, n int) {
	const sleeping = 4
	n = or(n, 10)
	runtime.GOMAXPROCS(1)
	stop := make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				for spin := 0; spin < 1_000_000; spin++ {
				}
			}
		}
	}()
	var wait sync.WaitGroup
	for i := 0; i < sleeping; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			var waited int64
			var long uint64
			for round := 0; round < n; round++ {
				done := int64(C.sleep_for(30_000_000))
				wait := monotonic() - done
				waited += wait
				if wait > 5_000_000 {
					long++
				}
			}
			t.mutex.Lock()
			t.LongWaits += long
			t.WaitNanos += waited
			t.mutex.Unlock()
		}()
	}
	wait.Wait()
	close(stop)
	t.Calls["sleep_for"] = uint64(sleeping * n)
}

// workers: some goroutines are locked to their threads, some are not; all call the same function, which tells where it ran.
func workers(t *Truth, n int) {
	n = or(n, 2000)
	var wait sync.WaitGroup
	for i := 0; i < 6; i++ {
		locked := i < 3
		wait.Add(1)
		go func() {
			defer wait.Done()
			if locked {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
			}
			visitThreads(t, n, locked, runtime.Gosched)
		}()
	}
	wait.Wait()
	t.Locks = 3
}

// pingPong: two goroutines wake each other, and so wander over the threads.
func pingPong(t *Truth, n int) {
	n = or(n, 3000)
	ball := make(chan bool)
	var wait sync.WaitGroup
	for i := 0; i < 2; i++ {
		serves := i == 0
		wait.Add(1)
		go func() {
			defer wait.Done()
			visitThreads(t, n, false, func() {
				if serves {
					ball <- true
					<-ball
				} else {
					<-ball
					ball <- true
				}
				if n%64 == 0 {
					time.Sleep(time.Microsecond)
				}
			})
		}()
	}
	wait.Wait()
}

// many: more goroutines than are kept apart, each with a few crossings.
func many(t *Truth, n int) {
	n = or(n, 40_000)
	limit := make(chan bool, 16)
	var wait sync.WaitGroup
	for i := 0; i < n; i++ {
		limit <- true
		wait.Add(1)
		go func() {
			defer wait.Done()
			for round := 0; round < 3; round++ {
				C.thread_id()
			}
			<-limit
		}()
	}
	wait.Wait()
	t.Calls["thread_id"] = uint64(3 * n)
}

func visitThreads(t *Truth, n int, locked bool, between func()) {
	var g Goroutine
	byThread := map[int]uint64{}
	for i := 0; i < n; i++ {
		thread := int(C.thread_id())
		g.on(thread)
		byThread[thread]++
		between()
	}
	t.add("thread_id", g, locked, byThread)
}

// locks: goroutines are locked to threads that sleep for them; the last keeps its own.
func locks(t *Truth, n int) {
	n = or(n, 5)
	var wait sync.WaitGroup
	for i := 0; i < 3; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for round := 0; round < n; round++ {
				runtime.LockOSThread()
				from := time.Now()
				C.sleep_here(10_000_000)
				asleep := time.Now()
				time.Sleep(20 * time.Millisecond)
				idle := time.Since(asleep)
				held := time.Since(from)
				runtime.UnlockOSThread()
				t.mutex.Lock()
				t.HeldNanos += held.Nanoseconds()
				t.IdleNanos += idle.Nanoseconds()
				t.mutex.Unlock()
			}
		}()
	}
	wait.Wait()
	kept := make(chan bool)
	go func() {
		runtime.LockOSThread()
		kept <- true
		select {}
	}()
	<-kept
	from := time.Now()
	time.Sleep(50 * time.Millisecond)
	t.HeldNanos += time.Since(from).Nanoseconds()
	t.IdleNanos += time.Since(from).Nanoseconds()
	t.Locks = uint64(3*n) + 1
	t.StillHeld = 1
	t.Calls["sleep_here"] = uint64(3 * n)
}

// lockMoves: goroutines are locked to a thread for each crossing, and wander between.
func lockMoves(t *Truth, n int) {
	n = or(n, 300)
	var wait sync.WaitGroup
	for i := 0; i < 4; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			var g Goroutine
			byThread := map[int]uint64{}
			for round := 0; round < n; round++ {
				runtime.LockOSThread()
				thread := int(C.thread_id())
				runtime.UnlockOSThread()
				g.on(thread)
				byThread[thread]++
				time.Sleep(200 * time.Microsecond)
			}
			t.add("thread_id", g, true, byThread)
		}()
	}
	wait.Wait()
	t.Locks = uint64(4 * n)
}

// ended: goroutines that end locked, and so end their threads; not the first one, which Go keeps, and keeps for them.
func ended(t *Truth, n int) {
	n = or(n, 20)
	runtime.LockOSThread()
	for i := 0; i < n; i++ {
		done := make(chan bool)
		go func() {
			runtime.LockOSThread()
			C.sleep_here(1_000_000)
			done <- true
		}()
		<-done
	}
	time.Sleep(300 * time.Millisecond)
	t.Calls["sleep_here"] = uint64(n)
	t.Locks = uint64(n) + 1
	t.StillHeld = 1
}

// nested: callbacks eight deep, with known work on both sides at every level.
func nested(t *Truth, n int) {
	const depth = 8
	n = or(n, 50)
	for i := 0; i < n; i++ {
		C.visit(depth-1, 20_000)
	}
	t.Calls["visit"] = uint64(depth * n)
	t.Callbacks["goVisit"] = uint64(depth * n)
	t.GoNanos = goNanos
	t.SelfNanos = int64(C.spent_ns())
	t.Calls["spent_ns"] = 1
}

// foreign: threads that C made call Go.
func foreign(t *Truth, n int) {
	n = or(n, 100)
	const threads = 6
	C.call_from_threads(threads, C.int(n))
	t.Calls["call_from_threads"] = 1
	t.Callbacks["goWork"] = uint64(threads * n)
	t.Foreign = threads
	t.GoNanos = goNanos
}

// panics: half of the callbacks leave C by panic.
func panics(t *Truth, n int) {
	n = or(n, 200)
	for i := 0; i < n; i++ {
		func() {
			defer func() {
				if recover() != nil {
					t.Panics++
				}
			}()
			C.visit(C.int(-1-i%2), 1000)
		}()
	}
	t.Calls["visit"] = uint64(n)
	t.Callbacks["goVisit"] = uint64(n)
}
