//! The events that an engine reports.

use std::collections::HashMap;

use cgoprof_symbols::Avma;

use crate::clock::{Monotonic, Rate};
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::SlowEvent;
use crate::counts::snapshot::InCSnapshot;
use crate::perf::{Hit, Sample};
use crate::unwind::Place;

/// An engine's part in putting events together. Methods for what an engine does not know keep their defaults.
pub(crate) trait Source: Send {
    /// Takes the slow events since the last call.
    fn take_slow_events(&mut self) -> Vec<SlowEvent> {
        Vec::new()
    }

    /// Takes looks at the threads in C. All records before `complete` have been read.
    fn take_looks(&mut self, complete: Monotonic) -> Vec<InCSnapshot> {
        let _ = complete;
        Vec::new()
    }

    /// Tells that a thread hit one of the engine's probes.
    fn hit(&mut self, hit: &Hit<'_>) {
        let _ = hit;
    }

    /// Tells that records were lost, or are not all seen: crossings in flight are not known any more.
    fn lose_track(&mut self) {}

    /// Tells that a thread has ended.
    fn thread_ended(&mut self, tid: u64, time: Monotonic) {
        let _ = (tid, time);
    }

    /// Returns the number of a thread's M.
    fn m(&self, tid: u64) -> Option<u64> {
        let _ = tid;
        None
    }

    /// Returns the place of a sample in C that `asmcgocall` called with this frame pointer, and whether the stack goes
    /// on beyond that. None if it is not known.
    fn called(&self, sample: &Sample<'_>, frame: Avma) -> Option<(Place, bool)> {
        let _ = (sample, frame);
        None
    }

    /// Returns the crossing that a thread was in for certain at a time. `rate` is that of the engine's clock.
    fn in_c_since(&self, tid: u64, time: Monotonic, rate: Rate) -> Option<CellId> {
        let _ = (tid, time, rate);
        None
    }

    /// Returns the threads that are in C, each with its crossing.
    fn in_c(&self) -> HashMap<u64, CellId> {
        HashMap::new()
    }

    /// Tells the engine, by cell, how long threads in suspiciously long crossings were not preempted: in ticks, since
    /// the last call.
    fn confirm(&mut self, confirmed: HashMap<CellId, f64>) {
        let _ = confirmed;
    }

    /// Returns `runtime.NumCgoCall` without the count before the recording, and when it was read.
    fn num_cgo_call(&self, now: Monotonic) -> Option<(u64, Monotonic)> {
        let _ = now;
        None
    }

    /// Whether records that are not read in time are lost for good. Then the reader runs before others, if it may.
    fn must_keep_up(&self) -> bool {
        false
    }
}
