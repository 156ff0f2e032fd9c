package main

import (
	"encoding/json"
	"os"
	"runtime"
	"sync"
	"time"
)

// Truth is what a scenario knows about its own crossings.
type Truth struct {
	Scenario   string            `json:"scenario"`
	Calls      map[string]uint64 `json:"calls"`     // by C function
	Locked     uint64            `json:"locked"`    // crossings by goroutines that called LockOSThread
	Abandoned  map[string]uint64 `json:"abandoned"` // by C function
	Callbacks  uint64            `json:"callbacks"` // C to Go
	SpentNanos map[string]int64  `json:"spent_ns"`  // by C function, on C's own clock
	HeldNanos  map[string]int64  `json:"held_ns"`   // the part of it for which a function that spins was preempted, 10 us and more at a time
	Sites      int               `json:"sites"`     // different lines that call the first C function, 0 if not counted
	Stacks     map[string]int    `json:"stacks"`    // different Go stacks by C function, where counted
	NumCgoCall int64             `json:"num_cgo_call"`
	CallNanos  float64           `json:"call_ns"` // of one crossing: the best of some rounds
	MeanNanos  float64           `json:"mean_ns"` // of one crossing, over all of these rounds

	rounds int   // that MeanNanos is of
	before int64 // NumCgoCall before the first of these
	silent bool
	mutex  sync.Mutex
}

func newTruth(scenario string) *Truth {
	return &Truth{
		Scenario:   scenario,
		Calls:      map[string]uint64{},
		Abandoned:  map[string]uint64{},
		SpentNanos: map[string]int64{},
		HeldNanos:  map[string]int64{},
		Stacks:     map[string]int{},
	}
}

// count notes that a C function was called n times.
func (t *Truth) count(function string, n int) {
	t.mutex.Lock()
	t.Calls[function] += uint64(n)
	t.mutex.Unlock()
}

// measure runs rounds of a loop of n crossings and keeps the time of the quickest.
func (t *Truth) measure(rounds, n int, loop func(n int)) {
	for round := 0; round < rounds; round++ {
		start := time.Now()
		loop(n)
		nanos := float64(time.Since(start).Nanoseconds()) / float64(n)
		t.mutex.Lock()
		if t.CallNanos == 0 || nanos < t.CallNanos {
			t.CallNanos = nanos
		}
		t.rounds++
		t.MeanNanos += (nanos - t.MeanNanos) / float64(t.rounds)
		t.mutex.Unlock()
	}
}

// print must come after the last crossing.
func (t *Truth) print() {
	if t.silent {
		return
	}
	t.NumCgoCall = runtime.NumCgoCall() - t.before
	encoder := json.NewEncoder(os.Stdout)
	if err := encoder.Encode(t); err != nil {
		panic(err)
	}
}
