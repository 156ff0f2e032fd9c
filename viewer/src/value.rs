//! What sizes in trees and flame graphs stand for.

use cgoprof_profile::{Profile, Stats};

use crate::units::{count, time};

/// What a stack's size stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Value {
    /// Number of crossings.
    Calls,
    /// Enter, C and exit.
    #[default]
    Total,
    /// C alone.
    C,
    /// Enter and exit.
    Overhead,
    /// Time in C that threads waited for something.
    Blocked,
    /// Time in C in which threads could have run, but had lost their processors.
    Preempted,
    /// Processor time, Go's too.
    Cpu,
    /// Exit alone: the wait for a P.
    ExitWait,
}

/// A size of crossings by the frame of their stack that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    /// Of the C function and the code below it while they ran, in proportion to the samples.
    pub(crate) running: f64,
    /// Of the C function and the code below it while they waited.
    pub(crate) waiting: f64,
    /// Of the C function and the code below it while they had lost their processors.
    pub(crate) preempted: f64,
    /// Of the C function.
    pub(crate) function: f64,
    /// Of the border: getting to C and back.
    pub(crate) border: f64,
}

impl Value {
    pub(crate) const ALL: [Value; 8] = [
        Value::Calls,
        Value::Total,
        Value::C,
        Value::Overhead,
        Value::Blocked,
        Value::Preempted,
        Value::Cpu,
        Value::ExitWait,
    ];

    /// Returns the value that is shown by default.
    pub fn default_of(profile: &Profile) -> Value {
        match (profile.recording.counted(), profile.recording.timing.as_str()) {
            (false, _) => Value::Cpu,
            (true, "none") => Value::Calls,
            (true, _) => Value::Total,
        }
    }

    /// Returns all values, the one that is shown by default first.
    pub(crate) fn default_first(profile: &Profile) -> impl Iterator<Item = Value> {
        let default = Value::default_of(profile);
        std::iter::once(default).chain(Value::ALL.into_iter().filter(move |&value| value != default))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Value::Calls => "calls",
            Value::Total => "total",
            Value::C => "C",
            Value::Overhead => "overhead",
            Value::ExitWait => "exit",
            Value::Blocked => "blocked",
            Value::Preempted => "preempted",
            Value::Cpu => "CPU",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Value::Calls => "Go/C crossings",
            Value::Total => "time of Go/C crossings",
            Value::C => "time in C",
            Value::Overhead => "time at the Go/C border",
            Value::ExitWait => "time from C back to Go",
            Value::Blocked => "time blocked in C",
            Value::Preempted => "time preempted in C",
            Value::Cpu => "processor time, Go and C",
        }
    }

    /// As people read it.
    pub(crate) fn shown(self, size: f64) -> String {
        match self {
            Value::Calls => count(size as u64),
            _ => time(size),
        }
    }

    /// Its size for crossings, by where it belongs. Callbacks are left out, so that sizes of nested crossings add up.
    /// Processor time is that of samples alone. Where there are callbacks, it is not known how much of the preempted time was
    /// theirs: it stays in the time in which C ran.
    pub(crate) fn of(self, stats: &Stats) -> Parts {
        let none = Parts::default();
        // Both are estimates, and a crossing does not wait for longer than it takes.
        let waiting = stats.blocked_self().min(stats.c_self());
        let rest = stats.c_self() - waiting;
        let preempted = if stats.callbacks == 0 { stats.preempted.min(rest) } else { 0.0 };
        let in_c = Parts { running: rest - preempted, waiting, preempted, ..none };
        match self {
            Value::Calls => Parts { function: stats.calls as f64, ..none },
            Value::Total => Parts { border: stats.overhead().sum, ..in_c },
            Value::C => in_c,
            Value::Overhead => Parts { border: stats.overhead().sum, ..none },
            Value::ExitWait => Parts { border: stats.exit.sum, ..none },
            Value::Blocked => Parts { waiting: stats.blocked_self(), ..none },
            Value::Preempted => Parts { preempted, ..none },
            Value::Cpu => none,
        }
    }
}
