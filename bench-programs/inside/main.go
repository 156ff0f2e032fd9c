// Inside spends known shares of its time in nested C functions, called from two Go functions and through a callback.
package main

// #cgo CFLAGS: -O2 -fomit-frame-pointer
// #include "work.h"
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"time"
)

//export goOther
func goOther(rounds C.int) {
	callOther(rounds)
}

//go:noinline
func callOuter(rounds C.int) {
	C.outer(rounds)
}

//go:noinline
func callOther(rounds C.int) {
	C.other(rounds)
}

//go:noinline
func callBack(rounds C.int) {
	C.through_go(rounds)
}

func main() {
	seconds, _ := strconv.Atoi(os.Args[1])
	outer, other, back := 0, 0, 0
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		callOuter(20)
		callOther(20)
		callBack(10)
		outer++
		other += 2
		back++
	}
	worked := map[string]int64{}
	for leaf, name := range []string{"light", "heavy", "middle_work", "bottom"} {
		worked[name] = int64(C.worked_ns(C.int(leaf)))
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "inside",
		"calls":        map[string]int{"outer": outer, "other": other, "through_go": back, "worked_ns": 4},
		"worked_ns":    worked,
		"locked":       0,
		"abandoned":    map[string]int{},
		"callbacks":    back,
		"stacks":       map[string]int{},
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
