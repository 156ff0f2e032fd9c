//! Facts that context switches tell of slow crossings.

use crate::counts::slow_event::SlowEvent;

/// Slow crossings of one cell: sums in nanoseconds, each crossing weighted with those it stands for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slow {
    pub(crate) blocked: f64,
    pub(crate) preempted: f64,
    /// By phase.
    pub(crate) enter: Preempted,
    pub(crate) c: Preempted,
    pub(crate) exit: Preempted,
    pub(crate) begin: Begin,
}

/// Corrections of long crossings whose begin was not timed, by context switches: one begins when its thread has a
/// processor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Begin {
    /// How much longer they were in C than the hooks took them to be, in ticks.
    pub(crate) sum: f64,
    /// How much this changes the variance of their sum, in ticks squared.
    pub(crate) variance: f64,
}

/// Time that slow phases of a cell's crossings owe to preemption, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Preempted {
    /// Sum over sampled crossings, each weighted with the crossings that it stands for.
    pub(crate) sum: f64,
    /// How much larger preemption makes their sum of squares.
    pub(crate) squares: f64,
    /// Sum over crossings that stand for themselves.
    pub(crate) census: f64,
}

impl Preempted {
    /// Adds the time that a phase owes.
    pub(super) fn add(&mut self, event: &SlowEvent, preempted: f64) {
        let whole = event.to.saturating_sub(event.from) as f64;
        let (preempted, weight) = (preempted.min(whole), event.weight as f64);
        if event.is_sampled {
            self.sum += weight * preempted;
            self.squares += weight * (whole.powi(2) - (whole - preempted).powi(2));
        } else {
            self.census += preempted;
        }
    }
}

/// Variance of a value that is anywhere in an interval of this length.
pub(crate) fn uniform_variance(length: f64) -> f64 {
    length.powi(2) / 12.0
}
