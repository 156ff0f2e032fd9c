//! Where the tables of Ms are, by the Ms' addresses, and which Ms have none.
//!
//! Two caches in shared memory, each word of which is read and written at once. A word may make room for another's at any time;
//! who finds none looks further.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::layout::{Header, RELEASING, Thread, WITHOUT, home};

/// Words in which an M's table may be: those of a cache line.
const GROUP: usize = 8;
/// Those of them that the thunks look at.
const NEAR: usize = 2;
/// Bits of [`Header::freed`] beside the address of an M without a table; those of user space have 47.
const FREED_BITS: u32 = 16;

/// The table of an M if it is where most are, else null.
///
/// # Safety
/// The directory's words must lead to tables.
#[inline(always)]
pub(crate) unsafe fn at_home(header: &Header, m: u64) -> *mut Thread {
    let thread = word(header, m, 0).load(Relaxed) as *mut Thread;
    // SAFETY: the caller's promise; tables stay.
    if !thread.is_null() && unsafe { (*thread).owner.load(Relaxed) } == m { thread } else { core::ptr::null_mut() }
}

/// The table of an M, null if it is not known.
///
/// # Safety
/// As [`at_home`].
#[inline(never)]
pub(crate) unsafe fn find(header: &Header, m: u64) -> *mut Thread {
    for probe in 0..GROUP {
        let thread = word(header, m, probe).load(Relaxed) as *mut Thread;
        // SAFETY: the caller's promise; tables stay.
        if !thread.is_null() && unsafe { (*thread).owner.load(Relaxed) } == m {
            return thread;
        }
    }
    core::ptr::null_mut()
}

/// Notes the table of an M: in a word that is free, or leads to one that is nobody's or has come to an M elsewhere; else in another's.
///
/// # Safety
/// As [`at_home`].
#[inline(never)]
pub(crate) unsafe fn note(header: &Header, m: u64, thread: *mut Thread) {
    for probe in 0..GROUP {
        let place = word(header, m, probe);
        let there = place.load(Relaxed);
        // SAFETY: the caller's promise.
        let owner = if there == 0 { 0 } else { unsafe { (*(there as *const Thread)).owner.load(Relaxed) } };
        let is_free = owner <= RELEASING || home(owner) / GROUP != home(m) / GROUP;
        if is_free && place.compare_exchange(there, thread as u64, Relaxed, Relaxed).is_ok() {
            // The table that it led to may have become another M's just now, who has found it here.
            header.directory_evictions.fetch_add((there != 0) as u64, Relaxed);
            return;
        }
    }
    header.directory_evictions.fetch_add(1, Relaxed);
    word(header, m, 0).store(thread as u64, Relaxed);
}

/// Whether a table is where the thunks look for that of an M.
pub(crate) fn is_near(header: &Header, m: u64, thread: *const Thread) -> bool {
    (0..NEAR).any(|probe| word(header, m, probe).load(Relaxed) == thread as u64)
}

/// Whether no table was free for an M, and none has become so since.
pub(crate) fn is_without(header: &Header, m: u64) -> bool {
    without(header, m).load(Relaxed) == noted(m, header.freed.load(Relaxed))
}

/// Notes that none was, when `freed` was this.
pub(crate) fn note_without(header: &Header, m: u64, freed: u64) {
    without(header, m).store(noted(m, freed), Relaxed);
}

fn noted(m: u64, freed: u64) -> u64 {
    m << FREED_BITS | freed & ((1 << FREED_BITS) - 1)
}

fn without(header: &Header, m: u64) -> &AtomicU64 {
    &header.without[((m >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % WITHOUT]
}

#[inline(always)]
fn word(header: &Header, m: u64, probe: usize) -> &AtomicU64 {
    &header.directory[home(m) ^ (probe % GROUP)]
}
