// Command guided is what profile-guided builds change most: callbacks and LockOSThread that are hot.
//
//	guided             calls C, and prints what it knows as JSON
//	guided PROFILE     does so for some seconds under the CPU profiler, for `go build -pgo=PROFILE`
package main

/*
extern int callBack(int);
static int add_one(int x) { return x + 1; }
static int by_way_of_go(int x) { return callBack(x); }
*/
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

var added, called, backs, locked uint64

//export callBack
func callBack(x C.int) C.int {
	backs++
	C.add_one(x)
	added++
	return x
}

func pinned() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := 0; i < 3; i++ {
		C.add_one(1)
		added++
		locked++
	}
}

func work(n int) {
	for i := 0; i < n; i++ {
		C.add_one(C.int(i))
		added++
		C.by_way_of_go(C.int(i))
		called++
		pinned()
	}
}

func main() {
	if len(os.Args) > 1 {
		file, err := os.Create(os.Args[1])
		must(err)
		must(pprof.StartCPUProfile(file))
		for start := time.Now(); time.Since(start) < 3*time.Second; {
			work(1000)
		}
		pprof.StopCPUProfile()
		must(file.Close())
		return
	}
	work(5000)
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"calls": map[string]uint64{"add_one": added, "by_way_of_go": called}, "callbacks": backs, "locked": locked,
		"locks": 5000, "abandoned": map[string]int{}, "stacks": map[string]int{}, "num_cgo_call": runtime.NumCgoCall(),
	}))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
