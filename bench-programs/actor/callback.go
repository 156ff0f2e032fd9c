package main

import "C"

import (
	"os"
	"time"
)

// goEnd sleeps and then ends the program from within the callback.
//
//export goEnd
func goEnd(millis C.int) {
	time.Sleep(time.Duration(millis) * time.Millisecond)
	os.Exit(0)
}
