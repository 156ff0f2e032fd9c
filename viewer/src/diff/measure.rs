//! What is compared of crossings.

use cgoprof_profile::{Recording, Stats};

use crate::measured::Measured;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// Number of crossings.
    Calls,
    /// Enter, C and exit together, without callbacks.
    Total,
    /// Time in C, without callbacks.
    C,
    /// Enter and exit.
    Overhead,
    /// Time for which C was blocked.
    Blocked,
    /// Total of one crossing.
    Each,
    /// Time in C of one crossing.
    CEach,
    /// Enter and exit of one crossing.
    OverheadEach,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 8] = [
        Measure::Calls,
        Measure::Total,
        Measure::C,
        Measure::Overhead,
        Measure::Blocked,
        Measure::Each,
        Measure::CEach,
        Measure::OverheadEach,
    ];

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Calls => "calls",
            Measure::Total => "total",
            Measure::C => "c",
            Measure::Overhead => "overhead",
            Measure::Blocked => "blocked",
            Measure::Each => "each",
            Measure::CEach => "c_each",
            Measure::OverheadEach => "overhead_each",
        }
    }

    /// Whether it adds up over rows.
    pub(super) fn is_sum(self) -> bool {
        !matches!(self, Measure::Each | Measure::CEach | Measure::OverheadEach)
    }

    /// Returns its value of crossings of a recording; none where it was not measured.
    pub(super) fn of(self, stats: &Stats, recording: &Recording) -> Option<Measured> {
        // Of no crossings, all times are known.
        let is_timed = stats.timed > 0 || stats.calls == 0;
        let times = |value: f64, error: f64| is_timed.then_some(Measured { value, error });
        let each = |measured: Option<Measured>| measured.map(|sum| sum.each(stats.measured_calls()));
        match self {
            Measure::Calls => Some(Measured::count(stats.calls)),
            Measure::Total => times(stats.total_self(), stats.total().standard_error()),
            Measure::C => times(stats.c_self(), stats.c.standard_error()),
            Measure::Overhead => times(stats.overhead().sum, stats.overhead().standard_error()),
            Measure::Blocked => times(stats.blocked_self(), 0.0).filter(|_| recording.off_cpu),
            Measure::Each => each(Measure::Total.of(stats, recording)),
            Measure::CEach => each(Measure::C.of(stats, recording)),
            Measure::OverheadEach => each(Measure::Overhead.of(stats, recording)),
        }
    }
}
