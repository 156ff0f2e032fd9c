//! What a recording knows of threads, goroutines and callbacks.

use crate::code::{FunctionId, LocationId, Via};
use crate::distribution::Distribution;
use crate::estimate::Estimate;

/// A kernel thread of the program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thread {
    /// Kernel thread id.
    pub tid: u64,
    /// Number of the Go runtime's M that it is, if that is known.
    pub m: Option<u64>,
    /// Its name at the end.
    pub name: String,
    /// When it was started, since the recording's start; none if it was there before.
    pub created_ns: Option<u64>,
    /// When it ended, since the recording's start; none if it has not.
    pub exited_ns: Option<u64>,
    /// The thread that started it.
    pub parent: Option<u64>,
    /// Its crossings.
    pub made: Vec<Made>,
    /// How long it waited in slow crossings, if switches were seen.
    pub blocked_ns: Option<f64>,
    /// How long goroutines were locked to it.
    pub locked_ns: Option<f64>,
    /// How long of that it waited, and not in C.
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
    /// Those made by a goroutine locked to the thread.
    pub locked: u64,
    /// Time in C, without callbacks.
    pub c_ns: f64,
}

/// A thread that the runtime made while it was recorded, and who was in C then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Birth {
    /// When, since the recording's start.
    pub at_ns: u64,
    /// The thread, if the kernel told.
    pub tid: Option<u64>,
    /// How the runtime came to make it.
    pub stack: Vec<LocationId>,
    /// Threads that were in C.
    pub in_c: u64,
    /// Where the most of them were.
    pub holders: Vec<Holder>,
}

/// Threads in one C function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The C function.
    pub function: FunctionId,
    /// [`crate::Cell::id`] of the crossing of one of them.
    pub cell: u64,
    /// How many.
    pub threads: u64,
}

/// The moment when most threads were seen in C.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// When, since the recording's start.
    pub at_ns: u64,
    /// How many.
    pub threads: u64,
    /// Where.
    pub holders: Vec<Holder>,
    /// Every change was seen; else they were counted every few milliseconds.
    pub exact: bool,
}

/// A goroutine that crossed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goroutine {
    /// Its number, `goid`.
    pub goid: u64,
    /// The Go function it began with, if that is known.
    pub function: Option<FunctionId>,
    /// Crossings.
    pub calls: u64,
    /// Threads they were made on.
    pub threads: u64,
    /// Crossings on another thread than the one before.
    pub migrations: u64,
    /// How often it locked itself to its thread.
    pub locks: u64,
}

/// Goroutines that were not kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many.
    pub goroutines: u64,
    /// How many of them had not ended: of each a migration may be missed.
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
    /// Those whose times were measured.
    pub timed: u64,
    /// Left by panic or Goexit.
    pub abandoned: u64,
    /// Getting a P.
    pub acquire: Estimate,
    /// In Go.
    pub go: Estimate,
    /// Giving the P back.
    pub release: Estimate,
    /// Times in Go.
    pub go_times: Distribution,
    /// Times to get a P and to give it back, together.
    pub border_times: Distribution,
    /// Foreign threads that called.
    pub foreign_threads: u64,
    /// Calls for which a foreign thread had to get an M first.
    pub attached: u64,
    /// How long that took.
    pub attach_ns: f64,
}

/// A place where goroutines lock themselves to their threads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lock {
    /// Go stack that calls `LockOSThread`, innermost first.
    pub stack: Vec<LocationId>,
    /// How often.
    pub locks: u64,
    /// How many were locked at the end.
    pub held: u64,
    /// For how long in all, and at most.
    pub held_ns: f64,
    /// See `held_ns`.
    pub longest_ns: f64,
    /// How long their threads waited, and not in C.
    pub idle_ns: Option<f64>,
}

/// What took long, in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Slow crossings, about in the order in which they ended.
    pub crossings: Vec<SlowCrossing>,
    /// Waits in C.
    pub waits: Vec<Wait>,
    /// Times in which goroutines were locked to their threads.
    pub locked: Vec<Locked>,
    /// Where threads were.
    pub counters: Vec<Counters>,
    /// Slow crossings shorter than this were not kept, to bound the file; 0 if all were.
    pub shortest_ns: u64,
    /// How many those are.
    pub dropped: u64,
    /// The same of waits.
    pub shortest_wait_ns: u64,
    /// How many those are.
    pub dropped_waits: u64,
    /// When threads waited for something, in C or not.
    pub asleep: Vec<Wait>,
    /// The same of these.
    pub shortest_asleep_ns: u64,
    /// How many those are.
    pub dropped_asleep: u64,
}

/// A crossing that was slow in C or on its way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowCrossing {
    /// [`crate::Cell::id`].
    pub cell: u64,
    /// Kernel thread id.
    pub tid: u64,
    /// Goroutine, 0 if it is not known.
    pub goid: u64,
    /// When C was called, since the recording's start.
    pub called_ns: u64,
    /// Enter phase, 0 if it was not timed.
    pub enter_ns: u64,
    /// C phase; none if only the exit was slow.
    pub c_ns: Option<u64>,
    /// Exit phase, 0 if it was not timed.
    pub exit_ns: u64,
    /// Thread on which the goroutine went on, if that is known.
    pub exit_tid: Option<u64>,
    /// How long of the C phase the thread waited.
    pub blocked_ns: u64,
    /// How many crossings it stands for.
    pub weight: u64,
    /// It was still in C when the recording ended: `c_ns` is so far. These come last in a timeline.
    pub open: bool,
}

/// A thread waited for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// Kernel thread id.
    pub tid: u64,
    /// From when, since the recording's start.
    pub from_ns: u64,
    /// Until when.
    pub to_ns: u64,
}

/// A goroutine was locked to a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// Kernel thread id.
    pub tid: u64,
    /// The goroutine.
    pub goid: u64,
    /// From when, since the recording's start.
    pub from_ns: u64,
    /// Until when; none if until the end.
    pub to_ns: Option<u64>,
}

/// Where threads were at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// When, since the recording's start.
    pub at_ns: u64,
    /// Threads in C.
    pub in_c: u64,
    /// Threads that ran, or could have, and not in C; none if switches were not seen.
    pub in_go: Option<u64>,
    /// Threads that waited, and not in C: idle, or in another system call.
    pub idle: Option<u64>,
}
