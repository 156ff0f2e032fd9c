// Direct calls C past the scheduler, as libraries do that link to runtime.asmcgocall by name: on the goroutine's
// stack (goffi) and on the system stack (fastcgo). Beside them it makes ordinary crossings.
package main

/*
static int direct_sum;
static void direct_nop(void *arg) { direct_sum++; }
static void *address(void) { return direct_nop; }
static void ordinary(void) {}
*/
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
	"unsafe"
)

//go:linkname asmcgocall runtime.asmcgocall
//go:noescape
func asmcgocall(fn, arg unsafe.Pointer) int32

//go:linkname systemstack runtime.systemstack
//go:noescape
func systemstack(fn func())

//go:noinline
func onGoroutine(fn unsafe.Pointer) { asmcgocall(fn, nil) }

//go:noinline
func onSystemStack(fn unsafe.Pointer) {
	systemstack(func() { asmcgocall(fn, nil) })
}

func main() {
	const calls = 10_000
	fn := C.address()
	for i := 0; i < calls; i++ {
		onGoroutine(fn)
		onSystemStack(fn)
		C.ordinary()
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "direct",
		"calls":        map[string]int{"ordinary": calls, "address": 1},
		"direct":       map[string]int{"direct_nop": 2 * calls},
		"locked":       0,
		"abandoned":    map[string]int{},
		"callbacks":    0,
		"stacks":       map[string]int{},
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
