// Command hardship does for some seconds what is hard for whoever joins it, and says whether it was done right:
// hardship SECONDS.
package main

// #include "hard.h"
import "C"

import (
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
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
	seconds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("ready\n")
	end := time.Now().Add(time.Duration(seconds) * time.Second)
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
	start(func() { C.run_strangers(C.int(seconds)) })
	start(func() { sent = int(C.take_signals(C.int(seconds))) })
	for i := 0; i < 3; i++ {
		start(func() {
			for time.Now().Before(end) {
				C.nap_on_own_stack(500)
				atomic.AddInt64(&naps, 1)
			}
		})
	}
	start(func() {
		for time.Now().Before(end) {
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
