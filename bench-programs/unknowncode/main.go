// Command unknowncode runs C that a stack can't be followed through, and C in threads that Go knows nothing of. It prints
// what it knows of both as JSON.
//
//	unknowncode jit MILLISECONDS       machine code that the program makes, which calls back now and then
//	unknowncode threads MILLISECONDS   a thread of C's own that works while Go sleeps in C
package main

/*
#cgo LDFLAGS: -lpthread
#include "code.h"
*/
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
)

var back int

//export calledBack
func calledBack() { back++ }

func main() {
	milliseconds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	truth := map[string]any{}
	switch os.Args[1] {
	case "jit":
		calls := 0
		for C.spent() < C.long(milliseconds)*1000000 {
			C.run_made_code()
			calls++
		}
		truth["calls"], truth["cpu_ns"], truth["callbacks"] = calls, int64(C.spent()), back
	case "threads":
		truth["cpu_ns"] = int64(C.work_in_thread(C.long(milliseconds)))
	}
	truth["num_cgo_call"] = runtime.NumCgoCall()
	if err := json.NewEncoder(os.Stdout).Encode(truth); err != nil {
		panic(err)
	}
}
