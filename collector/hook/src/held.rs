//! Adds up how long locks were held.

use crate::events::event;
use crate::layout::{Cell, Event, Thread, kind};
use crate::params::Params;
use crate::times::times_taken;

/// Adds how long the thread's last lock was held, if it has ended. The unlock thunk only notes the end, because it runs
/// amid any Go function, where there is room for little more.
///
/// # Safety
/// `thread` must be the running M's.
pub(crate) unsafe fn settle(params: &Params, thread: *mut Thread) {
    // SAFETY: thread is this M's, and its lock a cell of the mapping.
    unsafe {
        let (cell, from, to) = ((*thread).lock as *mut Cell, (*thread).locked_since, (*thread).unlocked);
        if from == 0 || to == 0 {
            return;
        }
        (*thread).locked_since = 0;
        let held = to.wrapping_sub(from);
        // Takes no room for times here: the stack is too small for that.
        let times = times_taken(params, thread, cell);
        (*times).c.whole(held);
        (*times).c_max = (*times).c_max.max(held);
        if held >= params.slow {
            let (tid, goid) = ((*thread).tid, (*thread).locked_goid);
            event(
                thread,
                Event { kind: kind::LOCKED, begin_span: 0, cell: cell as u64, from, to, tid, goid, gap: 1, enter: 0 },
            );
        }
    }
}
