// Library is Go code for programs in other languages: it crosses to C as often as it is told.
package main

/*
#include <stdint.h>
static uint64_t seen;
static void poke(void) { __atomic_fetch_add(&seen, 1, __ATOMIC_RELAXED); }
static uint64_t pokes(void) { return seen; }
*/
import "C"
import "runtime"

// Cross returns how often the runtime has counted crossings by now.
//
//export Cross
func Cross(n C.int) C.long {
	for i := 0; i < int(n); i++ {
		C.poke()
	}
	return C.long(runtime.NumCgoCall())
}

func main() {}
