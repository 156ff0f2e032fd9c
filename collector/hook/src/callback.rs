//! The hooks of a callback: C called Go, Go goes back to C, Go panicked out of it.

use crate::cells::reference;
use crate::crossing::{end, innermost};
use crate::layout::InFlight;
use crate::now;
use crate::params::Params;
use crate::threads::{self, G_M, word};

/// At `cgocallbackg`'s call of `exitsyscall`.
///
/// # Safety
/// `g` must be the running goroutine.
pub(crate) unsafe fn began(params: &Params, g: u64) {
    // SAFETY: g is live, so its M is; the thread is this M's.
    unsafe {
        let thread = threads::find(params, word(g, G_M as u64));
        if thread.is_null() {
            return;
        }
        let entry = innermost(thread);
        if entry.is_null() {
            (*thread).foreign_callbacks += 1;
            return;
        }
        if (*thread).top >= end(thread) {
            // Whatever is nested this deep shares the last entry; its callbacks are counted, not timed.
            (*thread).top = entry as u64;
            (*thread).deeper += 1;
            (*(*entry).cell()).callbacks += 1;
            return;
        }
        let cell = (*entry).cell();
        (*cell).callbacks += 1;
        (*thread).enclosing = reference(params, cell);
        if (*entry).timed() {
            (*entry).callback_began = now();
        }
    }
}

/// At `cgocallbackg`'s call of `reentersyscall`.
///
/// # Safety
/// `g` must be the running goroutine.
pub(crate) unsafe fn ended(params: &Params, g: u64) {
    // SAFETY: as above.
    unsafe {
        let thread = threads::find(params, word(g, G_M as u64));
        if thread.is_null() {
            return;
        }
        if (*thread).deeper > 0 {
            (*thread).deeper -= 1;
            return;
        }
        let entry = innermost(thread);
        if entry.is_null() {
            return;
        }
        (*thread).enclosing = (*(*entry).cell()).enclosing;
        if (*entry).timed() {
            (*entry).callback_ticks += now().wrapping_sub((*entry).callback_began);
            (*entry).callback_began = 0;
        }
    }
}

/// In `unwindm`, where a panic or Goexit leaves the crossing that called back.
///
/// # Safety
/// `g` must be the running goroutine.
pub(crate) unsafe fn unwound(params: &Params, g: u64) {
    // SAFETY: as above.
    unsafe {
        let thread = threads::find(params, word(g, G_M as u64));
        if thread.is_null() {
            return;
        }
        if (*thread).deeper > 0 {
            (*thread).deeper -= 1;
            (*(*((*thread).top as *const InFlight)).cell()).abandoned += 1;
            return;
        }
        let entry = innermost(thread);
        if entry.is_null() {
            return;
        }
        let cell = (*entry).cell();
        (*cell).abandoned += 1;
        (*thread).enclosing = (*cell).enclosing;
        (*thread).top -= size_of::<InFlight>() as u64;
    }
}
