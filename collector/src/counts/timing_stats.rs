//! Sums of a cell's timed crossings.

/// Sums of one phase, in ticks.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Phase {
    /// Sum over the sampled crossings of gap x time.
    pub sum: u64,
    /// Sum over the sampled crossings of gap x time squared.
    pub squares: f64,
    /// Number of crossings that were all timed, whatever the interval.
    pub census: u64,
    /// Sum of their times.
    pub census_sum: u64,
}

/// Counts and times of a cell, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimingStats {
    /// Crossings so far.
    pub calls: u64,
    /// Callbacks so far.
    pub callbacks: u64,
    /// Number of crossings that were timed.
    pub timed: u64,
    /// Number of crossings that the timed ones stood for.
    pub weight: u64,
    /// Sum of gap x (gap - 1) over the timed ones.
    pub skipped: u64,
    /// Enter phase.
    pub enter: Phase,
    /// C phase.
    pub c: Phase,
    /// Exit phase.
    pub exit: Phase,
    /// Number of crossings that the timed exits stood for.
    pub exits: u64,
    /// Smallest sum of enter and exit phase; `u64::MAX` before one was timed.
    pub least_overhead: u64,
}

impl TimingStats {
    /// Returns the time in C of all crossings, in ticks, as far as the timed ones tell.
    pub fn c_sum(&self) -> f64 {
        self.sum_of(&self.c)
    }

    /// Returns the same for another phase that was timed with it.
    pub fn sum_of(&self, phase: &Phase) -> f64 {
        let mean = if self.weight == 0 { 0.0 } else { phase.sum as f64 / self.weight as f64 };
        mean * self.calls as f64 + phase.census_sum as f64
    }
}
