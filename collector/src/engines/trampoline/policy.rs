//! Decides how often a cell's crossings are timed: a pure function of what the cell has shown.
//!
//! Counting costs almost nothing, but reading the clock does. The standard error of a function's sum determines an
//! interval, from every crossing of a cell that is new, slow, calls back or varies, to one in 128 of short, steady,
//! frequent ones. The budget sets a lower bound to the interval. Where a clock reading costs much of a short call, the
//! standard error stays larger, and the profile says so.
//!
//! The budget is a share of the bare call, without the time for which the thread was preempted. A preemption of
//! milliseconds in one of the timed crossings would otherwise make short calls look long. Only the kernel's context
//! switches tell preemption from work, and they are known later. Until then a crossing of a millisecond counts as
//! preempted.

use crate::counts::calibration::Calibration;
use crate::counts::timing_stats::{Phase, TimingStats};

/// `--timing`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Timing {
    /// Every crossing.
    Every,
    /// Often enough for reliable estimates.
    #[default]
    Auto,
    /// Counts only.
    None,
}

impl Timing {
    /// Returns the interval a new cell starts with; 0 is never.
    pub(super) fn first_interval(self) -> u32 {
        match self {
            Timing::Every | Timing::Auto => 1,
            Timing::None => 0,
        }
    }

    /// Returns its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Timing::Every => "every",
            Timing::Auto => "auto",
            Timing::None => "none",
        }
    }
}

/// Budget of timing; costs are in ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Share of a bare call that timing may add, on average, once a cell's first crossings are known.
    pub share: f64,
    /// Ticks that timing adds to a crossing.
    pub timing: f64,
    /// Ticks that timing adds to a callback.
    pub callback: f64,
    /// The hooks' own share of a crossing's phases.
    pub own: f64,
    /// Their share of the C phase.
    pub own_c: f64,
}

/// Crossings of a millisecond and more among a cell's timed ones. Each is weighted with the crossings that it stands
/// for. Times are in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outliers {
    /// How many crossings they stand for.
    pub weight: f64,
    /// Their time in C.
    pub sum: f64,
    /// The part of it in which the threads are known to have worked or waited, and were not preempted.
    pub confirmed: f64,
}

/// Share of a bare call that timing may add to it, unless the user says otherwise.
pub const MAX_OVERHEAD: f64 = 0.1;
/// Shortest interval of crossings that are as short as their timing, where the budget is at most the usual one. The
/// effect of timing on such crossings shows in the times that it measures.
const SHORTEST_OF_SHORT: u32 = 32;
/// A crossing is short if it takes less than this many times as long as its timing.
const SHORT: f64 = 2.0;

/// Maximum crossings between two timed ones, on average.
pub const LONGEST_INTERVAL: u32 = 128;
/// Number of timed crossings before a cell's times are relied on.
const ENOUGH: u64 = 2000;
/// Maximum standard error of a sum, as a share of the sum.
const LIMIT: f64 = 0.01;

/// The crossings of a C function on all threads and from all stacks. The limit on the error applies to their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pool {
    /// Crossings so far.
    pub calls: u64,
    /// Their time in ticks, as far as it is known.
    pub ticks: f64,
}

impl Pool {
    /// Adds a cell.
    pub fn add(&mut self, shown: &TimingStats) {
        self.calls += shown.calls;
        self.ticks += shown.calls as f64 * mean_and_variance(shown).0;
    }
}

/// Share of a cell's crossings up to which slow ones count as outliers. Beyond it, the cell itself counts as slow.
const RARE: f64 = 0.05;

/// Number of clock readings in a timed callback.
const CALLBACK_READS: f64 = 4.0;

impl Budget {
    /// Returns the budget of timing that may add this share to a bare call, with the measured costs.
    pub(crate) fn of(measured: &Calibration, share: f64) -> Budget {
        Budget {
            share,
            timing: (measured.timed_crossing - measured.untimed_crossing).max(0.0),
            callback: CALLBACK_READS * measured.clock_read,
            own: measured.enter + measured.c + measured.exit,
            own_c: measured.c,
        }
    }

    /// Returns the shortest interval with which timing stays within the budget.
    pub fn shortest(&self, shown: &TimingStats, outliers: Outliers) -> u32 {
        let weight = (shown.weight as f64).max(1.0);
        let preempted = if outliers.weight > RARE * weight { 0.0 } else { outliers.sum - outliers.confirmed };
        let c = (shown.c.sum as f64 - preempted).max(0.0) / weight;
        // A direct crossing has a C phase only.
        let (overhead, own) = match shown.least_overhead {
            u64::MAX => (0.0, self.own_c),
            least => (least as f64, self.own),
        };
        let bare = (c + overhead - own).max(1.0);
        let callbacks = shown.callbacks as f64 / (shown.calls as f64).max(1.0);
        let timing = self.timing + callbacks * self.callback;
        let wanted = (timing / (self.share * bare)).ceil().clamp(1.0, f64::from(LONGEST_INTERVAL)) as u32;
        let least = if bare < SHORT * timing && self.share <= MAX_OVERHEAD { SHORTEST_OF_SHORT } else { 1 };
        wanted.next_power_of_two().max(least)
    }
}

/// Returns the mean number of crossings between two timed ones of a cell, as its error requires, within the budget.
/// `microsecond` is in ticks.
pub fn interval(shown: &TimingStats, outliers: Outliers, pool: Pool, budget: Budget, microsecond: f64) -> u32 {
    if shown.timed < ENOUGH {
        return 1;
    }
    wanted(shown, pool, microsecond).max(budget.shortest(shown, outliers))
}

/// Returns the longest interval with which the standard error of the function's sum stays within the limit, if as many
/// crossings follow as there have been. Each cell may use its share, by its crossings, of the allowed variance.
fn wanted(shown: &TimingStats, pool: Pool, microsecond: f64) -> u32 {
    if shown.callbacks > 0 {
        return 1;
    }
    if moments(&shown.c, shown.weight as f64).0 > microsecond {
        return 1;
    }
    let (_, variance) = mean_and_variance(shown);
    let calls = shown.calls as f64;
    let share = calls / (pool.calls as f64).max(calls);
    let allowed = (LIMIT * 2.0 * pool.ticks).powi(2) * share - variance * shown.skipped as f64;
    let mut interval = LONGEST_INTERVAL;
    while interval > 1 && variance * calls * unseen_per_crossing(interval) > allowed {
        interval /= 2;
    }
    interval
}

/// Returns the mean and variance of a whole crossing's time, all phases together.
fn mean_and_variance(shown: &TimingStats) -> (f64, f64) {
    let weight = shown.weight as f64;
    let phases = [moments(&shown.enter, weight), moments(&shown.c, weight), moments(&shown.exit, shown.exits as f64)];
    phases.iter().fold((0.0, 0.0), |sum, phase| (sum.0 + phase.0, sum.1 + phase.1))
}

/// Returns the mean and variance of one crossing's time in a phase.
fn moments(phase: &Phase, weight: f64) -> (f64, f64) {
    if weight == 0.0 {
        return (0.0, 0.0);
    }
    let mean = phase.sum as f64 / weight;
    (mean, (phase.squares / weight - mean * mean).max(0.0))
}

/// Returns the expected gap x (gap - 1) for each crossing, with a gap that is uniform from 1 to 2 x interval - 1.
fn unseen_per_crossing(interval: u32) -> f64 {
    4.0 / 3.0 * (f64::from(interval) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: f64 = 3000.0;

    /// A cell whose timed crossings took these times, repeated.
    fn shown(calls: u64, times: &[u64]) -> TimingStats {
        let sum = |power: i32| {
            times.iter().map(|&time| (time as f64).powi(power)).sum::<f64>() * calls as f64 / times.len() as f64
        };
        let phase = Phase { sum: sum(1) as u64, squares: sum(2), ..Phase::default() };
        TimingStats {
            calls,
            timed: calls,
            weight: calls,
            exits: calls,
            least_overhead: 40,
            c: phase,
            exit: Phase { sum: 40 * calls, squares: 1600.0 * calls as f64, ..Phase::default() },
            ..TimingStats::default()
        }
    }

    /// Returns the interval of a cell that has all crossings of its function, whatever timing costs.
    fn alone(shown: &TimingStats) -> u32 {
        let mut pool = Pool::default();
        pool.add(shown);
        interval(shown, Outliers::default(), pool, Budget { share: f64::INFINITY, ..BUDGET }, MICROSECOND)
    }

    /// A tenth of a bare call, where timing takes 120 ticks.
    const BUDGET: Budget = Budget { share: 0.1, timing: 120.0, callback: 80.0, own: 40.0, own_c: 20.0 };

    fn check(what: &str, shown: TimingStats, expected: u32) {
        assert_eq!(alone(&shown), expected, "{what}");
    }

    #[test]
    fn each_kind_of_cell_gets_its_interval() {
        check("nothing known", TimingStats::default(), 1);
        check("too few", shown(1000, &[30]), 1);
        check("steady and frequent", shown(1_000_000, &[30, 31, 29]), LONGEST_INTERVAL);
        check("varied, not yet frequent", shown(2000, &[30, 900, 30, 900]), 1);
        check("slow", shown(1_000_000, &[4000]), 1);
        check("varied by half, frequent", shown(1_000_000, &[30, 90, 60, 150]), LONGEST_INTERVAL);
        let mut tail = vec![60; 1999];
        tail.push(600_000);
        check("heavy tail", shown(1_000_000, &tail), 1);
        check("calls back", TimingStats { callbacks: 1, ..shown(1_000_000, &[30]) }, 1);
    }

    #[test]
    fn the_interval_grows_with_the_evidence() {
        let intervals: Vec<_> =
            [10_000, 100_000, 1_000_000, 10_000_000].map(|calls| alone(&shown(calls, &[100, 300, 100, 900]))).into();
        assert!(intervals.is_sorted(), "{intervals:?}");
        assert!(intervals[0] < LONGEST_INTERVAL && intervals[3] == LONGEST_INTERVAL, "{intervals:?}");
    }

    #[test]
    fn many_cells_of_one_function_share_its_error() {
        let one = shown(20_000, &[100, 300, 100, 900]);
        let mut pool = Pool::default();
        (0..16).for_each(|_| pool.add(&one));
        let dear = Budget { share: f64::INFINITY, ..BUDGET };
        let together = interval(&one, Outliers::default(), pool, dear, MICROSECOND);
        assert!(together > alone(&one));
        // Sixteen cells at this interval together have the error of one function with all their crossings.
        let whole = shown(320_000, &[100, 300, 100, 900]);
        assert_eq!(together, alone(&whole));
    }

    #[test]
    fn timing_stays_within_its_budget() {
        let check = |what: &str, shown: TimingStats, outliers: Outliers, expected: u32| {
            assert_eq!(BUDGET.shortest(&shown, outliers), expected, "{what}");
        };
        let none = Outliers::default();
        check("75 ticks bare", shown(1_000_000, &[75]), none, 32);
        check("300 ticks", shown(1_000_000, &[300]), none, 4);
        check("more than ten times what timing takes", shown(1_000_000, &[1300]), none, 1);
        check("a callback in each", TimingStats { callbacks: 1_000_000, ..shown(1_000_000, &[400]) }, none, 8);
        assert_eq!(Budget { share: 1.0, ..BUDGET }.shortest(&shown(1_000_000, &[75]), none), 2, "a larger budget");
        check(
            "nothing timed",
            TimingStats { weight: 0, least_overhead: u64::MAX, ..TimingStats::default() },
            none,
            LONGEST_INTERVAL,
        );
        // 999,500 crossings take 76 ticks each.
        let mut seldom = vec![76; 1999];
        seldom.push(9_000_000);
        let sum = 500.0 * 9_000_000.0;
        check(
            "preempted, it is not known yet",
            shown(1_000_000, &seldom),
            Outliers { weight: 500.0, sum, confirmed: 0.0 },
            32,
        );
        let work = Outliers { weight: 500.0, sum, confirmed: sum };
        check("slow now and then by its own work", shown(1_000_000, &seldom), work, 1);
        let all = Outliers { weight: 1e6, sum: 1e6 * 90_000.0, confirmed: 0.0 };
        check("slow at all times", shown(1_000_000, &[90_000]), all, 1);
    }

    #[test]
    fn the_predicted_error_holds_within_the_limit() {
        for calls in [10_000u64, 1_000_000] {
            let shown = shown(calls, &[100, 200, 50, 1200]);
            let chosen = alone(&shown);
            let (mean, variance) = moments(&shown.c, shown.weight as f64);
            let mean = mean + 40.0;
            let error = (variance * calls as f64 * unseen_per_crossing(chosen)).sqrt() / (2.0 * calls as f64 * mean);
            assert!(chosen == 1 || error <= LIMIT, "{calls}: {chosen} {error}");
        }
    }

    #[test]
    fn the_mean_square_of_a_uniform_gap() {
        for interval in [1u32, 2, 7, LONGEST_INTERVAL] {
            let gaps = 1..2 * u64::from(interval);
            let mean = gaps.clone().map(|gap| gap * (gap - 1)).sum::<u64>() as f64 / (2.0 * f64::from(interval) - 1.0);
            let expected = mean / f64::from(interval);
            assert!((unseen_per_crossing(interval) - expected).abs() < 1e-9, "{interval}");
        }
    }
}
