// Resolver looks names up through C, with no C code of its own: so that Go's own linker can link it.
// Build with -tags netcgo.
package main

import (
	"encoding/json"
	"net"
	"os"
	"runtime"
)

func main() {
	const lookups = 3
	for i := 0; i < lookups; i++ {
		net.LookupHost("localhost")
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"scenario":     "resolver",
		"calls":        map[string]int{"getaddrinfo": lookups},
		"locked":       0,
		"abandoned":    map[string]int{},
		"callbacks":    0,
		"stacks":       map[string]int{},
		"num_cgo_call": runtime.NumCgoCall(),
	})
}
