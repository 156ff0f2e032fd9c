// Command hardship does what is hard for whoever joins it, until a line comes on its input, and says whether it was done right.
package main

// #include "hard.h"
import "C"

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
	"sync/atomic"
)

var greeted int64

//export greet
func greet() { atomic.AddInt64(&greeted, 1) }

// fault dereferences nothing, and goes on.
func fault() (recovered bool) {
	defer func() { recovered = recover() != nil }()
	var nothing *int
	C.touch((*C.int)(new(C.int)))
	*nothing = 1
	return false
}

func main() {
	os.Stdout.WriteString("ready\n")
	var over uint32
	running := func() bool { return atomic.LoadUint32(&over) == 0 }
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		atomic.StoreUint32(&over, 1)
		C.end_all()
	}()
	var naps, faults, recovered int64
	var sent int
	var wait sync.WaitGroup
	start := func(work func()) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			work()
		}()
	}
	start(func() { C.run_strangers() })
	start(func() { sent = int(C.take_signals()) })
	for i := 0; i < 3; i++ {
		start(func() {
			for running() {
				C.nap_on_own_stack(500)
				atomic.AddInt64(&naps, 1)
			}
		})
	}
	start(func() {
		for running() {
			atomic.AddInt64(&faults, 1)
			if fault() {
				atomic.AddInt64(&recovered, 1)
			}
		}
	})
	wait.Wait()
	json.NewEncoder(os.Stdout).Encode(map[string]int64{
		"strangers": int64(C.strangers_called()), "greeted": greeted, "naps": naps, "faults": faults,
		"recovered": recovered, "sent": int64(sent), "handled": int64(C.signals_handled()),
	})
}
