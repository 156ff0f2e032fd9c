//! What the machine's host and its other guests do to a measurement.
//!
//! Two things disturb it. The host takes a processor away for a while (steal): that time is in our processor times and
//! not in a thread's own clock, and the kernel tells nobody whose it was. And other guests slow the processor down by what they do
//! beside it, which no counter of this system shows. A measurement that was disturbed is inconclusive and is made again,
//! a few times at most. The last one counts whatever happened: no limit is ever widened.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

/// Times that a measurement is made at most.
const TRIES: u32 = 3;
/// Share of the elapsed time that the host may take from all processors together: a third of the smallest tolerance of a test.
const STOLEN: f64 = 0.01;

/// Makes a measurement from which the host has taken next to nothing.
pub fn undisturbed<T>(measure: impl Fn() -> T) -> T {
    for tries_left in (1..TRIES).rev() {
        let (start, before) = (Instant::now(), stolen_nanos());
        let measured = measure();
        let share = (stolen_nanos() - before) / start.elapsed().as_nanos() as f64;
        if share <= STOLEN {
            return measured;
        }
        eprintln!("inconclusive, {tries_left} tries left: the host took {:.1} % of the time", share * 100.0);
    }
    measure()
}

/// Runs a test again while it fails and the machine's speed changes under it.
///
/// A fixed amount of work tells: on a steady machine it takes as long after the test as before, and most of the time about as
/// long as usual.
pub fn on_a_steady_machine(test: impl Fn()) {
    for tries_left in (0..TRIES).rev() {
        let before = work_nanos();
        let Err(failure) = catch_unwind(AssertUnwindSafe(&test)) else { return };
        let after = work_nanos();
        let is_steady = |[usual, most]: [f64; 2]| most < 1.1 * usual;
        let is_as_before = (after[0] / before[0] - 1.0).abs() < 0.05;
        if tries_left == 0 || (is_steady(before) && is_steady(after) && is_as_before) {
            resume_unwind(failure);
        }
        eprintln!(
            "inconclusive, {tries_left} tries left: a fixed work took {before:?} ns before and {after:?} ns after"
        );
    }
}

/// What the host has taken from all processors since the machine's start: proc_stat(5), in hundredths of a second.
fn stolen_nanos() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("/proc/stat");
    let all = stat.lines().next().expect("a line of all processors");
    all.split_whitespace().nth(8).map_or(0.0, |steal| steal.parse::<f64>().expect("a number") * 1e7)
}

/// What a fixed amount of work takes: the median, and the time that nine of ten pieces do not exceed.
fn work_nanos() -> [f64; 2] {
    let piece = || {
        let start = Instant::now();
        for step in 0..20_000u64 {
            std::hint::black_box(step);
        }
        start.elapsed().as_nanos() as f64
    };
    let mut pieces: Vec<f64> = (0..10_000).map(|_| piece()).collect();
    pieces.sort_by(f64::total_cmp);
    [pieces[pieces.len() / 2], pieces[pieces.len() * 9 / 10]]
}
