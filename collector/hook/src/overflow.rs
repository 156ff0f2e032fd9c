//! Crossings that have no cell of their own.

use core::sync::atomic::Ordering::Relaxed;

use crate::layout::OVERFLOW;
use crate::mapping::header;
use crate::params::Params;

/// Reason why a crossing is counted by its C function alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// Its M has no [`Thread`].
    Threads,
    /// Its M's [`Thread`] has no room for another cell: the spare cell counts it too.
    Cells,
}

/// Counts a crossing that has no cell of its own.
///
/// # Safety
/// `params` must describe a live mapping.
#[cold]
#[inline(never)]
pub(crate) unsafe fn count(params: &Params, function: u64, why: Beyond) {
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
            let calls = if why == Beyond::Threads { &entry.calls } else { &entry.spare_calls };
            calls.fetch_add(1, Relaxed);
            return;
        }
    }
    // The spare cell counts those beyond cells.
    if why == Beyond::Threads {
        header.unattributed.fetch_add(1, Relaxed);
    }
}
