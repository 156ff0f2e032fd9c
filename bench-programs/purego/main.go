// Purego calls libc without cgo, through ebitengine/purego.
package main

import (
	"encoding/json"
	"os"
	"runtime"
	"time"

	"github.com/ebitengine/purego"
)

func main() {
	library, err := purego.Dlopen("libc.so.6", purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		panic(err)
	}
	var labs func(int64) int64
	purego.RegisterLibFunc(&labs, library, "labs")
	const calls = 50_000
	for i := 0; i < calls; i++ {
		if i%1000 == 0 {
			// Long enough for a library loaded at run time to be noticed.
			time.Sleep(2 * time.Millisecond)
		}
		if labs(-3) != 3 {
			panic("labs")
		}
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "purego",
		"calls":        map[string]int{"labs": calls},
		"locked":       0,
		"abandoned":    map[string]int{},
		"callbacks":    0,
		"stacks":       map[string]int{},
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
