//! The uprobe engine's plan: where it sets probes, and what each probe fetches. [`crate::arch`] works it out from a
//! binary's code.
//!
//! A probe costs 0.7 us where the kernel can emulate the instruction under it, and about ten times as much where it
//! must single-step. So the points that every crossing passes are calls and branches; the others are rare.

use std::ops::Range;

use cgoprof_symbols::runtime_offsets::RuntimeOffsets;
use cgoprof_symbols::{FileOffset, Svma};

/// Event that a probe sees.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Point {
    /// `asmcgocall` is about to call C: its first branch. RSP and g are those of the caller.
    Called,
    /// C has returned and `cgocall` calls `exitsyscall`.
    Returned,
    /// `exitsyscall` continues after a wait for a P. Single-stepped.
    Resumed,
    /// `cgocallbackg` calls `exitsyscall`: C has called Go.
    CallbackBegin,
    /// `cgocallbackg` calls `reentersyscall`: Go returns to C. Single-stepped where that is inlined.
    CallbackEnd,
    /// `unwindm` leaves a crossing. Single-stepped.
    Unwind,
}

/// One probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Event that it sees.
    pub point: Point,
    /// Name of the function that it is in, for people.
    pub function: String,
    /// Address of the instruction under it.
    pub at: Svma,
    /// Offset of that instruction in the file.
    pub offset: FileOffset,
    /// Bytes of that instruction.
    pub original: Vec<u8>,
}

/// Everything that the uprobe engine must know about a binary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbePlan {
    /// Where probes are set.
    pub probes: Vec<Probe>,
    /// Bytes from RSP at [`Point::Called`] to `asmcgocall`'s return address; its arguments follow that.
    pub to_return: u32,
    /// `asmcgocall`.
    pub asmcgocall: Range<Svma>,
    /// Return address of `cgocall`'s call of `asmcgocall`.
    pub after_asmcgocall: Svma,
    /// Return address of `cgocall`'s call of `exitsyscall`.
    pub after_exitsyscall: Svma,
    /// `cgocallback`, where a goroutine's stack ends and C's begins.
    pub cgocallback: Range<Svma>,
    /// Functions that make threads: `newm1`, and those into which it may be inlined.
    pub newm1: Vec<Range<Svma>>,
    /// `goexit`, where a goroutine begins.
    pub goexit: Range<Svma>,
    /// Struct offsets.
    pub offsets: RuntimeOffsets,
    /// purego's trampoline.
    pub purego: Option<Svma>,
}

impl ProbePlan {
    /// Whether `asmcgocall` has a frame of its own, as from Go 1.21 on.
    pub fn asmcgocall_has_frame(&self) -> bool {
        self.to_return > 0
    }
}
