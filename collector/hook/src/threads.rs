//! Finds the [`Thread`] of an M.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{CELL_CACHE, CellRef, FIRST_INDEX, InFlight, LEAVING, THREADS, Thread};
use crate::mapping::{header, reference, used};
use crate::params::Params;
use crate::runtime::word;
use crate::{arena, directory, goroutines, held, times};

/// Returns the table of the running M, null if there is none for it.
///
/// # Safety
/// `m` must be the running thread's M and `params` describe a live mapping.
#[inline(always)]
pub(crate) unsafe fn find(params: &Params, m: u64) -> *mut Thread {
    // SAFETY: the directory leads to the mapping's tables, and the M is live.
    unsafe {
        let thread = directory::at_home(header(params), m);
        if !thread.is_null() && is_of(thread, word(m, params.m_procid)) {
            return thread;
        }
        find_or_claim(params, m)
    }
}

/// Returns whether a table is that of a kernel thread. A table that was claimed before the M knew its thread becomes
/// this thread's.
#[inline(always)]
unsafe fn is_of(thread: *mut Thread, tid: u64) -> bool {
    // SAFETY: the caller's table is the running M's.
    unsafe {
        if (*thread).tid == 0 {
            (*thread).tid = tid;
        }
        (*thread).tid == tid
    }
}

/// The slow way to a [`Thread`]. Finds one that is not in the M's first word of the directory, or that the directory
/// has lost; else claims a free or a new one.
#[cold]
#[inline(never)]
unsafe fn find_or_claim(params: &Params, m: u64) -> *mut Thread {
    // SAFETY: the directory and used() give tables of the mapping; the M is live.
    unsafe {
        let (header, tid) = (header(params), word(m, params.m_procid));
        // The table that the M has, or had with another thread.
        let mut left = directory::find(header, m);
        if !left.is_null() {
            if is_of(left, tid) {
                return left;
            }
        } else {
            if directory::is_without(header, m) {
                return left;
            }
            if header.directory_evictions.load(Relaxed) > 0 {
                left = scattered(params, m);
                if !left.is_null() && is_of(left, tid) {
                    directory::note(header, m, left);
                    return left;
                }
            }
        }
        // Read first, so that a table that becomes free from now on is not missed.
        let freed = header.freed.load(Acquire);
        let found = claim(params, m, tid, left);
        if found.is_null() {
            directory::note_without(header, m, freed);
        } else if !directory::is_near(header, m, found) {
            directory::note(header, m, found);
        }
        found
    }
}

/// Returns the table of an M that the directory has lost, null if it has none.
unsafe fn scattered(params: &Params, m: u64) -> *mut Thread {
    // SAFETY: used() gives tables of the mapping.
    unsafe {
        for thread in used(params) {
            if (*thread).owner.load(Relaxed) == m {
                return thread;
            }
        }
    }
    core::ptr::null_mut()
}

/// Returns a table for an M: the one that it had with this thread before, or a free or new one. The table of the M's
/// thread before this one, if there is one (`left`), then has no owner. If there is no other table, the M keeps `left`.
#[inline(never)]
unsafe fn claim(params: &Params, m: u64, tid: u64, left: *mut Thread) -> *mut Thread {
    // SAFETY: used() gives tables of the mapping; only the thread that wins the exchange uses the rest of the table.
    unsafe {
        if !left.is_null() {
            for thread in used(params) {
                let own = (*thread).owner.load(Relaxed) == LEAVING && ((*thread).m, (*thread).tid) == (m, tid);
                if own && (*thread).owner.compare_exchange(LEAVING, m, Acquire, Relaxed).is_ok() {
                    (*left).owner.store(LEAVING, Release);
                    return thread;
                }
            }
        }
        let mut thread = claim_free(params, m);
        if thread.is_null() {
            thread = make(params, m);
        }
        if !thread.is_null() {
            prepare(params, thread, m);
            if !left.is_null() {
                (*left).owner.store(LEAVING, Release);
            }
            return thread;
        }
        if !left.is_null() {
            // The M's thread before this one leaves its table to this one.
            (*left).tid = tid;
        }
    }
    left
}

/// Claims a table that the recorder has freed; null if there is none.
unsafe fn claim_free(params: &Params, m: u64) -> *mut Thread {
    // SAFETY: used() gives tables of the mapping.
    unsafe {
        if header(params).free.load(Relaxed) == 0 {
            return core::ptr::null_mut();
        }
        for thread in used(params) {
            if (*thread).owner.compare_exchange(0, m, Acquire, Relaxed).is_ok() {
                header(params).free.fetch_sub(1, Relaxed);
                return thread;
            }
        }
    }
    core::ptr::null_mut()
}

/// Makes a new table, claimed for an M; returns null if there is no room for one.
#[inline(never)]
unsafe fn make(params: &Params, m: u64) -> *mut Thread {
    // SAFETY: new room is zeroed, and no other thread knows it before it is listed; a number below THREADS has a place
    // there.
    unsafe {
        let header = header(params);
        if header.used_count.load(Relaxed) as usize >= THREADS {
            return core::ptr::null_mut();
        }
        let at = arena::take(params, size_of::<Thread>() as u64, params.arena_end);
        if at == CellRef::NONE {
            return core::ptr::null_mut();
        }
        let number = header.used_count.fetch_add(1, Relaxed) as usize;
        if number >= THREADS {
            return core::ptr::null_mut();
        }
        let thread = (params.tables + at.offset()) as *mut Thread;
        (*thread).owner.store(m, Relaxed);
        (*thread).number = number as u64;
        // Other threads look for what is in flight as soon as the table is listed.
        (*thread).top = (&raw mut (*thread).in_flight) as u64;
        (*thread).index = (&raw const (*thread).first_index) as u64;
        (*thread).index_len = FIRST_INDEX as u64;
        let spare = &raw mut (*thread).spare;
        (*spare).cell.home = thread as u64;
        (*spare).cell.times.store(reference(params, (&raw const (*spare).times).cast()).0, Relaxed);
        (*spare).cell.rare.store(reference(params, (&raw const (*spare).rare).cast()).0, Relaxed);
        times::begin(&raw mut (*spare).times);
        // No stack has depth 0, so the spare cell matches no crossing.
        for slot in 0..CELL_CACHE {
            (&raw mut (*thread).cell_cache).cast::<u64>().add(slot).write(spare as u64);
        }
        (*(&raw const header.used).cast::<AtomicU32>().add(number)).store(at.0, Release);
        thread
    }
}

/// Prepares a table for its new M. The cells of the M before stay, and continue to count.
#[inline(never)]
unsafe fn prepare(params: &Params, thread: *mut Thread, m: u64) {
    // SAFETY: the caller owns the table, and the M is its own.
    unsafe {
        goroutines::hand_over(params, thread);
        held::settle(params, thread);
        (*thread).goroutine = 0;
        (*thread).goid.store(0, Relaxed);
        (*thread).procid = m + params.m_procid;
        (*thread).tid = word((*thread).procid, 0);
        (*thread).m = m;
        (*thread).m_id = word(m, params.m_id);
        (*thread).generation += 1;
        (*thread).top = (&raw mut (*thread).in_flight) as u64;
        // The entry there is not this thread's. If this thread is in a crossing, that one is not counted.
        (*((*thread).top as *mut InFlight)).tagged_cell = 0;
        (*thread).deeper = 0;
        (*thread).enclosing = CellRef::NONE;
        (*thread).locked_since = 0;
        (*thread).attaching = 0;
        (*thread).foreign.in_go = 0;
        (*thread).random |= m.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (*thread).coarse.store(header(params).coarse.sequence.load(Relaxed), Relaxed);
    }
}
