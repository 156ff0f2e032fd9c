// Package pure is Go alone.
package pure

// Double doubles.
func Double(n int) int {
	return 2 * n
}
