//! Finding the [`Thread`] of an M.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{Cell, CellRef, Header, InFlight, LEAVING, MEMO, OVERFLOW, THREAD_STRIDE, THREADS, Thread, home};
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

/// The slow way to a [`Thread`]: one claimed before next to a taken home, or a free one.
#[cold]
#[inline(never)]
unsafe fn find_or_claim(params: &Params, m: u64, home: *mut Thread) -> *mut Thread {
    // Its home, the other of the pair, then the pairs that follow.
    let first = (home as u64 - params.threads) as usize / THREAD_STRIDE;
    let slot = |probe: usize| {
        let pair = first / 2 + probe / 2;
        let index = pair * 2 % THREADS + (first + probe) % 2;
        (params.threads + (index * THREAD_STRIDE) as u64) as *mut Thread
    };
    // SAFETY: slot() stays within the mapping's threads; the M is live.
    let tid = unsafe { word(m, params.m_procid) };
    let mut left = core::ptr::null_mut::<Thread>();
    for probe in 0..THREADS {
        // SAFETY: as above.
        unsafe {
            if (*slot(probe)).owner.load(Relaxed) == m {
                if is_of(slot(probe), tid) {
                    return slot(probe);
                }
                left = slot(probe);
                break;
            }
        }
    }
    // SAFETY: as above.
    unsafe { claim(params, slot, m, tid, left) }
}

/// A table for an M: the one it has had with this thread before, or a free one. That of the thread it had before, if there is
/// one (`left`), is nobody's from then on. Where none is free, the M keeps that.
unsafe fn claim(
    params: &Params,
    slot: impl Fn(usize) -> *mut Thread,
    m: u64,
    tid: u64,
    left: *mut Thread,
) -> *mut Thread {
    for probe in 0..THREADS {
        let thread = slot(probe);
        // SAFETY: slot() stays within the mapping's threads; who wins the exchange is alone with the rest.
        unsafe {
            let own =
                !left.is_null() && (*thread).owner.load(Relaxed) == LEAVING && ((*thread).m, (*thread).tid) == (m, tid);
            if own && (*thread).owner.compare_exchange(LEAVING, m, Acquire, Relaxed).is_ok() {
                (*left).owner.store(LEAVING, Release);
                return thread;
            }
        }
    }
    for probe in 0..THREADS {
        let thread = slot(probe);
        // SAFETY: as above.
        unsafe {
            if (*thread).owner.compare_exchange(0, m, Acquire, Relaxed).is_ok() {
                if !left.is_null() {
                    (*left).owner.store(LEAVING, Release);
                }
                prepare(params, thread, m);
                return thread;
            }
        }
    }
    if !left.is_null() {
        // SAFETY: its thread has left it to this one.
        unsafe { (*left).tid = tid };
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
            let index = (thread as u64 - params.threads) / THREAD_STRIDE as u64;
            let place = header(params).used_count.fetch_add(1, Relaxed) as usize;
            if place < THREADS {
                (*(&raw const (*(params.tables as *const Header)).used).cast::<AtomicU32>().add(place))
                    .store(index as u32 + 1, Release);
            }
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

/// Counts a crossing of an M that has no [`Thread`].
///
/// # Safety
/// `params` must describe a live mapping.
#[cold]
#[inline(never)]
pub(crate) unsafe fn count_overflow(params: &Params, function: u64) {
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
            entry.calls.fetch_add(1, Relaxed);
            return;
        }
    }
    header.unattributed.fetch_add(1, Relaxed);
}

/// The cell that counts what has no other place.
pub(crate) fn spare(thread: *mut Thread) -> *mut Cell {
    // SAFETY: only the address is taken; thread points into the mapping.
    unsafe { &raw mut (*thread).spare }
}
