//! Hooks of a callback: C calls Go, Go has its P, Go is done, C continues; or a panic leaves it.

use crate::adding;
use crate::cells;
use crate::clock::now;
use crate::crossing::{end, innermost, p_was_taken};
use crate::layout::{Cell, InFlight, Thread};
use crate::mapping::reference;
use crate::params::Params;
use crate::runtime::{G_M, word};
use crate::threads;
use crate::times::{rare, times};

/// Runs after `cgocallback` has got an M for a foreign thread. Notes that it began to look for one at `from`.
///
/// # Safety
/// `g` must be the thread's g by now.
pub(crate) unsafe fn attached(params: &Params, g: u64, from: u64) {
    // SAFETY: g is live, so its M is; the thread is this M's.
    unsafe {
        let thread = threads::find(params, word(g, G_M as u64));
        if !thread.is_null() {
            (*thread).attaching = from;
        }
    }
}

/// Runs at `cgocallbackg`'s call of `exitsyscall`.
///
/// # Safety
/// `g` must be the running goroutine.
pub(crate) unsafe fn began(params: &Params, g: u64) {
    // SAFETY: g is live, so its M is; the thread is this M's.
    unsafe {
        let m = word(g, G_M as u64);
        let thread = threads::find(params, m);
        if thread.is_null() {
            return;
        }
        let entry = innermost(thread);
        if entry.is_null() {
            (*thread).foreign_callbacks += 1;
            let foreign = &raw mut (*thread).foreign;
            (*foreign).thread = thread as u64;
            start(params, foreign);
            return;
        }
        let cell = (*entry).cell();
        (*cell).callbacks += 1;
        if p_was_taken(params, m) {
            (*rare(params, thread, cell)).p_lost += 1;
        }
        if (*thread).top >= end(thread) {
            // Crossings nested this deep share the last entry; their callbacks are counted, not timed.
            (*thread).top = entry as u64;
            (*thread).deeper += 1;
            return;
        }
        (*thread).enclosing = reference(params, cell);
        start(params, entry);
    }
}

unsafe fn start(params: &Params, entry: *mut InFlight) {
    // SAFETY: the entry is this M's.
    unsafe {
        (*entry).in_go = 1;
        (*entry).callback = 0;
        if is_timed(params, entry) {
            (*entry).callback_began = now();
            (*entry).callback_acquired = 0;
        }
    }
}

/// Returns whether a callback is timed: if its crossing is, or if it comes from a foreign thread.
unsafe fn is_timed(params: &Params, entry: *const InFlight) -> bool {
    // SAFETY: the entry is this M's.
    unsafe { if (*entry).cell().is_null() { params.first_interval != 0 } else { (*entry).timed() } }
}

/// Runs at `cgocallbackg`'s call of `cgocallbackg1`, when it has a P. `function` is the Go function that C called.
///
/// # Safety
/// `g` must be the running goroutine.
pub(crate) unsafe fn acquired(params: &Params, g: u64, function: u64) {
    // SAFETY: as above.
    unsafe {
        let thread = threads::find(params, word(g, G_M as u64));
        if thread.is_null() {
            return;
        }
        let entry = running(thread);
        if (*entry).in_go == 0 && (*thread).deeper == 0 {
            // The callback began before the attach.
            return;
        }
        let enclosing =
            if entry == &raw mut (*thread).foreign { crate::layout::CellRef::NONE } else { (*thread).enclosing };
        let cell = cells::callback(params, thread, function, enclosing);
        if cell.is_null() {
            (*thread).folded += 1;
            return;
        }
        (*cell).calls += 1;
        if (*thread).deeper > 0 {
            return;
        }
        (*entry).callback = cell as u64;
        if is_timed(params, entry) {
            (*entry).callback_acquired = now();
        }
    }
}

/// Returns the entry whose callback runs: the innermost crossing's, or a foreign thread's own.
unsafe fn running(thread: *mut Thread) -> *mut InFlight {
    // SAFETY: the thread is this M's.
    unsafe {
        let entry = innermost(thread);
        if entry.is_null() { &raw mut (*thread).foreign } else { entry }
    }
}

/// Runs at `cgocallbackg`'s call of `reentersyscall`.
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
            return;
        }
        let entry = running(thread);
        if is_timed(params, entry) {
            (*entry).callback_ended = now();
        }
    }
}

/// Runs at the end of `cgocallbackg`: C continues.
///
/// # Safety
/// `g` must be the running goroutine.
pub(crate) unsafe fn released(params: &Params, g: u64) {
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
        let entry = running(thread);
        if (*entry).in_go == 0 {
            // The callback began before the attach.
            return;
        }
        let crossing = (*entry).cell();
        (*entry).in_go = 0;
        if !crossing.is_null() {
            (*thread).enclosing = (*crossing).enclosing;
        }
        if is_timed(params, entry) {
            let at = now();
            (*entry).callback_ticks += at.wrapping_sub((*entry).callback_began);
            add_times(params, thread, entry, at);
            (*entry).callback_began = 0;
        }
    }
}

/// Adds a timed callback's phases to its cell.
unsafe fn add_times(params: &Params, thread: *mut Thread, entry: *mut InFlight, at: u64) {
    // SAFETY: the entry is this M's and names a finished cell.
    unsafe {
        let cell = (*entry).callback as *mut Cell;
        if cell.is_null() || (*entry).callback_acquired == 0 {
            return;
        }
        let foreign = (*entry).cell().is_null();
        let gap = if foreign { 1 } else { (*entry).gap as u64 };
        let (began, acquired, ended) = ((*entry).callback_began, (*entry).callback_acquired, (*entry).callback_ended);
        let (acquire, release) = (acquired.wrapping_sub(began), at.wrapping_sub(ended));
        let (go, border) = (ended.wrapping_sub(acquired), acquire + release);
        let times = times(params, thread, cell);
        (*times).timed += 1;
        (*times).weight += gap;
        (*times).exits += gap;
        (*times).skipped += gap * (gap - 1);
        (*times).enter.sample(acquire, gap);
        (*times).c.sample(go, gap);
        (*times).exit.sample(release, gap);
        adding::add(params, thread, &raw mut (*times).c_histogram, go, gap);
        (*times).c_min = (*times).c_min.min(go);
        (*times).c_max = (*times).c_max.max(go);
        adding::add(params, thread, &raw mut (*times).overhead_histogram, border, gap);
        (*times).overhead_min = (*times).overhead_min.min(border);
        (*times).overhead_max = (*times).overhead_max.max(border);
        if foreign && (*thread).attaching != 0 {
            (*rare(params, thread, cell)).callback.whole(began.wrapping_sub((*thread).attaching));
            (*thread).attaching = 0;
        }
    }
}

/// Runs in `unwindm`, where a panic or Goexit leaves the crossing that called back.
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
            (*rare(params, thread, (*((*thread).top as *const InFlight)).cell())).abandoned += 1;
            return;
        }
        let entry = innermost(thread);
        if entry.is_null() {
            return;
        }
        let callback = (*entry).callback as *mut Cell;
        if !callback.is_null() {
            (*rare(params, thread, callback)).abandoned += 1;
        }
        let cell = (*entry).cell();
        (*rare(params, thread, cell)).abandoned += 1;
        (*thread).enclosing = (*cell).enclosing;
        (*thread).top -= size_of::<InFlight>() as u64;
    }
}
