// Command tracebacks crosses to C all the time on three goroutines, under the program's own CPU profiler if a file is named.
//
//	tracebacks MILLISECONDS [PROFILE]
package main

/*
#include <stdint.h>
static void nothing(void) {}
static uint64_t spin(int n) { volatile uint64_t x = 1; for (int i = 0; i < n; i++) x = x * 31 + 7; return x; }
extern void calledBack(void);
static void call_back(void) { calledBack(); }
*/
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

//export calledBack
func calledBack() {}

//go:noinline
func crossing(stop *atomic.Bool) {
	for i := 1; !stop.Load(); i++ {
		C.nothing()
		if i%100 == 0 {
			C.spin(2000)
		}
		if i%1000 == 0 {
			C.call_back()
		}
	}
}

func main() {
	milliseconds, err := strconv.Atoi(os.Args[1])
	must(err)
	if len(os.Args) > 2 {
		file, err := os.Create(os.Args[2])
		must(err)
		must(pprof.StartCPUProfile(file))
		defer pprof.StopCPUProfile()
	}
	var stop atomic.Bool
	var wait sync.WaitGroup
	for i := 0; i < 3; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			crossing(&stop)
		}()
	}
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	stop.Store(true)
	wait.Wait()
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{"num_cgo_call": runtime.NumCgoCall()}))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
