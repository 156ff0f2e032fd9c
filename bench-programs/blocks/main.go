// Blocks is blocked in C in known ways, on three threads, and tells for how long in each.
package main

// #include <stdlib.h>
// #include "blocks.h"
// #cgo LDFLAGS: -lpthread
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

func main() {
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	folder, err := os.MkdirTemp(os.Args[2], "blocks")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	path := C.CString(folder)
	defer C.free(unsafe.Pointer(path))
	if C.prepare(path) != 0 {
		panic("the files can't be made in " + folder)
	}
	var calls atomic.Int64
	var wait sync.WaitGroup
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	for worker := 0; worker < 3; worker++ {
		wait.Add(1)
		go func(worker int) {
			defer wait.Done()
			for at := worker; time.Now().Before(end); at++ {
				C.block(C.int(at % C.WAYS))
				calls.Add(1)
			}
		}(worker)
	}
	wait.Wait()
	names := []string{"wait_for_mutex", "wait_asleep", "wait_for_pipe", "wait_in_poll", "wait_for_disk", "wait_for_pages"}
	blocked := map[string]int64{}
	for way, name := range names {
		blocked[name] = int64(C.blocked(C.int(way)))
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "blocks",
		"calls":        map[string]int64{"block": calls.Load()},
		"blocked_ns":   blocked,
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
