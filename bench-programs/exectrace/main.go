// Exectrace reads an execution trace of the Go runtime and prints, as JSON, what it tells of crossings: those whose P was
// taken, and how long their goroutines then waited for one.
//
// Usage: exectrace FILE
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/exp/trace"
)

// Found is what the trace tells.
type Found struct {
	Crossings uint64 `json:"crossings"` // seen to begin
	PLost     uint64 `json:"p_lost"`    // that ended without their P
	WaitNanos int64  `json:"wait_ns"`   // from C's end to Go going on, of these
}

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		fail(err)
	}
	found, err := read(file)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func read(file io.Reader) (Found, error) {
	var found Found
	reader, err := trace.NewReader(file)
	if err != nil {
		return found, err
	}
	inC := map[trace.GoID]bool{}
	waits := map[trace.GoID]trace.Time{}
	for {
		event, err := reader.ReadEvent()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		if event.Kind() != trace.EventStateTransition {
			continue
		}
		change := event.StateTransition()
		if change.Resource.Kind != trace.ResourceGoroutine {
			continue
		}
		goroutine := change.Resource.Goroutine()
		from, to := change.Goroutine()
		switch {
		case from == trace.GoRunning && to == trace.GoSyscall:
			if inC[goroutine] = crosses(event.Stack()); inC[goroutine] {
				found.Crossings++
			}
		case from == trace.GoSyscall && to == trace.GoRunnable && inC[goroutine]:
			found.PLost++
			waits[goroutine] = event.Time()
		case from == trace.GoRunnable && to == trace.GoRunning:
			if since, waited := waits[goroutine]; waited {
				found.WaitNanos += int64(event.Time() - since)
				delete(waits, goroutine)
			}
		}
	}
}

// crosses tells a crossing from an ordinary system call: the runtime leaves its own functions out of these stacks, so that
// cgo's wrapper comes first.
func crosses(stack trace.Stack) bool {
	for frame := range stack.Frames() {
		if frame.Func == "runtime.cgocall" || strings.Contains(frame.Func, "._Cfunc_") {
			return true
		}
	}
	return false
}
