//! What a thread does, or which side of the border something is on.

/// What a time was spent in: tables and pictures show each in one colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Go code.
    Go,
    /// Getting to C and back.
    Border,
    /// C code.
    C,
    /// Blocked in C.
    Blocked,
    /// Waiting for a P.
    Waiting,
    /// Neither in Go nor in C.
    Idle,
    /// Locked to a goroutine.
    Locked,
}
