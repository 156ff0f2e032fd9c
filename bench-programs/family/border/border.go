// Package border crosses to C.
package border

/*
static int one(int n) { return n + 1; }

static unsigned compute(unsigned steps) {
	unsigned n = steps;
	while (steps-- > 0) {
		// Each step needs the one before it.
		__asm__ volatile("" : "+r"(n));
		n = n * 1664525u + 1013904223u;
	}
	return n;
}
*/
import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Cross makes so many crossings.
func Cross(calls int) {
	n := C.int(0)
	for i := 0; i < calls; i++ {
		n = C.one(n)
	}
	if int(n) != calls {
		panic("C counts otherwise")
	}
}

// Compute makes so many crossings that compute for so many steps.
func Compute(calls, steps int) {
	for i := 0; i < calls; i++ {
		C.compute(C.uint(steps))
	}
}

// WriteCount writes the number of crossings up to now. None may follow.
func WriteCount() {
	file := filepath.Join(os.Getenv("COUNTS"), fmt.Sprint(os.Getpid()))
	if err := os.WriteFile(file, []byte(fmt.Sprint(runtime.NumCgoCall())), 0o666); err != nil {
		panic(err)
	}
}
