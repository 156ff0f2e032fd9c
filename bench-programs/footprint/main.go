// Command footprint has threads that call C from many places, and prints as JSON what it knows of its crossings and memory.
//
//	footprint THREADS STACKS   so many threads at once, which make so many distinct stacks together
//
// FOOTPRINT_WAIT: it begins when it is told to, by a line. FOOTPRINT_LOCK: it locks its memory then.
package main

/*
#include <sys/mman.h>
#include <unistd.h>
static void nothing(void) {}
static void nap(void) { usleep(1000); }
static int lock_memory(void) { return mlockall(MCL_CURRENT | MCL_FUTURE); }
*/
import "C"

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// Crossings from each stack.
const rounds = 3

func main() {
	threads, stacks := number(os.Args[1]), number(os.Args[2])
	input := bufio.NewReader(os.Stdin)
	if os.Getenv("FOOTPRINT_WAIT") != "" {
		fmt.Println("ready")
		input.ReadString('\n')
	}
	if os.Getenv("FOOTPRINT_LOCK") != "" && C.lock_memory() != 0 {
		panic("mlockall failed")
	}
	var there, done sync.WaitGroup
	there.Add(threads)
	done.Add(threads)
	over := make(chan struct{})
	for i := 0; i < threads; i++ {
		first, end := i*stacks/threads, (i+1)*stacks/threads
		go func() {
			runtime.LockOSThread()
			C.nap()
			there.Done()
			there.Wait()
			for round := 0; round < rounds; round++ {
				for stack := first; stack < end; stack++ {
					from(stack, 7)
				}
			}
			done.Done()
			<-over
		}()
	}
	done.Wait()
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"num_cgo_call": runtime.NumCgoCall(),
		"shared_kb":    status("RssShmem:"),
		"resident_kb":  status("VmRSS:"),
		"threads":      status("Threads:"),
	})
	close(over)
}

// from calls C by one of 8^levels ways.
//
//go:noinline
func from(way, levels int) {
	if levels == 0 {
		C.nothing()
		return
	}
	rest := way / 8
	switch way % 8 {
	case 0:
		from(rest, levels-1)
	case 1:
		from(rest, levels-1)
	case 2:
		from(rest, levels-1)
	case 3:
		from(rest, levels-1)
	case 4:
		from(rest, levels-1)
	case 5:
		from(rest, levels-1)
	case 6:
		from(rest, levels-1)
	case 7:
		from(rest, levels-1)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// status is a number from /proc/self/status.
func status(name string) int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, found := strings.CutPrefix(line, name); found {
			return number(strings.Fields(rest)[0])
		}
	}
	panic(name + " is not there")
}
