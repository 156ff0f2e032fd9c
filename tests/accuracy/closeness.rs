//! Times of two clocks, compared in several recordings.
//!
//! Where the machine holds a thread up between our reading of the clock and the program's own, one of them has that
//! time and the other has not. It says nothing of either, and on a virtual machine it is some milliseconds, now and
//! then tens. So times must be close in most of a few recordings; counts must be right in each.

use std::collections::BTreeMap;

/// Recordings made at most, and how many of them must be close.
const RUNS: usize = 5;
const MOST: usize = 3;

/// A time that we found and what the program's own clock says.
pub(crate) struct Times {
    pub(crate) what: String,
    pub(crate) found: f64,
    pub(crate) own: f64,
}

/// Each time that `record` compares must be the program's own in most recordings, but for this share of it.
#[track_caller]
pub(crate) fn check_close(share: f64, record: impl Fn() -> Vec<Times>) {
    let mut ratios: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..RUNS {
        for Times { what, found, own } in record() {
            ratios.entry(what).or_default().push(found / own);
        }
        assert!(!ratios.is_empty(), "nothing was compared");
        if ratios.values().all(|of| of.iter().filter(|&ratio| (ratio - 1.0).abs() < share).count() >= MOST) {
            return;
        }
    }
    panic!("not within {share} of the program's own clock in {MOST} of {RUNS} recordings: {ratios:?}");
}
