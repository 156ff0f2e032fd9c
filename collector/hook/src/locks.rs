//! The hook of `LockOSThread`. `held.rs` adds the time when the lock has ended.

use crate::cells::{self, Key};
use crate::clock::now;
use crate::goroutines;
use crate::held::settle;
use crate::layout::flags;
use crate::mapping::reference;
use crate::params::Params;
use crate::runtime::{G_M, G_STACK_HI, word};
use crate::stack::Stack;
use crate::threads;
use crate::times::times;

/// Function in the key of a lock's cell. No C function has this address.
const LOCK_OS_THREAD: u64 = 1;

/// Runs in `LockOSThread`, after `m.lockedExt++`, or where that is inlined. `frame` is the frame pointer of the
/// function around it, and `after` the next instruction.
///
/// # Safety
/// `g` must be the running goroutine.
pub(crate) unsafe fn locked(params: &Params, g: u64, frame: u64, after: u64) {
    // SAFETY: g is live, and so is its stack from the frame on.
    unsafe {
        let m = word(g, G_M as u64);
        let thread = threads::find(params, m);
        if thread.is_null() || count(params, m) != 1 {
            return;
        }
        let [start, end] = params.lock_os_thread;
        let inlined = after < start || after >= end;
        let key = cells::ask(
            thread,
            Key {
                function: LOCK_OS_THREAD,
                stack: Stack { frame, top: word(g, G_STACK_HI as u64) },
                leaf: if inlined { after } else { 0 },
                enclosing: (*thread).enclosing,
                flags: flags::LOCK,
                locks: 0,
            },
        );
        let cell = cells::find(params, thread, key);
        (*cell).calls += 1;
        times(params, thread, cell);
        goroutines::locked(params, g, reference(params, cell));
        settle(params, thread);
        (*thread).lock = cell as u64;
        (*thread).locked_goid = word(g, params.g_goid);
        (*thread).unlocked = 0;
        (*thread).locked_since = now();
    }
}

/// Returns `m.lockedExt`.
unsafe fn count(params: &Params, m: u64) -> u32 {
    // SAFETY: the caller's M is live.
    unsafe { ((m + params.m_locked_ext) as *const u32).read() }
}
