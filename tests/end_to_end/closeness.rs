//! Times of two clocks, compared in several recordings.
//!
//! Where the machine holds a thread up between our reading of the clock and the program's own, one of them has that
//! time and the other has not. It says nothing of either, and on a virtual machine it is some milliseconds, now and
//! then tens. So times must be close in most of a few recordings; counts must be right in each.

use std::collections::BTreeMap;

/// Recordings made at most, and how many of them must be close.
const RUNS: usize = 5;
const MOST: usize = 3;

/// A time that we found, against what the program's own clock says.
pub(crate) struct Times {
    what: String,
    found: f64,
    own: f64,
    /// What the difference between them is a share of.
    of: f64,
}

impl Times {
    /// They differ by no more than a share of the program's.
    pub(crate) fn new(what: impl Into<String>, found: f64, own: f64) -> Times {
        Times::within(what, found, own, own)
    }

    /// They differ by no more than a share of another time.
    pub(crate) fn within(what: impl Into<String>, found: f64, own: f64, of: f64) -> Times {
        Times { what: what.into(), found, own, of }
    }
}

/// In most recordings, no time that `record` compares may be off by more than this share.
#[track_caller]
pub(crate) fn check_close(share: f64, record: impl Fn() -> Vec<Times>) {
    let mut off: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..RUNS {
        for Times { what, found, own, of } in record() {
            off.entry(what).or_default().push((found - own) / of);
        }
        assert!(!off.is_empty(), "nothing was compared");
        if off.values().all(|shares| shares.iter().filter(|off| off.abs() < share).count() >= MOST) {
            return;
        }
    }
    panic!("off by more than {share} in most of {RUNS} recordings: {off:?}");
}
