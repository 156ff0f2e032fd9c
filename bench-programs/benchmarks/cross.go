// Package benchmarks has benchmarks of which it is known how often each operation crosses.
package benchmarks

// static int nop(int x) { return x; }
import "C"

// Cross crosses n times.
func Cross(n int) {
	for i := 0; i < n; i++ {
		C.nop(1)
	}
}
