//! The clock of the hooks.

/// Returns the processor's time stamp counter.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: RDTSC exists on every x86-64 processor, and Linux lets user code execute it unless a process
    // asks otherwise for itself (prctl PR_SET_TSC).
    unsafe { core::arch::x86_64::_rdtsc() }
}
