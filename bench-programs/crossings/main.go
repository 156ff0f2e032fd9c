// Crossings makes Go/C crossings of every kind and prints, as JSON, what it knows about them.
//
// Usage: crossings SCENARIO [N]
package main

/*
#cgo CFLAGS: -O2 -fomit-frame-pointer
#cgo LDFLAGS: -lpthread
#include "clib.h"
*/
import "C"

import (
	"fmt"
	"io"
	"os"
	"runtime/trace"
	"sort"
	"strconv"
	"sync/atomic"
	"time"
)

var scenarios = map[string]func(t *Truth, n int){
	"anew":      anew,
	"hot":       hot,
	"sites":     sites,
	"durations": durations,
	"asleep":    asleep,
	"blocking":  blocking,
	"collected": collected,
	"crowd":     crowd,
	"tail":      tail,
	"mixed":     mixed,
	"nested":    nested,
	"panics":    panics,
	"stacks":    stacks,
	"torture":   torture,
	"errno":     errnoForm,
	"strings":   cStrings,
	"leftovers": leftovers,
	"locked":    locked,
	"mimicry":   mimicry,
	"foreign":   foreign,
	"depth":     depth,
	"forest":    forest,
	"forks":     forks,
	"rounds":    rounds,
	"threads":   threads,
	"throng":    throng,
	"one-site":  oneSite,
}

func main() {
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		var names []string
		for name := range scenarios {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "usage: crossings SCENARIO [N]; scenarios:", names)
		os.Exit(2)
	}
	n := 0
	if len(os.Args) > 2 {
		parsed, err := strconv.Atoi(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		n = parsed
	}
	truth := newTruth(os.Args[1])
	if os.Getenv("CROSSINGS_WAIT") != "" {
		// For a recorder that joins: it says when.
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
	if os.Getenv("BENCH_TRACE") != "" {
		// Go's own execution tracer, for comparison.
		if err := trace.Start(io.Discard); err != nil {
			panic(err)
		}
		defer trace.Stop()
	}
	scenarios[os.Args[1]](truth, n)
	truth.print()
}

// or gives the scenario's own size unless the command line has one.
func or(n, own int) int {
	if n == 0 {
		return own
	}
	return n
}

// lasting returns whether to go on: for N seconds, or for as many as usual; if N is less than 0, until the end of the input.
func lasting(n, usual int) func() bool {
	var over uint32
	go func() {
		if n < 0 {
			_, _ = io.Copy(io.Discard, os.Stdin)
		} else {
			time.Sleep(time.Duration(or(n, usual)) * time.Second)
		}
		atomic.StoreUint32(&over, 1)
	}()
	return func() bool { return atomic.LoadUint32(&over) == 0 }
}

// spent asks C for its own clocks.
func (t *Truth) spent(which int, function string) {
	t.SpentNanos[function] = int64(C.spent_ns(C.int(which)))
	t.HeldNanos[function] = int64(C.held_ns(C.int(which)))
	t.count("spent_ns", 1)
	t.count("held_ns", 1)
}
