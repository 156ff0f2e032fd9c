//! What a cell has apart, and takes room for when it is first needed: its times, their histograms, and what is rare.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Relaxed, Release};

use crate::arena::allocate;
use crate::histogram::{FIRST, Histogram, More, NEXT, OCTAVE, Octaves, SPREAD, bucket};
use crate::layout::{Cell, CellRef, Phase, Rare, Samples, Thread, Times};
use crate::params::Params;
use crate::threads::header;

/// A cell's times.
///
/// # Safety
/// `thread` must be the running M's, and `cell` one of its cells.
#[inline(always)]
pub(crate) unsafe fn times(params: &Params, thread: *mut Thread, cell: *mut Cell) -> *mut Times {
    // SAFETY: the caller's promise; a reference that is there leads to times.
    unsafe {
        match (*cell).times.load(Relaxed) {
            0 => new_times(params, thread, cell),
            at => (params.tables + CellRef(at).offset()) as *mut Times,
        }
    }
}

/// A cell's times, for which room has been asked before.
///
/// # Safety
/// As [`times`].
pub(crate) unsafe fn times_taken(params: &Params, thread: *mut Thread, cell: *mut Cell) -> *mut Times {
    // SAFETY: as above.
    unsafe {
        match (*cell).times.load(Relaxed) {
            0 => &raw mut (*thread).unkept.times,
            at => (params.tables + CellRef(at).offset()) as *mut Times,
        }
    }
}

/// What is rare of a cell.
///
/// # Safety
/// As [`times`].
#[inline(always)]
pub(crate) unsafe fn rare(params: &Params, thread: *mut Thread, cell: *mut Cell) -> *mut Rare {
    // SAFETY: as above.
    unsafe {
        match (*cell).rare.load(Relaxed) {
            0 => new(params, thread, &(*cell).rare, &raw mut (*thread).unkept.rare),
            at => (params.tables + CellRef(at).offset()) as *mut Rare,
        }
    }
}

/// Adds a duration that stands for `weight` of them to a histogram of the thread's.
///
/// # Safety
/// `thread` must be the running M's, and `histogram` in times of one of its cells.
#[inline(always)]
pub(crate) unsafe fn add(params: &Params, thread: *mut Thread, histogram: *mut Histogram, ticks: u64, weight: u64) {
    let bucket = bucket(ticks);
    // SAFETY: the caller's promise.
    unsafe {
        let (counts, buckets) = in_place(histogram);
        let more = (*histogram).more;
        if more == CellRef::NONE {
            if add_to(counts, buckets, FIRST, bucket, weight) {
                return;
            }
        } else if *buckets == SPREAD {
            let octave = *((params.tables + more.offset()) as *const CellRef).add(bucket / OCTAVE);
            if octave != CellRef::NONE {
                *((params.tables + octave.offset()) as *mut u64).add(bucket % OCTAVE) += weight;
                return;
            }
        }
        add_apart(params, thread, histogram, bucket, weight);
    }
}

/// The counts and buckets in a histogram itself.
#[inline(always)]
unsafe fn in_place(histogram: *mut Histogram) -> (*mut u64, *mut u16) {
    // SAFETY: only addresses are taken; the caller's histogram is one.
    unsafe { ((&raw mut (*histogram).counts).cast(), (&raw mut (*histogram).buckets).cast()) }
}

/// Adds to the count of a bucket, or makes one for it. Returns whether there was room for that.
#[inline(always)]
unsafe fn add_to(counts: *mut u64, buckets: *mut u16, len: usize, bucket: usize, weight: u64) -> bool {
    for place in 0..len {
        // SAFETY: the caller has so many of both.
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

#[cold]
#[inline(never)]
unsafe fn new_times(params: &Params, thread: *mut Thread, cell: *mut Cell) -> *mut Times {
    // SAFETY: thread and cell are ours.
    unsafe {
        let times = new(params, thread, &(*cell).times, &raw mut (*thread).unkept.times);
        begin(times);
        times
    }
}

/// Makes zeroed times ready.
pub(crate) unsafe fn begin(times: *mut Times) {
    // SAFETY: the caller's are its own.
    unsafe {
        (*times).c_min = u64::MAX;
        (*times).overhead_min = u64::MAX;
    }
}

/// Room for what a cell has not had yet, noted at `place`; `unkept` if there is none.
unsafe fn new<T>(params: &Params, thread: *mut Thread, place: &AtomicU32, unkept: *mut T) -> *mut T {
    // SAFETY: thread is ours; what is new is zeroed, and known to nobody else before it is noted.
    unsafe {
        let at = allocate(params, thread, size_of::<T>() as u64, params.arena_end);
        if at == CellRef::NONE {
            header(params).unkept.fetch_add(1, Relaxed);
            return unkept;
        }
        place.store(at.0, Release);
        (params.tables + at.offset()) as *mut T
    }
}

/// Adds to a histogram of more buckets than are in place.
#[inline(never)]
unsafe fn add_apart(params: &Params, thread: *mut Thread, histogram: *mut Histogram, bucket: usize, weight: u64) {
    // SAFETY: the histogram is ours; what is new is zeroed.
    unsafe {
        let (counts, buckets) = in_place(histogram);
        if (*histogram).more == CellRef::NONE {
            (*histogram).more = allocate(params, thread, size_of::<More>() as u64, params.arena_end);
        }
        let mut count = core::ptr::null_mut();
        if *buckets == SPREAD {
            count = count_of(params, thread, &raw mut (*histogram).more, bucket);
        } else if (*histogram).more != CellRef::NONE {
            let more = (params.tables + (*histogram).more.offset()) as *mut More;
            let octaves = &raw mut (*more).octaves;
            let (next, next_buckets) = ((&raw mut (*more).counts).cast(), (&raw mut (*more).buckets).cast());
            if add_to(counts, buckets, FIRST, bucket, weight) || add_to(next, next_buckets, NEXT, bucket, weight) {
                return;
            }
            move_to(params, thread, octaves, counts, buckets, FIRST);
            move_to(params, thread, octaves, next, next_buckets, NEXT);
            count = count_of(params, thread, octaves, bucket);
            if *octaves != CellRef::NONE {
                (*histogram).more = *octaves;
                *buckets = SPREAD;
            }
        }
        if !count.is_null() {
            *count += weight;
            return;
        }
        header(params).unkept.fetch_add(1, Relaxed);
    }
}

/// Moves counts to octaves, as far as there is room.
#[inline(always)]
unsafe fn move_to(
    params: &Params,
    thread: *mut Thread,
    octaves: *mut CellRef,
    counts: *mut u64,
    buckets: *mut u16,
    len: usize,
) {
    for place in 0..len {
        // SAFETY: the caller has so many of both.
        unsafe {
            let moved = count_of(params, thread, octaves, *buckets.add(place) as usize);
            if !moved.is_null() {
                *moved += core::mem::replace(&mut *counts.add(place), 0);
            }
        }
    }
}

/// Where the count of a bucket is that has found no place before; null if there is no room.
#[inline(never)]
unsafe fn count_of(params: &Params, thread: *mut Thread, octaves: *mut CellRef, bucket: usize) -> *mut u64 {
    // SAFETY: as above; a bucket is below BUCKETS, so that its octave has a reference, to words of its own.
    unsafe {
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

impl Samples {
    #[inline(always)]
    pub(crate) fn sample(&mut self, ticks: u64, gap: u64) {
        self.sum += ticks * gap;
        let ticks = ticks as f64;
        self.squares += ticks * ticks * gap as f64;
    }
}

impl crate::layout::Rare {
    /// A long crossing began somewhere in an interval of so many ticks.
    #[inline(always)]
    pub(crate) fn begin_within(&mut self, span: u64) {
        self.c_begin_squares += span as f64 * span as f64;
    }
}

impl Phase {
    #[inline(always)]
    pub(crate) fn sample(&mut self, ticks: u64, gap: u64) {
        self.sum += ticks * gap;
        let ticks = ticks as f64;
        self.squares += ticks * ticks * gap as f64;
    }

    #[inline(always)]
    pub(crate) fn whole(&mut self, ticks: u64) {
        self.census += 1;
        self.census_sum += ticks;
    }
}
