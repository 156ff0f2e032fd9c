//! Places in the shared mapping.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Acquire;

use crate::layout::{Cell, CellRef, Header, THREADS, Thread};
use crate::params::Params;

/// Returns the shared mapping's header.
///
/// # Safety
/// `params` must describe a live mapping.
#[inline(always)]
pub(crate) unsafe fn header<'a>(params: &Params) -> &'a Header {
    // SAFETY: the recorder maps the tables before it lets any hook run and they stay mapped.
    unsafe { &*(params.tables as *const Header) }
}

/// Returns the reference of a cell.
#[inline(always)]
pub(crate) fn reference(params: &Params, cell: *const Cell) -> CellRef {
    CellRef(((cell as u64 - params.tables) / 64) as u32)
}

/// Returns the cell of a reference.
#[inline(always)]
pub(crate) fn at_ref(params: &Params, cell: CellRef) -> *mut Cell {
    (params.tables + cell.offset()) as *mut Cell
}

/// Returns the tables that have ever been claimed.
///
/// # Safety
/// `params` must describe a live mapping.
pub(crate) unsafe fn used(params: &Params) -> impl Iterator<Item = *mut Thread> {
    // SAFETY: the header is mapped; a place below the count is written before it is counted, or 0.
    let count = unsafe { header(params) }.used_count.load(Acquire) as usize;
    (0..if count < THREADS { count } else { THREADS }).filter_map(move |place| {
        // SAFETY: place is below THREADS.
        let one = unsafe { &*(&raw const header(params).used).cast::<AtomicU32>().add(place) }.load(Acquire);
        if one == 0 { None } else { Some((params.tables + CellRef(one).offset()) as *mut Thread) }
    })
}

/// Returns the thread's spare cell, which counts what has no other place.
pub(crate) fn spare(thread: *mut Thread) -> *mut Cell {
    // SAFETY: only the address is taken; thread points into the mapping.
    unsafe { &raw mut (*thread).spare.cell }
}
