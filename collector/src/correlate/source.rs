//! What an engine tells of single events.

use std::collections::HashMap;

use cgoprof_symbols::Avma;

use crate::clock::{Monotonic, Rate};
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::SlowEvent;
use crate::counts::snapshot::Look;
use crate::perf::{Hit, Sample};
use crate::unwind::Place;

/// An engine's part in putting events together. What an engine does not know it leaves as it is here.
pub(crate) trait Source: Send {
    /// Takes what was slow since the last call.
    fn take_slow_events(&mut self) -> Vec<SlowEvent> {
        Vec::new()
    }

    /// Takes looks at who is in C. All records before `complete` have been read.
    fn take_looks(&mut self, complete: Monotonic) -> Vec<Look> {
        let _ = complete;
        Vec::new()
    }

    /// A thread came by one of the engine's probes.
    fn hit(&mut self, hit: &Hit<'_>) {
        let _ = hit;
    }

    /// Records were lost, or not all are seen: what is in flight is not known any more.
    fn lose_track(&mut self) {}

    /// A thread has ended.
    fn thread_ended(&mut self, tid: u64, time: Monotonic) {
        let _ = (tid, time);
    }

    /// Number of a thread's M.
    fn m(&self, tid: u64) -> Option<u64> {
        let _ = tid;
        None
    }

    /// Where a sample was taken that is in C called by `asmcgocall`, whose frame pointer is given, and whether the stack goes on
    /// beyond that. None if it is not known.
    fn called(&self, sample: &Sample<'_>, frame: Avma) -> Option<(Place, bool)> {
        let _ = (sample, frame);
        None
    }

    /// The crossing that a thread was in for certain at a time. `rate` is that of the engine's clock.
    fn in_c_since(&self, tid: u64, time: Monotonic, rate: Rate) -> Option<CellId> {
        let _ = (tid, time, rate);
        None
    }

    /// Tells, by cell, how long threads were not preempted in crossings that are suspiciously long: in ticks, since the last call.
    fn confirm(&mut self, confirmed: HashMap<CellId, f64>) {
        let _ = confirmed;
    }

    /// `runtime.NumCgoCall` without what was counted before the recording, and when that was.
    fn num_cgo_call(&self, now: Monotonic) -> Option<(u64, Monotonic)> {
        let _ = now;
        None
    }

    /// Whether what is not read in time is lost for good: then the reader runs before others, if it may.
    fn must_keep_up(&self) -> bool {
        false
    }
}
