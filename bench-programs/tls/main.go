// Command tls calls C that has thread-local storage of more than a page, as DuckDB and librdkafka have: the goroutine's
// word is then further from FS than in small programs.
package main

/*
static __thread volatile char big[8192];
static int touch(int i) { big[i & 8191]++; return big[i & 8191]; }
*/
import "C"

import (
	"encoding/json"
	"os"
	"runtime"
)

func main() {
	const touches = 100000
	sum := 0
	for i := 0; i < touches; i++ {
		sum += int(C.touch(C.int(i)))
	}
	truth := map[string]any{"calls": map[string]int{"touch": touches}, "sum": sum}
	truth["num_cgo_call"] = runtime.NumCgoCall()
	if err := json.NewEncoder(os.Stdout).Encode(truth); err != nil {
		panic(err)
	}
}
