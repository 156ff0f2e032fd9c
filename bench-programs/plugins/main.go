// Command plugins loads a Go plugin when it is first told to run one, and prints as JSON after each round what has crossed
// in it.
//
//	plugins PLUGIN rounds    a round with the plugin for each line of input, after the word ready
//	plugins PLUGIN           one round
//	plugins LIBRARY library  a round with the bench program library, which has a Go runtime of its own, and another for each
//	                         line of input, after the word ready
package main

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
static void outside(void) {}
static long (*cross)(int);
static void load(const char *library) {
    void *loaded = dlopen(library, RTLD_NOW);
    cross = loaded ? (long (*)(int))dlsym(loaded, "Cross") : 0;
}
static long cross_in(int n) { return cross ? cross(n) : -1; }
*/
import "C"

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"plugin"
	"runtime"
)

func main() {
	if len(os.Args) < 3 {
		round(0)
		return
	}
	if os.Args[2] == "library" {
		C.load(C.CString(os.Args[1]))
		library()
		fmt.Println("ready")
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			library()
		}
		return
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		round(runtime.NumCgoCall())
	}
}

// library crosses 1,000 times in the library and prints what both runtimes have counted so far.
func library() {
	inside := int(C.cross_in(1000))
	print(map[string]any{"calls": map[string]int{"poke": 1000}, "inside": inside, "num_cgo_call": runtime.NumCgoCall()})
}

// run is the plugin's own round: adds the calls it makes.
var run func(calls map[string]int) (callbacks int)

func round(before int64) {
	calls := map[string]int{"outside": 1000}
	if run == nil {
		run = load(os.Args[1])
		calls["first"] = 50
	}
	for i := 0; i < 1000; i++ {
		C.outside()
	}
	callbacks := run(calls)
	none := map[string]int{}
	truth := map[string]any{"calls": calls, "callbacks": callbacks, "locked": 0, "abandoned": none, "stacks": none}
	truth["num_cgo_call"] = runtime.NumCgoCall() - before
	print(truth)
}

func print(truth map[string]any) {
	if err := json.NewEncoder(os.Stdout).Encode(truth); err != nil {
		panic(err)
	}
}

func load(path string) func(map[string]int) int {
	loaded, err := plugin.Open(path)
	if err != nil {
		panic(err)
	}
	run, err := loaded.Lookup("Run")
	if err != nil {
		panic(err)
	}
	return run.(func(map[string]int) int)
}
