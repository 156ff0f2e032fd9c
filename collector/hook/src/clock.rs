//! The clock.

#[cfg(not(miri))]
pub(crate) use crate::arch::now;

/// Returns a counter in place of the processor's, which Miri does not have.
#[cfg(miri)]
pub(crate) fn now() -> u64 {
    use core::sync::atomic::{AtomicU64, Ordering};
    static TICKS: AtomicU64 = AtomicU64::new(1);
    TICKS.fetch_add(1, Ordering::Relaxed)
}
