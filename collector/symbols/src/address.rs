//! Addresses by the space they live in.

use std::fmt;

/// An address as the binary states it (stated virtual memory address).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Svma(pub u64);

/// An address in a running process (actual virtual memory address).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Avma(pub u64);

/// A position in a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FileOffset(pub u64);

impl Svma {
    /// Returns the address in a process that has loaded the file with this bias.
    pub fn loaded(self, bias: u64) -> Avma {
        Avma(self.0.wrapping_add(bias))
    }
}

impl Avma {
    /// Returns the address that the file states, if it is loaded with this bias.
    pub fn stated(self, bias: u64) -> Svma {
        Svma(self.0.wrapping_sub(bias))
    }
}

impl fmt::Display for Svma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Avma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
