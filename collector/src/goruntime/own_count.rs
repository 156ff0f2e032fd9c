//! Where the Go runtime keeps its own count of crossings: the sum of the Ms that are gone, and the list of the others.

use cgoprof_symbols::Svma;

/// Variables of the runtime.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnCount {
    /// `runtime.ncgocall`.
    pub gone: Svma,
    /// `runtime.allm`.
    pub first_m: Svma,
}
