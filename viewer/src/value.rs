//! What sizes in trees and flame graphs stand for.

use cgoprof_profile::Stats;

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
    /// Processor time, Go's too.
    Cpu,
    /// Exit alone: the wait for a P.
    ExitWait,
}

impl Value {
    pub(crate) const ALL: [Value; 7] =
        [Value::Calls, Value::Total, Value::C, Value::Overhead, Value::Blocked, Value::Cpu, Value::ExitWait];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Value::Calls => "calls",
            Value::Total => "total",
            Value::C => "C",
            Value::Overhead => "overhead",
            Value::ExitWait => "exit",
            Value::Blocked => "blocked",
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

    /// How much of it crossings took in C, where samples tell what C did, and how much besides. Without what callbacks
    /// took, so that it can be added up over crossings in each other. Processor time is that of samples alone.
    pub(crate) fn of(self, stats: &Stats) -> (f64, f64) {
        match self {
            Value::Calls => (0.0, stats.calls as f64),
            Value::Total => (stats.c_self(), stats.overhead().sum),
            Value::C => (stats.c_self(), 0.0),
            Value::Overhead => (0.0, stats.overhead().sum),
            Value::ExitWait => (0.0, stats.exit.sum),
            Value::Blocked => (0.0, stats.blocked_self()),
            Value::Cpu => (0.0, 0.0),
        }
    }
}
