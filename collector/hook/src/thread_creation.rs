//! Notes which C functions held Ms when the runtime made a thread.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::clock::now;
use crate::crossing::innermost;
use crate::layout::{BIRTHS, Birth, Cell, HOLDERS, Header, Holder, InFlight, Thread, flags};
use crate::mapping::{header, used};
use crate::params::Params;

/// Runs when `newm1` is about to make a thread, by the direct crossing of this cell. Looks at every M's table, which
/// takes little time compared with making a thread.
///
/// # Safety
/// `thread` must be the running M's, and `params` describe a live mapping.
#[cold]
#[inline(never)]
pub(crate) unsafe fn begin(params: &Params, thread: *mut Thread, cell: *mut Cell) {
    // SAFETY: the header is mapped; only the thread that got a place's number writes to that place of the ring.
    unsafe {
        let header = header(params);
        let mut number = header.births_written.load(Relaxed);
        loop {
            if number.wrapping_sub(header.births_read.load(Acquire)) >= BIRTHS as u64 {
                header.births_dropped.fetch_add(1, Relaxed);
                return;
            }
            match header.births_written.compare_exchange(number, number + 1, Relaxed, Relaxed) {
                Ok(_) => break,
                Err(other) => number = other,
            }
        }
        // By address, because `header` is a shared reference.
        let births = &raw mut (*(params.tables as *mut Header)).births;
        let birth = births.cast::<Birth>().add(number as usize % BIRTHS);
        (*birth).at = now();
        (*birth).creator = (*thread).tid;
        (*birth).cell = cell as u64;
        (*birth).in_c = look_around(params, thread, (&raw mut (*birth).holders).cast());
        (*birth).sequence.store(number + 1, Release);
    }
}

/// Counts the other Ms in C, and writes the first few functions that they are in to `holders`.
unsafe fn look_around(params: &Params, own: *mut Thread, holders: *mut Holder) -> u64 {
    // SAFETY: the tables of other Ms may change meanwhile, but an entry always holds a cell once used; only its
    // function is read.
    unsafe {
        for place in 0..HOLDERS {
            holders.add(place).write(Holder { count: 0, cell: 0 });
        }
        let mut in_c = 0;
        for thread in used(params) {
            if thread == own || (*thread).owner.load(Relaxed) == 0 {
                continue;
            }
            let Some(cell) = in_c_of(thread) else { continue };
            in_c += 1;
            for place in 0..HOLDERS {
                let holder = &mut *holders.add(place);
                if holder.count == 0 {
                    holder.cell = cell as u64;
                }
                if (*(holder.cell as *const Cell)).function == (*cell).function {
                    holder.count += 1;
                    break;
                }
            }
        }
        in_c
    }
}

/// Returns the crossing in whose C function an M is. Leaves out direct ones, by which the runtime itself makes threads.
unsafe fn in_c_of(thread: *mut Thread) -> Option<*const Cell> {
    // SAFETY: as above; an entry below top has been written.
    unsafe {
        let entry: *const InFlight = innermost(thread);
        let in_c = !entry.is_null() && (*entry).in_go == 0 && (*entry).tagged_cell > 1;
        if in_c && (*(*entry).cell()).flags & flags::DIRECT == 0 { Some((*entry).cell()) } else { None }
    }
}
