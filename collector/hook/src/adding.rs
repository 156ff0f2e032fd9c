//! Adds durations to histograms, which take room as they need it.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};

use crate::arena::allocate;
use crate::cell_ref::CellRef;
use crate::histogram::{BUCKETS, FIRST, Histogram, More, NEXT, OCTAVE, Octaves, SPREAD, Spread, WINDOW, bucket};
use crate::layout::Thread;
use crate::mapping::header;
use crate::params::Params;

/// Adds a duration that stands for `weight` of them to one of the thread's histograms.
///
/// # Safety
/// `thread` must be the running M's, and `histogram` in times of one of its cells.
#[inline(always)]
pub(crate) unsafe fn add(params: &Params, thread: *mut Thread, histogram: *mut Histogram, ticks: u64, weight: u64) {
    let bucket = bucket(ticks);
    // SAFETY: the caller's promise; a Spread begins with the counts of its window.
    unsafe {
        let [first, window] = (*histogram).buckets;
        if first == SPREAD {
            let place = bucket.wrapping_sub(window.into());
            if place < WINDOW {
                *((params.tables + (*histogram).more.offset()) as *mut u64).add(place) += weight;
                return;
            }
        } else if (*histogram).more == CellRef::NONE {
            let (counts, buckets) = in_place(histogram);
            if add_to(counts, buckets, FIRST, bucket, weight) {
                return;
            }
        }
        add_apart(params, thread, histogram, bucket, weight);
    }
}

/// Adds to a histogram with more buckets than are in place, or to a bucket outside its window.
#[inline(never)]
unsafe fn add_apart(params: &Params, thread: *mut Thread, histogram: *mut Histogram, bucket: usize, weight: u64) {
    // SAFETY: the histogram is ours; new room is zeroed.
    unsafe {
        if (*histogram).buckets[0] != SPREAD {
            if (*histogram).more == CellRef::NONE {
                (*histogram).more = allocate(params, thread, size_of::<More>() as u64, params.arena_end);
            }
            let (counts, buckets) = in_place(histogram);
            if add_to(counts, buckets, FIRST, bucket, weight) {
                return;
            }
            if (*histogram).more != CellRef::NONE {
                let (counts, buckets) = apart((params.tables + (*histogram).more.offset()) as *mut More);
                if add_to(counts, buckets, NEXT, bucket, weight) {
                    return;
                }
                spread(params, thread, histogram);
            }
        }
        if (*histogram).buckets[0] == SPREAD {
            let [_, window] = (*histogram).buckets;
            let count = count_of(params, thread, (*histogram).more, window, bucket);
            if !count.is_null() {
                *count += weight;
                return;
            }
        }
        header(params).unkept.fetch_add(1, Relaxed);
    }
}

/// Moves the counts of a full histogram to a [`Spread`], which holds all buckets; does nothing if there is no room for
/// it.
#[inline(never)]
unsafe fn spread(params: &Params, thread: *mut Thread, histogram: *mut Histogram) {
    // SAFETY: the histogram is ours, and has more counts, all of them in use.
    unsafe {
        let more = (params.tables + (*histogram).more.offset()) as *mut More;
        let full = [(in_place(histogram), FIRST), (apart(more), NEXT)];
        let mut least = BUCKETS;
        for ((_, buckets), len) in full {
            for place in 0..len {
                least = least.min(*buckets.add(place) as usize);
            }
        }
        // The window begins an octave below the shortest so far, and ends seven octaves above.
        let window = least.saturating_sub(OCTAVE) as u16;
        if (*more).spread == CellRef::NONE {
            (*more).spread = allocate(params, thread, size_of::<Spread>() as u64, params.arena_end);
        }
        let spread = (*more).spread;
        if spread == CellRef::NONE {
            return;
        }
        // All room is taken first, so that no count is lost.
        for ((_, buckets), len) in full {
            for place in 0..len {
                if count_of(params, thread, spread, window, *buckets.add(place) as usize).is_null() {
                    return;
                }
            }
        }
        for ((counts, buckets), len) in full {
            for place in 0..len {
                *count_of(params, thread, spread, window, *buckets.add(place) as usize) = *counts.add(place);
            }
        }
        let word = u64::from(SPREAD) | u64::from(window) << 16 | u64::from(spread.0) << 32;
        AtomicU64::from_ptr((&raw mut (*histogram).buckets).cast()).store(word, Release);
    }
}

/// Returns the address of a bucket's count in spread counts, null if there is no room for it.
#[inline(never)]
unsafe fn count_of(params: &Params, thread: *mut Thread, spread: CellRef, window: u16, bucket: usize) -> *mut u64 {
    // SAFETY: as above; a bucket is below BUCKETS, so its octave has a reference, to words of its own.
    unsafe {
        let spread = (params.tables + spread.offset()) as *mut Spread;
        let place = bucket.wrapping_sub(window.into());
        if place < WINDOW {
            return (&raw mut (*spread).window).cast::<u64>().add(place);
        }
        let octaves = &raw mut (*spread).octaves;
        if *octaves == CellRef::NONE {
            *octaves = allocate(params, thread, size_of::<Octaves>() as u64, params.arena_end);
        }
        if *octaves == CellRef::NONE {
            return core::ptr::null_mut();
        }
        let octave = ((params.tables + (*octaves).offset()) as *mut CellRef).add(bucket / OCTAVE);
        if *octave == CellRef::NONE {
            *octave = allocate(params, thread, (OCTAVE * size_of::<u64>()) as u64, params.arena_end);
        }
        if *octave == CellRef::NONE {
            return core::ptr::null_mut();
        }
        ((params.tables + (*octave).offset()) as *mut u64).add(bucket % OCTAVE)
    }
}

/// Adds to the count of a bucket, or makes one for it. Returns whether there was room for that.
#[inline(always)]
unsafe fn add_to(counts: *mut u64, buckets: *mut u16, len: usize, bucket: usize, weight: u64) -> bool {
    for place in 0..len {
        // SAFETY: the caller has `len` of both.
        unsafe {
            let (count, at) = (counts.add(place), buckets.add(place));
            if *count == 0 {
                *at = bucket as u16;
            }
            if *at == bucket as u16 {
                *count += weight;
                return true;
            }
        }
    }
    false
}

/// Returns the counts and buckets in a histogram itself.
#[inline(always)]
unsafe fn in_place(histogram: *mut Histogram) -> (*mut u64, *mut u16) {
    // SAFETY: only addresses are taken; the caller's histogram is one.
    unsafe { ((&raw mut (*histogram).counts).cast(), (&raw mut (*histogram).buckets).cast()) }
}

/// Returns the counts and buckets of a [`More`].
#[inline(always)]
unsafe fn apart(more: *mut More) -> (*mut u64, *mut u16) {
    // SAFETY: as above.
    unsafe { ((&raw mut (*more).counts).cast(), (&raw mut (*more).buckets).cast()) }
}
