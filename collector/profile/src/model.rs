//! The content of a recording.

use std::sync::Arc;

use crate::code::{Function, FunctionId, Library, Location, LocationId, Via};
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
    /// Files of locations beside the program's own; a [`crate::LibraryId`] is an index.
    pub libraries: Vec<Library>,
    /// Crossings and their numbers.
    pub cells: Vec<Cell>,
    /// Samples of running threads, by stack.
    pub samples: Vec<SampledStack>,
    /// Stacks of C that were found to wait.
    pub waits: Vec<WaitingStack>,
    /// The program's threads, if they were watched.
    pub threads: Vec<Thread>,
    /// Threads that the runtime made.
    pub births: Vec<Birth>,
    /// Moment when most threads were in C.
    pub peak: Option<Peak>,
    /// Goroutines that crossed.
    pub goroutines: Vec<Goroutine>,
    /// Callbacks from C.
    pub callbacks: Vec<Callback>,
    /// Places where goroutines locked themselves to threads.
    pub locks: Vec<Lock>,
    /// The timeline. It is large, so profiles of one growing recording share it.
    pub timeline: Arc<Timeline>,
    /// Recordings of single processes that this one is made of ([`crate::processes`]), in the order in which they began; none
    /// for a recording of one process.
    pub processes: Vec<Arc<Profile>>,
}

/// Samples of processor time with one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampledStack {
    /// [`Cell::id`] of the crossing that was in C; none where C was not reached by a crossing, and in Go.
    pub cell: Option<u64>,
    /// The process, by its index in [`Profile::processes`]; 0 in a recording of one process.
    pub process: usize,
    /// The whole stack, innermost first: the frames that C had called, then the cell's stack.
    pub stack: Vec<LocationId>,
    /// Number of locations that lie within the cell's C function.
    pub inside: usize,
    /// Whether the stack goes on beyond its frames.
    pub truncated: bool,
    /// Number of samples; each stands for [`Recording::sample_period_ns`].
    pub samples: u64,
}

/// Waits in C with one stack, in the same system call. Where not every wait was seen ([`Recording::every_wait_ns`]), threads
/// were looked at now and then, and what was found stands for the time between two looks. So the times of one cell's
/// stacks tell how its blocked time is divided among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WaitingStack {
    /// [`Cell::id`] of the crossing; none where the stack could not be followed to it.
    pub cell: Option<u64>,
    /// The whole stack, innermost first: what it waits in ([`Function::of_wait`]), the frames that C had called, then the
    /// cell's stack.
    pub stack: Vec<LocationId>,
    /// Number of locations before the cell's C function.
    pub inside: usize,
    /// Whether the stack goes on beyond its frames.
    pub truncated: bool,
    /// Nanoseconds.
    pub time: Estimate,
    /// Number of waits that were seen, or of looks that found one.
    pub found: u64,
    /// Its numbers, by which waits of the timeline refer to it ([`crate::Wait::stack`]). Stacks of which only addresses differ
    /// are one.
    pub numbers: Vec<u32>,
}

impl WaitingStack {
    /// Returns what it waits in.
    pub fn waits_in<'a>(&self, profile: &'a Profile) -> Option<&'a str> {
        let innermost = profile.locations[self.stack.first()?.0].lines.first()?;
        profile.functions[innermost.function.0].wait()
    }
}

/// The crossings that share a C function, Go stack, enclosing crossing and lock state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Number of the cell, the same in every member of a file.
    pub id: u64,
    /// The process, by its index in [`Profile::processes`]; 0 in a recording of one process.
    pub process: usize,
    /// The C function.
    pub function: FunctionId,
    /// C function, border, Go frames; then the enclosing crossing's, if this one is made in a callback.
    pub stack: Vec<LocationId>,
    /// How C was reached.
    pub via: Via,
    /// Whether the user had locked the goroutine to its thread.
    pub locked: bool,
    /// Whether the stack goes on beyond the frames kept.
    pub truncated: bool,
    /// Numbers.
    pub stats: Stats,
}

impl Stats {
    /// Number of crossings that the sums of times cover.
    pub fn measured_calls(&self) -> u64 {
        self.calls.saturating_sub(self.abandoned).saturating_sub(self.untimed)
    }

    /// Enter and exit together.
    pub fn overhead(&self) -> Estimate {
        let mut both = self.enter;
        both += self.exit;
        both
    }

    /// Time of the whole crossing as the Go caller sees it.
    pub fn total(&self) -> Estimate {
        let mut all = self.overhead();
        all += self.c;
        all
    }

    /// C time without callbacks.
    pub fn c_self(&self) -> f64 {
        (self.c.sum - self.callback.sum).max(0.0)
    }

    /// Blocked time without that of crossings made in callbacks. It can be added up over nested crossings.
    pub fn blocked_self(&self) -> f64 {
        (self.blocked - self.blocked_within).max(0.0)
    }

    /// Total without callbacks. It can be added up over nested crossings.
    pub fn total_self(&self) -> f64 {
        self.overhead().sum + self.c_self()
    }
}
