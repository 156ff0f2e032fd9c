//! What a recording knows.

use std::sync::Arc;

use crate::code::{Function, FunctionId, Location, LocationId, Via};
use crate::estimate::Estimate;
use crate::metrics::Stats;
use crate::recording::{Recording, Target};
use crate::scheduler::{Birth, Callback, Goroutine, Lock, Peak, Thread, Timeline};

/// A whole recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The program.
    pub target: Target,
    /// How it was recorded.
    pub recording: Recording,
    /// Functions, Go and C; a [`FunctionId`] is an index.
    pub functions: Vec<Function>,
    /// Code addresses with what they mean; a [`LocationId`] is an index.
    pub locations: Vec<Location>,
    /// What was counted.
    pub cells: Vec<Cell>,
    /// What threads were seen running.
    pub samples: Vec<SampledStack>,
    /// The program's threads, if they were watched.
    pub threads: Vec<Thread>,
    /// Threads that the runtime made.
    pub births: Vec<Birth>,
    /// When most threads were in C.
    pub peak: Option<Peak>,
    /// Goroutines that crossed.
    pub goroutines: Vec<Goroutine>,
    /// Callbacks from C.
    pub callbacks: Vec<Callback>,
    /// Where goroutines locked themselves to threads.
    pub locks: Vec<Lock>,
    /// What took long: much, and shared by profiles of one recording as it goes on.
    pub timeline: Arc<Timeline>,
}

/// Samples of processor time with one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampledStack {
    /// [`Cell::id`] of the crossing that was in C; none where C was not reached by a crossing, and in Go.
    pub cell: Option<u64>,
    /// The whole stack, innermost first: what C had called, then that of the cell.
    pub stack: Vec<LocationId>,
    /// How many of the locations lie within the cell's C function.
    pub inside: usize,
    /// The stack goes on beyond its frames.
    pub truncated: bool,
    /// How many; each stands for [`Recording::sample_period_ns`].
    pub samples: u64,
}

/// Everything about the crossings that share a C function, Go stack, enclosing crossing and lock state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Same in every member of a file.
    pub id: u64,
    /// The C function.
    pub function: FunctionId,
    /// C function, border, Go frames; then the enclosing crossing's, if this one is made in a callback.
    pub stack: Vec<LocationId>,
    /// How C was reached.
    pub via: Via,
    /// The goroutine was locked to its thread by the user.
    pub locked: bool,
    /// The stack goes on beyond the frames kept.
    pub truncated: bool,
    /// Numbers.
    pub stats: Stats,
}

impl Stats {
    /// Crossings that the sums of times are of.
    pub fn measured_calls(&self) -> u64 {
        self.calls.saturating_sub(self.abandoned).saturating_sub(self.untimed)
    }

    /// Enter and exit together.
    pub fn overhead(&self) -> Estimate {
        let mut both = self.enter;
        both += self.exit;
        both
    }

    /// Everything from the Go caller's side.
    pub fn total(&self) -> Estimate {
        let mut all = self.overhead();
        all += self.c;
        all
    }

    /// C time without callbacks.
    pub fn c_self(&self) -> f64 {
        (self.c.sum - self.callback.sum).max(0.0)
    }

    /// Blocked time without that of crossings made in callbacks: what can be added up over crossings in each other.
    pub fn blocked_self(&self) -> f64 {
        (self.blocked - self.blocked_within).max(0.0)
    }

    /// Total without callbacks: what can be added up over crossings nested in each other.
    pub fn total_self(&self) -> f64 {
        self.overhead().sum + self.c_self()
    }
}
