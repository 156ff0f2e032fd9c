//! The hooks of a direct crossing: `asmcgocall` reached without `cgocall`.

use core::sync::atomic::Ordering::Relaxed;

use crate::cells::{self, Key};
use crate::clock::now;
use crate::crossing::{end, push, reload};
use crate::layout::{InFlight, flags};
use crate::mapping::{header, spare};
use crate::overflow;
use crate::params::Params;
use crate::runtime::{G_M, G_STACK_HI, word};
use crate::stack::Stack;
use crate::thread_creation;
use crate::threads;

/// Runs before the C function: counts the crossing and puts it in flight. Returns null when it is not in flight.
///
/// `g` is 0 where the thread has none. `saved` is the stack pointer that `asmcgocall` has saved, `rbp` the frame
/// pointer at the call.
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
        // m.gsignal follows m.procid in every release measured. A signal may have interrupted a hook.
        let on_signal_stack = g == word(m, params.m_procid + 8);
        if saved < low || saved > top - 32 || on_signal_stack {
            return count_alone();
        }
        let return_address = word(saved, params.to_return);
        if return_address == params.after_asmcgocall {
            // The crossing began before the attach.
            return core::ptr::null_mut();
        }
        // From Go 1.21 on, asmcgocall has a frame of its own, and its saved stack pointer is that frame.
        let has_frame = params.to_return == 8;
        let frame = if has_frame { saved } else { rbp };
        if frame < saved || frame > top - 16 {
            return count_alone();
        }
        let thread = threads::find(params, m);
        if thread.is_null() {
            return count_alone();
        }
        let key = cells::ask(
            thread,
            Key {
                function,
                stack: Stack { frame, top },
                leaf: if has_frame { 0 } else { return_address },
                enclosing: (*thread).enclosing,
                flags: flags::DIRECT,
                locks: 0,
            },
        );
        let cell = cells::find(params, thread, key);
        (*cell).calls += 1;
        if cell == spare(thread) {
            overflow::count(params, function, overflow::Beyond::Cells);
        }
        if params.newm1.iter().any(|&[start, end]| start <= return_address && return_address < end) {
            thread_creation::begin(params, thread, cell);
        }
        if (*thread).top >= end(thread) {
            return core::ptr::null_mut();
        }
        if (*cell).calls != (*cell).timed_at {
            return push(thread, cell, false);
        }
        let entry = push(thread, cell, true);
        (*entry).gap = reload(thread, cell);
        (*entry).callback_ticks = 0;
        (*entry).callback_began = 0;
        (*entry).entered = now();
        (*entry).called = (*entry).entered;
        entry
    }
}

/// Runs after the C function.
///
/// # Safety
/// `entry` must come from [`entered`] on this thread.
pub(crate) unsafe fn returned(params: &Params, entry: *mut InFlight, at: u64) {
    // SAFETY: the entry is this M's; a direct crossing has no slots, so these stand in for them.
    unsafe {
        let mut slots = [0u64; 2];
        crate::crossing::returned(params, entry, at, slots.as_mut_ptr(), false);
    }
}
