//! The clock.

/// The processor's time stamp counter.
#[cfg(not(miri))]
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: RDTSC exists on every x86-64 processor, and Linux lets user code execute it unless a process
    // asks otherwise for itself (prctl PR_SET_TSC).
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A counter in place of the time stamp counter, which Miri does not have.
#[cfg(miri)]
pub(crate) fn now() -> u64 {
    use core::sync::atomic::{AtomicU64, Ordering};
    static TICKS: AtomicU64 = AtomicU64::new(1);
    TICKS.fetch_add(1, Ordering::Relaxed)
}
