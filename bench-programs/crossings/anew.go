package main

// #include "clib.h"
import "C"

import (
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// anew crosses on three threads for some milliseconds and then becomes itself again, N times.
func anew(t *Truth, n int) {
	n = or(n, 20)
	end := time.Now().Add(10 * time.Millisecond)
	var wait sync.WaitGroup
	for worker := 0; worker < 3; worker++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for time.Now().Before(end) {
				C.nop()
			}
		}()
	}
	wait.Wait()
	if n > 1 {
		if err := syscall.Exec("/proc/self/exe", []string{os.Args[0], "anew", strconv.Itoa(n - 1)}, os.Environ()); err != nil {
			panic(err)
		}
	}
}
