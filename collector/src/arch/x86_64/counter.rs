//! The clock of the hooks.

/// Reads the processor's time stamp counter.
pub(crate) fn ticks() -> u64 {
    // SAFETY: RDTSC is available to user code on Linux unless the process forbids it itself.
    unsafe { std::arch::x86_64::_rdtsc() }
}
