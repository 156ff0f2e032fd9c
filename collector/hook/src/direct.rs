//! The hooks of a direct crossing: `asmcgocall` reached without `cgocall`.

use core::sync::atomic::Ordering::Relaxed;

use crate::cells::{self, Key};
use crate::crossing::reload;
use crate::layout::{InFlight, flags};
use crate::now;
use crate::params::Params;
use crate::stack::Stack;
use crate::threads::{self, G_M, G_STACK_HI, header, word};

/// Before the C function: counts the crossing and puts it in flight. Null when it is not to be timed.
///
/// `g` is 0 where the thread has none, `saved` the stack pointer that `asmcgocall` came with, `rbp` the
/// frame pointer at the call.
///
/// # Safety
/// Must be called by the C hook on the thread's system stack.
pub(crate) unsafe fn entered(params: &Params, g: u64, function: u64, saved: u64, rbp: u64) -> *mut InFlight {
    // SAFETY: g is live where it is not 0; the stack is read only after its bounds are checked.
    unsafe {
        let count_alone = || {
            header(params).unattributed_direct.fetch_add(1, Relaxed);
            core::ptr::null_mut()
        };
        if g == 0 {
            return count_alone();
        }
        let (low, top) = (word(g, 0), word(g, G_STACK_HI as u64));
        let m = word(g, G_M as u64);
        // m.gsignal follows m.procid in every release measured. A signal may have come amid our own work.
        let on_signal_stack = g == word(m, params.m_procid + 8);
        if saved < low || saved > top - 32 || on_signal_stack {
            return count_alone();
        }
        let return_address = word(saved, params.to_return);
        if return_address == params.after_asmcgocall {
            // A crossing that began before we came.
            return core::ptr::null_mut();
        }
        // Go 1.21 on, asmcgocall has a frame of its own, and its saved stack pointer is that frame.
        let has_frame = params.to_return == 8;
        let frame = if has_frame { saved } else { rbp };
        if frame < saved || frame > top - 16 {
            return count_alone();
        }
        let thread = threads::find(params, m);
        if thread.is_null() {
            return count_alone();
        }
        let key = Key {
            function,
            stack: Stack { frame, top },
            leaf: if has_frame { 0 } else { return_address },
            enclosing: (*thread).enclosing,
            flags: flags::DIRECT,
            locks: 0,
        };
        let cell = cells::find(params, thread, &key);
        (*cell).calls += 1;
        (*cell).countdown = (*cell).countdown.wrapping_sub(1);
        let gap = if (*cell).countdown == 0 { reload(thread, cell) } else { 0 };
        // The entry at the top may hold a crossing that is about to call C.
        if (*thread).top >= (*thread).last_entry - size_of::<InFlight>() as u64 {
            return core::ptr::null_mut();
        }
        (*thread).top += 2 * size_of::<InFlight>() as u64;
        let entry = ((*thread).top as *mut InFlight).sub(1);
        (*entry).cell = cell as u64;
        (*entry).gap = gap;
        (*entry).coarse = (*thread).coarse.load(Relaxed);
        (*entry).callback_ticks = 0;
        (*entry).entered = if gap == 0 { 0 } else { now() };
        (*entry).called = (*entry).entered;
        entry
    }
}

/// After the C function.
///
/// # Safety
/// `entry` must come from [`entered`] on this thread.
pub(crate) unsafe fn returned(params: &Params, g: u64, entry: *mut InFlight, at: u64) {
    // SAFETY: g had a thread when the crossing began, and both are this M's still.
    unsafe {
        let thread = threads::find(params, word(g, G_M as u64));
        if thread.is_null() {
            return;
        }
        let mut slots = [0u64; 2];
        crate::crossing::returned(params, thread, entry, at, slots.as_mut_ptr(), false);
        (*thread).top = entry.sub(1) as u64;
    }
}
