//! Values of two clocks, compared in several recordings.
//!
//! Where the machine holds a thread up between our reading of the clock and the program's own, one of them has that
//! time and the other has not. It says nothing of either, and on a virtual machine it is some milliseconds, now and
//! then tens. Counts must be right in each recording; of times it is the median recording that must be.

use std::collections::BTreeMap;

use crate::host::undisturbed;

/// Recordings made at most.
const RUNS: usize = 5;
/// How many of them must be close. Where three of five are within the tolerance, so is their median: a value that is off by
/// more than the tolerance on the whole does not pass because two recordings were lucky, and two that were held up don't fail.
const MAJORITY: usize = RUNS / 2 + 1;

/// How far a value may be off.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance {
    /// A share of the expected value.
    Relative(f64),
    /// In the value's own unit.
    Absolute(f64),
}

/// A value that we found, against what the program knows.
#[derive(Debug)]
pub struct Compared {
    what: String,
    found: f64,
    expected: f64,
    tolerance: Tolerance,
}

impl Compared {
    /// They differ by less than the tolerance.
    pub fn new(what: impl Into<String>, found: f64, expected: f64, tolerance: Tolerance) -> Compared {
        Compared { what: what.into(), found, expected, tolerance }
    }

    fn is_close(&self) -> bool {
        let most = match self.tolerance {
            Tolerance::Relative(share) => share * self.expected.abs(),
            Tolerance::Absolute(most) => most,
        };
        (self.found - self.expected).abs() < most
    }
}

/// Each value that `record` compares must be close in most recordings. Those from which the host took too much are made again.
#[track_caller]
pub fn check_close(record: impl Fn() -> Vec<Compared>) {
    check_median(|| undisturbed(&record));
}

/// Each value must be close in most of so many runs.
#[track_caller]
fn check_median(record: impl Fn() -> Vec<Compared>) {
    let mut runs: BTreeMap<String, Vec<Compared>> = BTreeMap::new();
    for _ in 0..RUNS {
        for compared in record() {
            runs.entry(compared.what.clone()).or_default().push(compared);
        }
        assert!(!runs.is_empty(), "nothing was compared");
        let most_are = |runs: &Vec<Compared>| runs.iter().filter(|run| run.is_close()).count() >= MAJORITY;
        if runs.values().all(most_are) {
            return;
        }
    }
    panic!("not close in {MAJORITY} of {RUNS} recordings: {runs:#?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_of_the_expected_value_or_its_unit() {
        let check = |found, expected, tolerance, close| {
            assert_eq!(Compared::new("a time", found, expected, tolerance).is_close(), close, "{found} {tolerance:?}");
        };
        check(102.0, 100.0, Tolerance::Relative(0.03), true);
        check(98.0, 100.0, Tolerance::Relative(0.03), true);
        check(104.0, 100.0, Tolerance::Relative(0.03), false);
        check(-102.0, -100.0, Tolerance::Relative(0.03), true);
        check(1.5, 0.0, Tolerance::Absolute(2.0), true);
        check(2.5, 0.0, Tolerance::Absolute(2.0), false);
        check(f64::NAN, 1.0, Tolerance::Relative(0.5), false);
    }

    #[test]
    fn two_of_five_may_be_off_and_three_may_not() {
        let outcome = |off: usize| {
            let made = std::cell::Cell::new(0);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                check_median(|| {
                    made.set(made.get() + 1);
                    let found = if made.get() <= off { 2.0 } else { 1.0 };
                    vec![Compared::new("a time", found, 1.0, Tolerance::Relative(0.1))]
                });
            }))
            .is_ok()
        };
        assert_eq!([0, 2, 3].map(outcome), [true, true, false]);
    }
}
