//! Words of the Go runtime.

/// Offset of `g.m` in every Go version measured (1.19 to 1.27).
pub(crate) const G_M: usize = 48;
/// Offset of `g.stack.hi`.
pub(crate) const G_STACK_HI: usize = 8;

/// Reads a word of the target.
///
/// # Safety
/// `base + offset` must be readable and aligned.
#[inline(always)]
pub(crate) unsafe fn word(base: u64, offset: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { *((base + offset) as *const u64) }
}
