//! Phases of crossings, and locks, that took long.

use crate::counts::cell_id::CellId;

/// A phase or lock that took long. Times are in ticks of the engine's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SlowEvent {
    /// Kind of the phase or lock.
    pub(crate) kind: SlowKind,
    /// The cell of the crossing or lock.
    pub(crate) cell: CellId,
    /// Length of the interval in which it began, with `from` in its middle. 0 if the begin was timed, or is so long ago
    /// that it is a guess.
    pub(crate) begin_span: u32,
    /// When it began.
    pub(crate) from: u64,
    /// When it ended.
    pub(crate) to: u64,
    /// Kernel thread id.
    pub(crate) tid: u64,
    /// The goroutine, 0 if it is not known.
    pub(crate) goid: u64,
    /// Number of crossings that it stands for.
    pub(crate) weight: u64,
    /// It stands for crossings of which only some are timed. Otherwise every such crossing is seen.
    pub(crate) is_sampled: bool,
    /// Length of its enter phase, if that was timed.
    pub(crate) enter: u64,
}

/// Kinds of [`SlowEvent`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SlowKind {
    /// The C phase of a crossing.
    C,
    /// The C phase of a crossing whose goroutine was locked to its thread.
    CLocked,
    /// A direct crossing: there is no exit, and its goroutine is not known.
    Direct,
    /// The enter phase of a timed crossing.
    Enter,
    /// The exit phase of a crossing, from the end of its C phase, on the thread where the goroutine continued.
    Exit,
    /// A goroutine was locked to its thread.
    Locked,
}

/// Nanoseconds in C that make a crossing count as preempted, until the context switches show that it was not. Threads
/// that compete for a processor have it for milliseconds each (`base_slice_ns`,
/// Documentation/scheduler/sched-eevdf.rst).
pub(crate) const SUSPICIOUS: u64 = 1_000_000;

impl SlowKind {
    /// Whether it is the time of a crossing in C.
    pub(crate) fn is_in_c(self) -> bool {
        matches!(self, SlowKind::C | SlowKind::CLocked | SlowKind::Direct)
    }
}
