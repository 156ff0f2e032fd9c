//! Moments at which threads were seen to wait in C. They are kept until the crossing has ended: by then it is known how
//! long the thread waited.

use std::collections::HashMap;

use crate::clock::Monotonic;

/// The moments of each thread, in the order of time.
#[derive(Default)]
pub(super) struct Sightings(HashMap<u64, Vec<Sighting>>);

/// A moment at which a thread was found to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sighting {
    pub(super) at: Monotonic,
    /// Number of the stack ([`super::samples::WaitTime::number`]).
    pub(super) stack: u32,
}

/// Maximum moments kept of a thread. When there are more, the older half is forgotten; that is what removes moments in
/// crossings that were not slow.
const MOST: usize = 8192;

impl Sightings {
    pub(super) fn add(&mut self, tid: u64, sighting: Sighting) {
        let own = self.0.entry(tid).or_default();
        if own.len() >= MOST {
            own.drain(..MOST / 2);
        }
        // A look may be understood after the next wait has begun.
        let after = own.partition_point(|other| other.at <= sighting.at);
        own.insert(after, sighting);
    }

    /// Takes out what was found of a thread between two times.
    pub(super) fn take(&mut self, tid: u64, from: Monotonic, to: Monotonic) -> Vec<Sighting> {
        let Some(own) = self.0.get_mut(&tid) else { return Vec::new() };
        let first = own.partition_point(|sighting| sighting.at < from);
        let after = own.partition_point(|sighting| sighting.at <= to);
        own.drain(first..after.max(first)).collect()
    }

    /// Returns what is left, with the threads.
    pub(super) fn left(&self) -> impl Iterator<Item = (u64, &[Sighting])> {
        self.0.iter().map(|(&tid, own)| (tid, own.as_slice()))
    }

    /// Keeps only the threads for which this holds and of which something is left.
    pub(super) fn keep_threads(&mut self, keep: impl Fn(u64) -> bool) {
        self.0.retain(|&tid, own| !own.is_empty() && keep(tid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: u64) -> Sighting {
        Sighting { at: Monotonic(at), stack: at as u32 }
    }

    #[test]
    fn what_was_found_in_a_crossing_is_taken_once_and_that_of_the_one_around_it_is_left() {
        let mut sightings = Sightings::default();
        [10, 20, 30, 40].into_iter().for_each(|time| sightings.add(7, at(time)));
        assert_eq!(sightings.take(7, Monotonic(15), Monotonic(30)), [at(20), at(30)]);
        assert_eq!(sightings.take(7, Monotonic(15), Monotonic(30)), []);
        assert_eq!(sightings.take(8, Monotonic(0), Monotonic(100)), []);
        assert_eq!(sightings.left().collect::<Vec<_>>(), [(7, &[at(10), at(40)][..])]);
        sightings.keep_threads(|tid| tid != 7);
        assert_eq!(sightings.left().count(), 0);
    }

    #[test]
    fn of_a_thread_that_is_found_again_and_again_the_latest_are_kept() {
        let mut sightings = Sightings::default();
        (0..10_000).for_each(|time| sightings.add(7, at(time)));
        let left = sightings.take(7, Monotonic(0), Monotonic(u64::MAX));
        assert!((MOST / 2..=MOST).contains(&left.len()), "{}", left.len());
        assert_eq!(left.last(), Some(&at(9999)));
    }
}
