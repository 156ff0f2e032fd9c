//! Registers of a thread in samples and at probes, and the unwinder of stacks that works with them.

use std::sync::Arc;

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};

/// Numbers of instruction pointer, stack pointer and frame pointer in samples
/// (`arch/x86/include/uapi/asm/perf_regs.h`).
pub(crate) const SAMPLED: [u64; 3] = [8, 7, 6];

/// Names of registers at probes (kernel/trace/trace_probe.c, `regoffset_table` in arch/x86/kernel/ptrace.c).
pub(crate) mod probe_register {
    /// Stack pointer.
    pub(crate) const SP: &str = "%sp";
    /// Frame pointer.
    pub(crate) const FP: &str = "%bp";
    /// The g in Go code.
    pub(crate) const G: &str = "%r14";
    /// The g at `asmcgocall`'s first branch.
    pub(crate) const G_CALLED: &str = "%di";
}

/// Unwinds stacks by call frame information.
pub(crate) type FrameUnwinder = UnwinderX86_64<Arc<[u8]>>;
/// Cache of the unwinder.
pub(crate) type UnwindCache = CacheX86_64;
/// Registers of a frame.
pub(crate) type FrameRegisters = UnwindRegsX86_64;

/// Registers of a stack's innermost frame.
pub(crate) fn frame_registers(ip: u64, sp: u64, fp: u64) -> FrameRegisters {
    UnwindRegsX86_64::new(ip, sp, fp)
}
