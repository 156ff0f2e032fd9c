package main

import "C"

import (
	"os"
	"time"
)

// goEnd sleeps and then ends the program from within the callback, or panics there.
//
//export goEnd
func goEnd(millis C.int) {
	if millis < 0 {
		panic("called by C")
	}
	time.Sleep(time.Duration(millis) * time.Millisecond)
	os.Exit(0)
}
