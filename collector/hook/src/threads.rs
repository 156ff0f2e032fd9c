//! Finding the [`Thread`] of an M.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::directory::{self, Place};
use crate::layout::{
    Cell, CellRef, FIRST_INDEX, Header, InFlight, LEAVING, MEMO, OVERFLOW, THREAD_STRIDE, THREADS, Thread, home,
};
use crate::params::Params;

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

/// The table of the running M, null if none is free.
///
/// # Safety
/// `m` must be the running thread's M and `params` describe a live mapping.
#[inline(always)]
pub(crate) unsafe fn find(params: &Params, m: u64) -> *mut Thread {
    let home = (params.threads + home(m)) as *mut Thread;
    // SAFETY: home is one of the mapping's threads, and the M is live.
    unsafe {
        if (*home).owner.load(Relaxed) == m && is_of(home, word(m, params.m_procid)) {
            return home;
        }
        find_or_claim(params, m, home)
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

/// The slow way to a [`Thread`]: next to a taken home, where the directory says, or a free one.
#[cold]
#[inline(never)]
unsafe fn find_or_claim(params: &Params, m: u64, home: *mut Thread) -> *mut Thread {
    let neighbour = at(params, index_of(params, home) ^ 1);
    // SAFETY: at() gives one of the mapping's threads; the M is live.
    unsafe {
        let tid = word(m, params.m_procid);
        let mut left = core::ptr::null_mut::<Thread>();
        for near in [home, neighbour] {
            if (*near).owner.load(Relaxed) == m {
                if is_of(near, tid) {
                    return near;
                }
                left = near;
            }
        }
        if left.is_null() {
            match directory::find(header(params), m) {
                Some(Place::Table(index)) if (*at(params, index)).owner.load(Relaxed) == m => {
                    if is_of(at(params, index), tid) {
                        return at(params, index);
                    }
                    left = at(params, index);
                }
                Some(Place::Nowhere) => return core::ptr::null_mut(),
                _ if header(params).directory_evictions.load(Relaxed) > 0 => {
                    left = scattered(params, m);
                    if !left.is_null() && is_of(left, tid) {
                        directory::note(header(params), m, Place::Table(index_of(params, left)));
                        return left;
                    }
                }
                _ => {}
            }
        }
        let found = claim(params, home, m, tid, left);
        if found.is_null() {
            directory::note(header(params), m, Place::Nowhere);
        } else if found != home && found != neighbour {
            directory::note(header(params), m, Place::Table(index_of(params, found)));
        }
        found
    }
}

/// The table at an index, modulo how many there are.
fn at(params: &Params, index: usize) -> *mut Thread {
    (params.threads + (index % THREADS * THREAD_STRIDE) as u64) as *mut Thread
}

fn index_of(params: &Params, thread: *const Thread) -> usize {
    (thread as u64 - params.threads) as usize / THREAD_STRIDE
}

/// Tables that have ever been claimed: the others' memory is never touched.
unsafe fn used(params: &Params) -> impl Iterator<Item = *mut Thread> {
    // SAFETY: the header is mapped; a place below the count is written before it is counted, or 0.
    let count = unsafe { header(params) }.used_count.load(Acquire) as usize;
    (0..if count < THREADS { count } else { THREADS }).filter_map(move |place| {
        // SAFETY: place is below THREADS.
        let one = unsafe { &*(&raw const header(params).used).cast::<AtomicU32>().add(place) }.load(Acquire);
        if one == 0 { None } else { Some(at(params, one as usize - 1)) }
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

/// A table for an M: the one it has had with this thread before, or a free one. That of the thread it had before, if there is
/// one (`left`), is nobody's from then on. Where none is free, the M keeps that.
unsafe fn claim(params: &Params, home: *mut Thread, m: u64, tid: u64, left: *mut Thread) -> *mut Thread {
    // SAFETY: at() and used() give tables of the mapping; who wins the exchange is alone with the rest.
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
        // Its home, the other of the pair, then the pairs that follow.
        let first = index_of(params, home);
        for probe in 0..THREADS {
            let thread = at(params, ((first / 2 + probe / 2) * 2) + (first + probe) % 2);
            if (*thread).owner.compare_exchange(0, m, Acquire, Relaxed).is_ok() {
                if !left.is_null() {
                    (*left).owner.store(LEAVING, Release);
                }
                prepare(params, thread, m);
                return thread;
            }
        }
        if !left.is_null() {
            // Its thread has left it to this one.
            (*left).tid = tid;
        }
    }
    left
}

/// Makes a slot ready for its new M. The cells of the M before stay: they count on.
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
        let spare = &raw mut (*thread).spare;
        if (*spare).home == 0 {
            (*spare).home = thread as u64;
            let place = header(params).used_count.fetch_add(1, Relaxed) as usize;
            if place < THREADS {
                (*(&raw const (*(params.tables as *const Header)).used).cast::<AtomicU32>().add(place))
                    .store(index_of(params, thread) as u32 + 1, Release);
            }
            (*thread).number = place as u64;
            (*thread).index = (&raw const (*thread).first_index) as u64;
            (*thread).index_len = FIRST_INDEX as u64;
            (*spare).c_min = u64::MAX;
            (*spare).overhead_min = u64::MAX;
            // No stack has depth 0, so that the spare cell stands for nothing remembered.
            for slot in 0..MEMO {
                (&raw mut (*thread).memo).cast::<u64>().add(slot).write(spare as u64);
            }
        }
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
    unsafe { &raw mut (*thread).spare }
}
