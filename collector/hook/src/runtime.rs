//! Words of the Go runtime.

/// Offset of `g.m`; the recorder uses the same.
pub const G_M: usize = 48;
/// Offset of `g.stack.hi`.
pub const G_STACK_HI: usize = 8;
/// Offset of `g.sched.sp`.
pub const G_SCHED_SP: usize = 56;

/// Reads a word of the program.
///
/// # Safety
/// `base + offset` must be readable and aligned.
#[inline(always)]
pub(crate) unsafe fn word(base: u64, offset: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { *((base + offset) as *const u64) }
}
