// Lines spends its time in C and C++ with functions that compilers inline, from files of different optimization.
package main

// #cgo CFLAGS: -g -gdwarf-4
// #cgo CXXFLAGS: -g -gdwarf-4 -O2
// #cgo LDFLAGS: -lm
// #include "lines.h"
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"time"
)

func main() {
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	var sum float64
	calls := 0
	for end := time.Now().Add(time.Duration(seconds * float64(time.Second))); time.Now().Before(end); calls++ {
		sum += float64(C.plain(20000)) + float64(C.optimized(20000)) + float64(C.fastest(20000)) + float64(C.generic(20000))
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario": "lines",
		"calls":    map[string]int{"plain": calls, "optimized": calls, "fastest": calls, "generic": calls},
		"sum":      sum,
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
