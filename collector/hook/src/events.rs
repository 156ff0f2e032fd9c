//! Events for the recorder.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{EVENTS, Event, Thread, kind};

/// Leaves an event for the recorder, or counts it as dropped if the recorder has not kept up.
///
/// # Safety
/// `thread` must be the running M's.
pub(crate) unsafe fn event(thread: *mut Thread, event: Event) {
    // SAFETY: thread is this M's; the place lies within the array, and the recorder reads it after `events_written`.
    unsafe {
        let written = (*thread).events_written.load(Relaxed);
        if written.wrapping_sub((*thread).events_read.load(Acquire)) >= EVENTS as u64 {
            let crosses = matches!(event.kind, kind::C | kind::C_LOCKED | kind::DIRECT);
            let dropped = if crosses { &(*thread).events_dropped } else { &(*thread).ends_dropped };
            dropped.fetch_add(1, Relaxed);
            return;
        }
        (&raw mut (*thread).events).cast::<Event>().add(written as usize % EVENTS).write(event);
        (*thread).events_written.store(written + 1, Release);
    }
}
