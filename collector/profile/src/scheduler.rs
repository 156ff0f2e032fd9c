//! Threads, goroutines and callbacks of a recording.

use crate::code::{FunctionId, LocationId, Via};
use crate::distribution::Distribution;
use crate::estimate::Estimate;

/// A kernel thread of the program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thread {
    /// The process, by its index in [`crate::Profile::processes`]; 0 in a recording of one process.
    pub process: usize,
    /// Kernel thread id.
    pub tid: u64,
    /// Number of its M in the Go runtime, if that is known.
    pub m: Option<u64>,
    /// Its name at the end.
    pub name: String,
    /// Start of the thread, since the recording's start; none if it was there before.
    pub created_ns: Option<u64>,
    /// End of the thread, since the recording's start; none if it has not ended.
    pub exited_ns: Option<u64>,
    /// The thread that started it.
    pub parent: Option<u64>,
    /// Its crossings.
    pub made: Vec<Made>,
    /// Time for which it waited in slow crossings, if switches were seen.
    pub blocked_ns: Option<f64>,
    /// Time for which goroutines were locked to it.
    pub locked_ns: Option<f64>,
    /// Part of `locked_ns` in which it waited outside of C.
    pub locked_idle_ns: Option<f64>,
}

/// A thread's crossings with one C function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Made {
    /// The C function.
    pub function: FunctionId,
    /// How C was reached.
    pub via: Via,
    /// Crossings.
    pub calls: u64,
    /// Crossings made by a goroutine locked to the thread.
    pub locked: u64,
    /// Time in C, without callbacks.
    pub c_ns: f64,
}

/// A thread that the runtime made during the recording, and the threads that were in C then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Birth {
    /// The process, by its index in [`crate::Profile::processes`]; 0 in a recording of one process.
    pub process: usize,
    /// Time since the recording's start.
    pub at_ns: u64,
    /// The thread's id, if the kernel told it.
    pub tid: Option<u64>,
    /// Stack of the runtime that made it.
    pub stack: Vec<LocationId>,
    /// Number of threads that were in C.
    pub in_c: u64,
    /// C functions that the most of them were in.
    pub holders: Vec<Holder>,
}

/// Threads in one C function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The C function.
    pub function: FunctionId,
    /// [`crate::Cell::id`] of the crossing of one of them.
    pub cell: u64,
    /// Number of threads.
    pub threads: u64,
}

/// The moment when most threads were seen in C.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Time since the recording's start.
    pub at_ns: u64,
    /// Number of threads.
    pub threads: u64,
    /// C functions that they were in.
    pub holders: Vec<Holder>,
    /// Whether every change was seen; else they were counted every few milliseconds.
    pub exact: bool,
}

/// A goroutine that crossed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goroutine {
    /// The process, by its index in [`crate::Profile::processes`]; 0 in a recording of one process.
    pub process: usize,
    /// Its number, `goid`.
    pub goid: u64,
    /// The Go function it began with, if that is known.
    pub function: Option<FunctionId>,
    /// Crossings.
    pub calls: u64,
    /// Number of threads that they were made on.
    pub threads: u64,
    /// Crossings on another thread than the one before.
    pub migrations: u64,
    /// Number of times that it locked itself to its thread.
    pub locks: u64,
}

/// Goroutines that were not kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Number of goroutines.
    pub goroutines: u64,
    /// Number of them that had not ended. A migration of each may be missed.
    pub alive: u64,
    /// Their crossings.
    pub calls: u64,
    /// Their migrations.
    pub migrations: u64,
}

/// Callbacks of one Go function by one C function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Callback {
    /// The Go function.
    pub function: FunctionId,
    /// The C function that was called from Go; none for calls of foreign threads.
    pub within: Option<FunctionId>,
    /// Calls.
    pub calls: u64,
    /// Calls whose times were measured.
    pub timed: u64,
    /// Calls that were left by panic or Goexit.
    pub abandoned: u64,
    /// Time to get a P.
    pub acquire: Estimate,
    /// Time in Go.
    pub go: Estimate,
    /// Time to give the P back.
    pub release: Estimate,
    /// Times in Go.
    pub go_times: Distribution,
    /// Times to get a P and to give it back, together.
    pub border_times: Distribution,
    /// Number of foreign threads that called.
    pub foreign_threads: u64,
    /// Calls for which a foreign thread had to get an M first.
    pub attached: u64,
    /// Time to get these Ms.
    pub attach_ns: f64,
}

/// A place where goroutines lock themselves to their threads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lock {
    /// Go stack that calls `LockOSThread`, innermost first.
    pub stack: Vec<LocationId>,
    /// Number of calls.
    pub locks: u64,
    /// Number of goroutines that were locked at the end.
    pub held: u64,
    /// Total time for which they were locked.
    pub held_ns: f64,
    /// Longest time for which one was locked.
    pub longest_ns: f64,
    /// Time for which their threads waited outside of C.
    pub idle_ns: Option<f64>,
}

/// Slow crossings, waits and locks over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Slow crossings, about in the order in which they ended.
    pub crossings: Vec<SlowCrossing>,
    /// Labels that the program gave goroutines by `pprof.Do`: keys with values, sorted by key.
    pub label_sets: Vec<Vec<(String, String)>>,
    /// Waits in C.
    pub waits: Vec<Wait>,
    /// Times in which goroutines were locked to their threads.
    pub locked: Vec<Locked>,
    /// Numbers of threads in C, in Go and idle.
    pub counters: Vec<Counters>,
    /// Slow crossings shorter than this were not kept, to bound the file; 0 if all were kept.
    pub shortest_ns: u64,
    /// Number of slow crossings that were not kept.
    pub dropped: u64,
    /// The same limit for waits.
    pub shortest_wait_ns: u64,
    /// Number of waits that were not kept.
    pub dropped_waits: u64,
    /// Waits of threads for something, in C or not.
    pub asleep: Vec<Wait>,
    /// The same limit for these.
    pub shortest_asleep_ns: u64,
    /// Number of these that were not kept.
    pub dropped_asleep: u64,
}

/// A crossing that was slow in C or on its way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowCrossing {
    /// The process, by its index in [`crate::Profile::processes`]; 0 in a recording of one process.
    pub process: usize,
    /// [`crate::Cell::id`].
    pub cell: u64,
    /// Kernel thread id.
    pub tid: u64,
    /// Goroutine, 0 if it is not known.
    pub goid: u64,
    /// Time of the call of C, since the recording's start.
    pub called_ns: u64,
    /// Enter phase, 0 if it was not timed.
    pub enter_ns: u64,
    /// C phase; none if only the exit was slow.
    pub c_ns: Option<u64>,
    /// Exit phase, 0 if it was not timed.
    pub exit_ns: u64,
    /// Thread on which the goroutine continued, if that is known.
    pub exit_tid: Option<u64>,
    /// Part of the C phase in which the thread waited.
    pub blocked_ns: u64,
    /// Part of the C phase in which the thread had lost its processor to another; none if that is not known.
    pub preempted_ns: Option<u64>,
    /// Number of crossings that it stands for.
    pub weight: u64,
    /// Labels of the goroutine, by their index in [`Timeline::label_sets`]; none if it had none, or none were read.
    pub labels: Option<u32>,
    /// Whether it was still in C when the recording ended. `c_ns` is then its time so far. Such crossings come last in
    /// a timeline.
    pub open: bool,
}

/// A time in which a thread waited for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// The process, by its index in [`crate::Profile::processes`]; 0 in a recording of one process.
    pub process: usize,
    /// Kernel thread id.
    pub tid: u64,
    /// Its start, since the recording's start.
    pub from_ns: u64,
    /// Its end, since the recording's start.
    pub to_ns: u64,
    /// The stack that waited, by one of its numbers ([`crate::WaitingStack::numbers`]); none if no look found it.
    pub stack: Option<u32>,
}

/// A time in which a goroutine was locked to a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// The process, by its index in [`crate::Profile::processes`]; 0 in a recording of one process.
    pub process: usize,
    /// Kernel thread id.
    pub tid: u64,
    /// The goroutine.
    pub goid: u64,
    /// Its start, since the recording's start.
    pub from_ns: u64,
    /// Its end, since the recording's start; none if it lasted to the recording's end.
    pub to_ns: Option<u64>,
}

/// Numbers of threads in C, in Go and idle at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Time since the recording's start.
    pub at_ns: u64,
    /// Threads in C.
    pub in_c: u64,
    /// Threads outside of C that ran or could have run; none if switches were not seen.
    pub in_go: Option<u64>,
    /// Threads outside of C that waited: idle, or in another system call.
    pub idle: Option<u64>,
}
