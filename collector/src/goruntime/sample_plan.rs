//! The sample engine's plan. The engine changes nothing, so nothing has to be as expected: parts that are not found are
//! empty.

use std::ops::Range;

use cgoprof_symbols::Svma;
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;

/// Places where Go and C meet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SamplePlan {
    /// `asmcgocall`.
    pub asmcgocall: Range<Svma>,
    /// Return address of `cgocall`'s call of `asmcgocall`, where that has a frame of its own (from Go 1.21 on).
    pub after_asmcgocall: Option<Svma>,
    /// `cgocallback`, where a goroutine's stack ends and C's begins.
    pub cgocallback: Range<Svma>,
    /// `goexit`, where a goroutine begins.
    pub goexit: Range<Svma>,
    /// Struct offsets.
    pub offsets: Option<RuntimeOffsets>,
}
