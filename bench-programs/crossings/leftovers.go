package main

/*
#include "leftovers.h"
*/
import "C"

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

var asked = bufio.NewScanner(os.Stdin)

// answer says a line, and waits for the next.
func answer(line string) {
	fmt.Println(line)
	asked.Scan()
}

//export goHold
func goHold() { answer(fmt.Sprintf("%x", uint64(C.noted))) }

// mimicry has C hold words on its stack, in a callback, that look like a frame of the C hook: that is passed first, if
// somebody records then. It says in hexadecimal where the hook is, and in the end whether the words were changed.
func mimicry(t *Truth, n int) {
	t.silent = true
	answer("ready")
	C.note_caller()
	answer("noted")
	C.hold_look_alike()
	answer(fmt.Sprintf("changed: %d", int(C.changed)))
}

// leftovers says where on the system stack the C hook has called C, in hexadecimal. Nothing else uses that until the end:
// a goroutine keeps its thread busy, and must not be interrupted (GODEBUG=asyncpreemptoff=1).
func leftovers(t *Truth, n int) {
	t.silent = true
	answer("ready")
	var done int32
	go func() {
		runtime.LockOSThread()
		C.note_caller()
		atomic.StoreInt32(&done, 1)
		for atomic.LoadInt32(&done) == 1 {
		}
	}()
	for atomic.LoadInt32(&done) == 0 {
		time.Sleep(time.Millisecond)
	}
	answer(fmt.Sprintf("%x", uint64(C.noted_at)))
}
