//! Parts of a cell that take room only when they are first needed: its times, their histograms, and its rare counts.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Relaxed, Release};

use crate::arena::allocate;
use crate::layout::{Cell, CellRef, Phase, Rare, Samples, Thread, Times};
use crate::mapping::header;
use crate::params::Params;

/// Returns a cell's times; takes room for them if it has none.
///
/// # Safety
/// `thread` must be the running M's, and `cell` one of its cells.
#[inline(always)]
pub(crate) unsafe fn times(params: &Params, thread: *mut Thread, cell: *mut Cell) -> *mut Times {
    // SAFETY: the caller's promise; a reference other than 0 leads to times.
    unsafe {
        match (*cell).times.load(Relaxed) {
            0 => new_times(params, thread, cell),
            at => (params.tables + CellRef(at).offset()) as *mut Times,
        }
    }
}

/// Returns a cell's times, for which room was requested before.
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

/// Returns a cell's rare counts; takes room for them if it has none.
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
    // SAFETY: the caller's times are its own.
    unsafe {
        (*times).c_min = u64::MAX;
        (*times).overhead_min = u64::MAX;
    }
}

/// Takes room for a part that a cell has not had yet, and notes it at `place`. Returns `unkept` if there is none.
unsafe fn new<T>(params: &Params, thread: *mut Thread, place: &AtomicU32, unkept: *mut T) -> *mut T {
    // SAFETY: thread is ours; new room is zeroed, and no other thread knows it before it is noted.
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

impl Samples {
    #[inline(always)]
    pub(crate) fn sample(&mut self, ticks: u64, gap: u64) {
        self.sum += ticks * gap;
        let ticks = ticks as f64;
        self.squares += ticks * ticks * gap as f64;
    }
}

impl crate::layout::Rare {
    /// Adds a long crossing that began somewhere in an interval of `span` ticks.
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
