//! Tests of times and their histograms, which take room as they need it.

use core::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::adding::add;
use crate::histogram::{BUCKETS, Histogram, More, OCTAVE, Octaves, SPREAD, Spread, bucket};

impl World {
    /// Returns a histogram's buckets that are not empty.
    fn buckets(&self, histogram: &Histogram) -> BTreeMap<usize, u64> {
        // SAFETY: a reference other than none leads to what it names.
        unsafe {
            let at = |place: CellRef| self.params.tables + place.offset();
            let mut all: Vec<(u16, u64)> = histogram.buckets.into_iter().zip(histogram.counts).collect();
            if histogram.more != CellRef::NONE {
                if histogram.buckets[0] != SPREAD {
                    let more = (at(histogram.more) as *const More).read();
                    all.extend(more.buckets.into_iter().zip(more.counts));
                } else {
                    let spread = &*(at(histogram.more) as *const Spread);
                    all = (histogram.buckets[1]..).zip(spread.window).collect();
                    let none = Octaves([CellRef::NONE; BUCKETS / OCTAVE]);
                    let octaves = match spread.octaves {
                        CellRef::NONE => &none,
                        octaves => &*(at(octaves) as *const Octaves),
                    };
                    for bucket in (0..BUCKETS).filter(|bucket| octaves.0[bucket / OCTAVE] != CellRef::NONE) {
                        let count = (at(octaves.0[bucket / OCTAVE]) as *const u64).add(bucket % OCTAVE).read();
                        all.push((bucket as u16, count));
                    }
                }
            }
            all.retain(|&(_, count)| count > 0);
            let found: BTreeMap<usize, u64> = all.iter().map(|&(bucket, count)| (bucket.into(), count)).collect();
            assert_eq!(found.len(), all.len(), "a bucket is in two places");
            found
        }
    }
}

proptest! {
    #[test]
    fn a_histogram_holds_what_is_added(
        durations in prop::collection::vec((prop_oneof![0u64..64, 0u64..1 << 40], 1u64..9), 0..40),
    ) {
        let world = World::new(64, 8);
        let m = Machine::new(1, false);
        let mut expected = BTreeMap::new();
        // SAFETY: the thread lies in the world's memory, and so does its spare cell's histogram.
        let found = unsafe {
            let thread = threads::find(&world.params, m.address());
            let histogram = &raw mut (*thread).spare.times.c_histogram;
            for &(ticks, weight) in &durations {
                add(&world.params, thread, histogram, ticks, weight);
                *expected.entry(bucket(ticks)).or_default() += weight;
            }
            world.buckets(&*histogram)
        };
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn times_that_find_no_room_are_counted() {
    let world = World::of(1, 0, 0);
    // SAFETY: the thread lies in the world's memory, and so does its spare cell's histogram; the world begins with a
    // header.
    let (found, unkept) = unsafe {
        let thread = threads::find(&world.params, Machine::new(1, false).address());
        let histogram = &raw mut (*thread).spare.times.c_histogram;
        for shift in 0..20 {
            add(&world.params, thread, histogram, 1 << shift, 3);
        }
        (world.buckets(&*histogram), (*world.memory.cast::<Header>()).unkept.load(Relaxed))
    };
    assert_eq!(found, BTreeMap::from([(bucket(1), 3), (bucket(2), 3)]));
    assert_eq!(unkept, 18);
}

#[test]
fn no_count_is_lost_where_room_ends_amid_many_buckets() {
    for free in (0..40).step_by(if cfg!(miri) { 13 } else { 1 }) {
        let world = World::of(1, 4, 0);
        // SAFETY: the world begins with a header; the thread lies in its memory, and so does its spare cell's
        // histogram.
        unsafe {
            let thread = threads::find(&world.params, Machine::new(1, false).address());
            let room = (*thread).chunk_end - (*thread).chunk_next;
            (*thread).chunk_next += room;
            let arena = &(*world.memory.cast::<Header>()).arena;
            let Arena { next, .. } = Arena::unpack(arena.load(Relaxed));
            arena.store(Arena { next, end: CellRef(next.0 + free) }.pack(), Relaxed);
            let histogram = &raw mut (*thread).spare.times.c_histogram;
            for round in 0..2 {
                for shift in 0..40 {
                    add(&world.params, thread, histogram, 1 << shift, 3);
                }
                let unkept = (*world.memory.cast::<Header>()).unkept.load(Relaxed);
                let kept: u64 = world.buckets(&*histogram).values().sum();
                assert_eq!(kept + 3 * unkept, 3 * 40 * (round + 1), "{free} lines free");
            }
        }
    }
}
