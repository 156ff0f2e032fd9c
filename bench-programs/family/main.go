// Family is a module of which several programs are made, to be run by shells, make and go. Each that crosses writes its number of
// crossings to a file named by its process in the folder $COUNTS.
//
// Usage: family CALLS [STATUS [STEPS]]; with STEPS each crossing computes so many.
package main

import (
	"os"
	"strconv"

	"cgoprof.bench/family/border"
)

func main() {
	calls := number(1)
	status, steps := number(2), number(3)
	if steps > 0 {
		border.Compute(calls, steps)
	} else {
		border.Cross(calls)
	}
	if os.Getenv("COUNTS") != "" {
		border.WriteCount()
	}
	os.Exit(status)
}

func number(argument int) int {
	if len(os.Args) <= argument {
		return 0
	}
	n, err := strconv.Atoi(os.Args[argument])
	if err != nil {
		panic(err)
	}
	return n
}
