package main

import "C"

import "time"

//export goEach
func goEach(index C.int) {
	for begin := time.Now(); time.Since(begin) < 2*time.Microsecond; {
	}
}
