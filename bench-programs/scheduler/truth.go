package main

import (
	"encoding/json"
	"os"
	"runtime"
	"sync"
)

// Truth is what a scenario knows about threads and goroutines.
type Truth struct {
	Scenario   string            `json:"scenario"`
	Calls      map[string]uint64 `json:"calls"`      // by C function
	Locked     map[string]uint64 `json:"locked"`     // those made locked
	Threads    map[string]int    `json:"threads"`    // that each C function ran on
	ByThread   map[int]uint64    `json:"by_thread"`  // crossings by kernel thread id, of the functions that tell
	Goroutines []Goroutine       `json:"goroutines"` // those that tell
	InC        int               `json:"in_c"`       // most threads in C at once
	WaitNanos  int64             `json:"wait_ns"`    // from the end of C to Go going on
	LongWaits  uint64            `json:"long_waits"` // of more than 5 ms: nobody has those who does not park
	HeldNanos  int64             `json:"held_ns"`    // locked to a thread
	IdleNanos  int64             `json:"idle_ns"`    // of that asleep in Go
	Locks      uint64            `json:"locks"`
	StillHeld  uint64            `json:"still_held"`
	Callbacks  map[string]uint64 `json:"callbacks"` // by Go function
	GoNanos    int64             `json:"go_ns"`     // in callbacks, nested crossings included
	SelfNanos  int64             `json:"self_ns"`   // in C, without callbacks
	Foreign    int               `json:"foreign_threads"`
	Panics     uint64            `json:"panics"`
	NumCgoCall int64             `json:"num_cgo_call"`

	mutex   sync.Mutex
	threads map[string]map[int]bool
}

// Goroutine is what one knows of its own crossings.
type Goroutine struct {
	Calls      uint64 `json:"calls"`
	Threads    int    `json:"threads"`
	Migrations uint64 `json:"migrations"`

	seen map[int]bool
	last int
}

func newTruth(scenario string) *Truth {
	return &Truth{
		Scenario:  scenario,
		Calls:     map[string]uint64{},
		Locked:    map[string]uint64{},
		Threads:   map[string]int{},
		ByThread:  map[int]uint64{},
		Callbacks: map[string]uint64{},
		threads:   map[string]map[int]bool{},
	}
}

// on notes that the goroutine's next crossing was on this thread.
func (g *Goroutine) on(thread int) {
	if g.seen == nil {
		g.seen = map[int]bool{}
	}
	g.Calls++
	g.seen[thread] = true
	g.Threads = len(g.seen)
	if g.last != 0 && g.last != thread {
		g.Migrations++
	}
	g.last = thread
}

// add takes over what a goroutine knows of its crossings with one C function.
func (t *Truth) add(function string, g Goroutine, locked bool, byThread map[int]uint64) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.Calls[function] += g.Calls
	if locked {
		t.Locked[function] += g.Calls
	}
	if t.threads[function] == nil {
		t.threads[function] = map[int]bool{}
	}
	for thread, calls := range byThread {
		t.threads[function][thread] = true
		t.ByThread[thread] += calls
	}
	t.Threads[function] = len(t.threads[function])
	t.Goroutines = append(t.Goroutines, g)
}

// print must come after the last crossing.
func (t *Truth) print() {
	t.NumCgoCall = runtime.NumCgoCall()
	if err := json.NewEncoder(os.Stdout).Encode(t); err != nil {
		panic(err)
	}
}
