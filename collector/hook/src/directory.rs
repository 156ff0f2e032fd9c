//! Directory of the tables of Ms by the Ms' addresses, and of the Ms that have none.
//!
//! Both are caches in shared memory, each word of which is read and written at once. A word may be overwritten for
//! another M at any time; a lookup that finds none searches further.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::layout::{Header, RELEASING, Thread, WITHOUT, home};

/// Number of words in which an M's table may be: those of a cache line.
const GROUP: usize = 8;
/// Number of these words at which the thunks look.
const NEAR: usize = 2;
/// Bits of [`Header::freed`] that are kept beside the address of an M without a table. Addresses of user space have 47
/// bits.
const FREED_BITS: u32 = 16;

/// Returns the table of an M if it is in the M's first word, where most are; else null.
///
/// # Safety
/// The directory's words must lead to tables.
#[inline(always)]
pub(crate) unsafe fn at_home(header: &Header, m: u64) -> *mut Thread {
    let thread = word(header, m, 0).load(Relaxed) as *mut Thread;
    // SAFETY: the caller's promise; tables stay.
    if !thread.is_null() && unsafe { (*thread).owner.load(Relaxed) } == m { thread } else { core::ptr::null_mut() }
}

/// Returns the table of an M, null if it is not known.
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

/// Notes the table of an M. Uses a word that is free, or leads to a table without an owner or of an M of another group;
/// else overwrites another M's word.
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
            // Another M may just have claimed the table to which the word led, and have found it here.
            header.directory_evictions.fetch_add((there != 0) as u64, Relaxed);
            return;
        }
    }
    header.directory_evictions.fetch_add(1, Relaxed);
    word(header, m, 0).store(thread as u64, Relaxed);
}

/// Returns whether a table is where the thunks look for that of an M.
pub(crate) fn is_near(header: &Header, m: u64, thread: *const Thread) -> bool {
    (0..NEAR).any(|probe| word(header, m, probe).load(Relaxed) == thread as u64)
}

/// Returns whether no table was free for an M, and none has become free since.
pub(crate) fn is_without(header: &Header, m: u64) -> bool {
    without(header, m).load(Relaxed) == noted(m, header.freed.load(Relaxed))
}

/// Notes that no table was free for an M, when `freed` had this value.
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
