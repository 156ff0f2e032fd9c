//! Allocates room in the shared mapping for cells and what belongs to them, for each M from a chunk of its own.

use core::sync::atomic::Ordering::Relaxed;

use crate::layout::{Arena, CHUNK, Cell, CellRef, FIRST_CHUNK, Thread};
use crate::mapping::header;
use crate::params::Params;

/// Allocates `size` zeroed bytes for a thread. Returns their place in the mapping; none when the mapping is used up to
/// `limit`.
///
/// # Safety
/// `thread` must be the running M's, `params` its mapping.
#[inline(never)]
pub(crate) unsafe fn allocate(params: &Params, thread: *mut Thread, size: u64, limit: u64) -> CellRef {
    let size = size.next_multiple_of(64);
    // SAFETY: thread is ours.
    unsafe {
        if (*thread).chunk_next + size > (*thread).chunk_end {
            // A chunk is about as large as what the thread has taken so far: a thread that calls little takes little.
            let mut least = FIRST_CHUNK;
            while least < CHUNK && least < (*thread).cell_count as u64 * 4 * size_of::<Cell>() as u64 {
                least *= 2;
            }
            let chunk = size.next_multiple_of(least);
            let start = take(params, chunk, limit);
            if start != CellRef::NONE {
                (*thread).chunk_next = start.offset();
                (*thread).chunk_end = start.offset() + chunk;
            } else {
                return take(params, size, limit);
            }
        }
        let place = (*thread).chunk_next;
        (*thread).chunk_next += size;
        CellRef((place / 64) as u32)
    }
}

/// Takes `size` zeroed bytes, a multiple of 64. Returns their place; none when the arena is used up to `limit`, or to
/// its end.
///
/// # Safety
/// `params` must describe a live mapping.
pub(crate) unsafe fn take(params: &Params, size: u64, limit: u64) -> CellRef {
    // SAFETY: the header is mapped.
    let arena = unsafe { &header(params).arena };
    let mut word = arena.load(Relaxed);
    loop {
        let Arena { next, end } = Arena::unpack(word);
        let after = next.offset() + size;
        if after > end.offset() || after > limit {
            return CellRef::NONE;
        }
        let taken = Arena { next: CellRef((after / 64) as u32), end };
        match arena.compare_exchange_weak(word, taken.pack(), Relaxed, Relaxed) {
            Ok(_) => return next,
            Err(other) => word = other,
        }
    }
}
