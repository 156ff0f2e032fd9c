//! Slow crossings nested in each other.

use std::collections::HashMap;

use crate::clock::Monotonic;

/// Slow crossings that ended lately, by thread.
#[derive(Default)]
pub(super) struct EndedLately(HashMap<u64, Vec<Ended>>);

/// A slow crossing that has ended. Its blocked time is part of that of the crossing around it.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub(super) from: Monotonic,
    pub(super) to: Monotonic,
    /// Includes the crossings within it.
    pub(super) blocked: u64,
}

/// Maximum threads whose slow crossings are remembered; when there are more, all are forgotten.
const MOST_THREADS: usize = 10_000;
/// Maximum crossings of a thread that are remembered for the one around them.
const MOST_ENDED: usize = 256;

impl EndedLately {
    /// Remembers a crossing that has ended, and takes out those of its thread that were within it.
    pub(super) fn add(&mut self, tid: u64, ended: Ended) -> Vec<Ended> {
        within(self.0.entry(tid).or_default(), ended)
    }

    /// Returns how long those crossings of a thread were blocked that began after a time.
    pub(super) fn blocked_since(&self, tid: u64, from: Monotonic) -> u64 {
        let lately = self.0.get(&tid).map_or(&[][..], Vec::as_slice);
        lately.iter().filter(|ended| ended.from >= from).map(|ended| ended.blocked).sum()
    }

    /// Makes room if there are too many threads.
    pub(super) fn limit(&mut self) {
        if self.0.len() > MOST_THREADS {
            self.0.clear();
        }
    }
}

fn within(lately: &mut Vec<Ended>, ended: Ended) -> Vec<Ended> {
    let first = lately.iter().position(|other| other.from >= ended.from).unwrap_or(lately.len());
    let within = lately.split_off(first);
    if lately.len() >= MOST_ENDED {
        lately.drain(..MOST_ENDED / 2);
    }
    lately.push(ended);
    within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_is_taken_from_what_it_is_in() {
        let mut lately = Vec::new();
        let mut check = |from: u64, to: u64, expected: &[u64]| {
            let ended = Ended { from: Monotonic(from), to: Monotonic(to), blocked: to - from };
            let found: Vec<_> = within(&mut lately, ended).iter().map(|ended| ended.from.0).collect();
            assert_eq!(found, expected, "{from}..{to}");
        };
        check(10, 20, &[]);
        check(32, 33, &[]);
        check(35, 36, &[]);
        check(31, 37, &[32, 35]);
        check(30, 40, &[31]);
        check(5, 50, &[10, 30]);
    }
}
