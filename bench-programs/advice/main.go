// Advice does one thing that could be done better, or none.
//
// Usage: advice SCENARIO
package main

/*
#cgo CFLAGS: -O2
#include <stdlib.h>
#include "clib.h"
static int mix(char c, int n) { return c * 31 + n; }
static void take(char *text) { free(text); }
static __thread int last;
static void fail(int code) { last = code; }
static int last_error(void) { return last; }
*/
import "C"

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

var scenarios = map[string]func(){
	"healthy":       healthy,
	"event-loop":    eventLoop,
	"chatty":        chatty,
	"p-lost":        lostP,
	"thread-growth": threadGrowth,
	"wandering":     wandering,
	"unfreed":       unfreed,
	"dns":           dns,
	"callbacks":     callbacks,
	"noescape":      noescape,
	"no-pointer":    noPointer,
	"leaks":         leaks,
	"last-error":    lastError,
	"init":          func() { C.work_us(20_000) },
}

func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		C.setup()
	}
}

func main() {
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: advice SCENARIO")
		os.Exit(2)
	}
	scenarios[os.Args[1]]()
}

// healthy calls C as it should be: seldom, from few goroutines, on one thread where that matters, with nothing left behind.
func healthy() {
	var wait sync.WaitGroup
	wait.Add(1)
	go func() {
		defer wait.Done()
		for i := 0; i < 200; i++ {
			C.work_us(500)
			text := C.CString("a few words")
			C.free(unsafe.Pointer(text))
		}
	}()
	wait.Add(1)
	go func() {
		defer wait.Done()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for i := 0; i < 100; i++ {
			C.glFlush()
			time.Sleep(time.Millisecond)
		}
	}()
	wait.Wait()
	C.each(10)
}

// eventLoop never comes back from C on one thread, as programs with a window do, while others work on files, one of them
// locked for reasons of its own.
func eventLoop() {
	go func() {
		runtime.LockOSThread()
		for {
			C.sleep_ms(100_000)
		}
	}()
	var wait sync.WaitGroup
	for i := 0; i < 24; i++ {
		locked := i == 0
		wait.Add(1)
		go func() {
			defer wait.Done()
			if locked {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
			}
			file, err := os.CreateTemp("", "advice")
			if err != nil {
				panic(err)
			}
			defer os.Remove(file.Name())
			for round := 0; round < 30; round++ {
				text := C.CString("a few words")
				C.free(unsafe.Pointer(text))
				file.WriteAt(make([]byte, 1<<16), 0)
				file.Sync()
			}
		}()
	}
	wait.Wait()
}

func chatty() {
	sum := 0
	for i := 0; i < 3_000_000; i++ {
		sum = int(C.add(C.int(sum), 1))
	}
}

// lostP has whoever comes back from C wait for one of two busy Ps.
func lostP() {
	runtime.GOMAXPROCS(2)
	stop := make(chan bool)
	// Always two that run and two that are in the way.
	for i := 0; i < 4; i++ {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					for spin := 0; spin < 1_000_000; spin++ {
					}
				}
			}
		}()
	}
	var wait sync.WaitGroup
	for i := 0; i < 3; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for round := 0; round < 10; round++ {
				C.sleep_ms(25)
			}
		}()
	}
	wait.Wait()
	close(stop)
}

func threadGrowth() {
	var wait sync.WaitGroup
	for i := 0; i < 40; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			C.sleep_ms(200)
		}()
	}
	wait.Wait()
}

// wandering flushes from goroutines that are at home on no thread.
func wandering() {
	var wait sync.WaitGroup
	for i := 0; i < 4; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for round := 0; round < 200; round++ {
				C.glFlush()
				time.Sleep(100 * time.Microsecond)
				for begin := time.Now(); time.Since(begin) < 100*time.Microsecond; {
				}
			}
		}()
	}
	wait.Wait()
}

func unfreed() {
	for i := 0; i < 500; i++ {
		text := C.CString("never given back")
		if i%10 == 0 {
			C.free(unsafe.Pointer(text))
		}
		time.Sleep(100 * time.Microsecond)
	}
}

func dns() {
	resolver := net.Resolver{}
	for i := 0; i < 12; i++ {
		resolver.LookupHost(context.Background(), "localhost")
	}
}

func callbacks() {
	for i := 0; i < 20; i++ {
		C.each(2000)
	}
}

func noescape() {
	values := make([]C.long, 2000)
	for i := 0; i < 150_000; i++ {
		C.sum(&values[0], 2000)
		if i%100 == 0 {
			time.Sleep(200 * time.Microsecond)
		}
	}
}

// noPointer calls C with arguments that escape and contain no pointer.
func noPointer() {
	sum := C.int(0)
	for i := 0; i < 500_000; i++ {
		sum = C.mix(C.char(i), sum)
	}
}

// leaks frees most of its strings: one in twelve of some is left, all of others are, some are freed in another function, and
// some in C.
func leaks() {
	for i := 0; i < 6000; i++ {
		sometimes(i)
		elsewhere()
		if i%10 == 0 {
			C.take(C.CString("in C"))
		}
		if i%25 == 0 {
			C.CString("always")
		}
	}
}

//go:noinline
func sometimes(i int) {
	text := C.CString("sometimes")
	if i%12 != 0 {
		C.free(unsafe.Pointer(text))
	}
}

//go:noinline
func elsewhere() {
	text := C.CString("elsewhere")
	defer func() { release(text) }()
}

//go:noinline
func release(text *C.char) { C.free(unsafe.Pointer(text)) }

// lastError asks for the error of a call that may have been made on another thread.
func lastError() {
	var wait sync.WaitGroup
	for i := 1; i <= 8; i++ {
		wait.Add(1)
		go func(code C.int) {
			defer wait.Done()
			for n := 0; n < 500; n++ {
				C.fail(code)
				time.Sleep(50 * time.Microsecond)
				C.last_error()
			}
		}(C.int(i))
	}
	wait.Wait()
}
