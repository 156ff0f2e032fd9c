// Sharedlib calls a C library in a shared object of its own, without frame pointers.
package main

/*
#cgo LDFLAGS: -lborder
#include "border.h"
*/
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
)

func main() {
	if os.Getenv("CROSSINGS_WAIT") != "" {
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
	const calls = 20_000
	value := C.int(0)
	for i := 0; i < calls; i++ {
		value = C.border_cross(value)
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "sharedlib",
		"calls":        map[string]int{"border_cross": calls},
		"locked":       0,
		"abandoned":    map[string]int{},
		"callbacks":    0,
		"stacks":       map[string]int{},
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
