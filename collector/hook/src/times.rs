//! What a cell has apart, and takes room for when it is first needed: its times, their histograms, and what is rare.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Relaxed, Release};

use crate::arena::allocate;
use crate::layout::{Cell, CellRef, Phase, Rare, Samples, Thread, Times};
use crate::mapping::header;
use crate::params::Params;

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
