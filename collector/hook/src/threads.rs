//! Finding the [`Thread`] of an M.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::cells::reference;
use crate::layout::{Cell, CellRef, FIRST_INDEX, Header, InFlight, LEAVING, MEMO, OVERFLOW, THREADS, Thread};
use crate::params::Params;
use crate::{arena, directory, times};

/// Offset of `g.m` in every Go version measured (1.19 to 1.27).
pub(crate) const G_M: usize = 48;
/// Offset of `g.stack.hi`.
pub(crate) const G_STACK_HI: usize = 8;

/// Reads a word of the target.
///
/// # Safety
/// `base + offset` must be readable and aligned.
#[inline(always)]
pub(crate) unsafe fn word(base: u64, offset: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { *((base + offset) as *const u64) }
}

/// The shared mapping's header.
///
/// # Safety
/// `params` must describe a live mapping.
#[inline(always)]
pub(crate) unsafe fn header<'a>(params: &Params) -> &'a Header {
    // SAFETY: the recorder maps the tables before it lets any hook run and they stay mapped.
    unsafe { &*(params.tables as *const Header) }
}

/// The table of the running M, null if there is none for it.
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

/// Whether a table is that of a kernel thread. One that was claimed before the M knew its thread is it from now on.
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

/// The slow way to a [`Thread`]: one that is not where the directory is looked at first, or has lost; one that is free, or a new
/// one.
#[cold]
#[inline(never)]
unsafe fn find_or_claim(params: &Params, m: u64) -> *mut Thread {
    // SAFETY: the directory and used() give tables of the mapping; the M is live.
    unsafe {
        let (header, tid) = (header(params), word(m, params.m_procid));
        // The one that the M has, or had with another thread.
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
        // What becomes free from now on is not missed.
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

/// Tables that have ever been claimed.
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

/// The table of an M that the directory has lost, null if it has none.
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

/// A table for an M: the one it has had with this thread before, or a free or new one. That of the thread it had before, if there
/// is one (`left`), is nobody's from then on. Where there is none, the M keeps that.
#[inline(never)]
unsafe fn claim(params: &Params, m: u64, tid: u64, left: *mut Thread) -> *mut Thread {
    // SAFETY: used() gives tables of the mapping; who wins the exchange is alone with the rest.
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
            // Its thread has left it to this one.
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

/// A new table, claimed for an M; null if there is no room for one.
#[inline(never)]
unsafe fn make(params: &Params, m: u64) -> *mut Thread {
    // SAFETY: what is new is zeroed, and known to nobody else before it is listed; a number below THREADS has a place there.
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
        // Others look for what is in flight as soon as it is listed.
        (*thread).top = (&raw mut (*thread).in_flight) as u64;
        (*thread).index = (&raw const (*thread).first_index) as u64;
        (*thread).index_len = FIRST_INDEX as u64;
        let spare = &raw mut (*thread).spare;
        (*spare).cell.home = thread as u64;
        (*spare).cell.times.store(reference(params, (&raw const (*spare).times).cast()).0, Relaxed);
        (*spare).cell.rare.store(reference(params, (&raw const (*spare).rare).cast()).0, Relaxed);
        times::begin(&raw mut (*spare).times);
        // No stack has depth 0, so that the spare cell stands for nothing remembered.
        for slot in 0..MEMO {
            (&raw mut (*thread).memo).cast::<u64>().add(slot).write(spare as u64);
        }
        (*(&raw const header.used).cast::<AtomicU32>().add(number)).store(at.0, Release);
        thread
    }
}

/// Makes a slot ready for its new M. The cells of the M before stay: they count on.
#[inline(never)]
unsafe fn prepare(params: &Params, thread: *mut Thread, m: u64) {
    // SAFETY: the caller owns the slot, and the M is its own.
    unsafe {
        crate::goroutines::hand_over(params, thread);
        crate::locks::settle(params, thread);
        (*thread).goroutine = 0;
        (*thread).goid.store(0, Relaxed);
        (*thread).procid = m + params.m_procid;
        (*thread).tid = word((*thread).procid, 0);
        (*thread).m = m;
        (*thread).m_id = word(m, params.m_id);
        (*thread).generation += 1;
        (*thread).top = (&raw mut (*thread).in_flight) as u64;
        // Not this thread's: the crossing in which it is, if it is in one, is not counted.
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

/// Why a crossing is counted by its C function alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// Its M has no [`Thread`].
    Threads,
    /// Its M's [`Thread`] has no room for another cell: the spare cell counts it too.
    Cells,
}

/// Counts a crossing that has no cell of its own.
///
/// # Safety
/// `params` must describe a live mapping.
#[cold]
#[inline(never)]
pub(crate) unsafe fn count_overflow(params: &Params, function: u64, why: Beyond) {
    // SAFETY: the caller's promise.
    let header = unsafe { header(params) };
    let home = (function >> 4) as usize;
    for probe in 0..32 {
        let entry = &header.overflow[(home + probe) % OVERFLOW];
        let found = match entry.function.compare_exchange(0, function, Relaxed, Relaxed) {
            Ok(_) => true,
            Err(present) => present == function,
        };
        if found {
            let calls = if why == Beyond::Threads { &entry.calls } else { &entry.spare_calls };
            calls.fetch_add(1, Relaxed);
            return;
        }
    }
    // Those beyond cells are in the spare cell.
    if why == Beyond::Threads {
        header.unattributed.fetch_add(1, Relaxed);
    }
}

/// The cell that counts what has no other place.
pub(crate) fn spare(thread: *mut Thread) -> *mut Cell {
    // SAFETY: only the address is taken; thread points into the mapping.
    unsafe { &raw mut (*thread).spare.cell }
}
