// Hotloop is the most ordinary loop of calls: an int in and an int out, on a goroutine of its own while main waits, locked to its
// thread. It prints as JSON how long each call took on average.
package main

// static int add(int a, int b) { return a + b; }
import "C"

import (
	"flag"
	"fmt"
	"runtime"
	"time"
)

func loop(n int) int {
	sum := 0
	for i := 0; i < n; i++ {
		sum += int(C.add(C.int(i), 1))
	}
	return sum
}

func main() {
	n := flag.Int("n", 20_000_000, "calls")
	flag.Parse()
	runtime.LockOSThread()
	done := make(chan int)
	start := time.Now()
	go func() { done <- loop(*n) }()
	<-done
	fmt.Printf("{\"mean_ns\": %.2f}\n", float64(time.Since(start).Nanoseconds())/float64(*n))
}
