//! Finding the [`Thread`] of an M.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{Cell, CellRef, Header, MEMO, OVERFLOW, THREAD_STRIDE, THREADS, Thread, home};
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

/// The table of an M, null if none is free.
///
/// # Safety
/// `m` must be the running thread's M and `params` describe a live mapping.
#[inline(always)]
pub(crate) unsafe fn find(params: &Params, m: u64) -> *mut Thread {
    let home = (params.threads + home(m)) as *mut Thread;
    // SAFETY: home is one of the mapping's threads.
    if unsafe { (*home).owner.load(Relaxed) } == m {
        return home;
    }
    // SAFETY: as above.
    unsafe { find_or_claim(params, m, home) }
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
    for probe in 0..THREADS {
        // SAFETY: slot() stays within the mapping's threads.
        if unsafe { (*slot(probe)).owner.load(Relaxed) } == m {
            return slot(probe);
        }
    }
    for probe in 0..THREADS {
        let thread = slot(probe);
        // SAFETY: as above; only the thread that wins the exchange touches the rest.
        let won = unsafe { (*thread).owner.compare_exchange(0, m, Acquire, Relaxed).is_ok() };
        if won {
            // SAFETY: the slot is ours now, and m is our M.
            unsafe {
                prepare(params, thread, m);
                (*thread).coarse.store(header(params).coarse.sequence.load(Relaxed), Relaxed);
            }
            return thread;
        }
    }
    core::ptr::null_mut()
}

/// Makes a slot ready for its new M. The cells of the M before stay: they count on.
unsafe fn prepare(params: &Params, thread: *mut Thread, m: u64) {
    // SAFETY: the caller owns the slot, and the M is its own.
    unsafe {
        (*thread).procid = m + params.m_procid;
        (*thread).tid = word((*thread).procid, 0);
        (*thread).top = (&raw mut (*thread).in_flight) as u64;
        (*thread).deeper = 0;
        (*thread).enclosing = CellRef::NONE;
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
