// Hotlibrary spends its time in a function of a C library that the library does not export.
package main

// #cgo LDFLAGS: -lhot
// #include "hot.h"
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
		if len(os.Args) > 2 {
			sum += float64(C.sorted(10000))
		} else {
			sum += float64(C.hot(20000))
		}
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "hotlibrary",
		"calls":        calls,
		"sum":          sum,
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
