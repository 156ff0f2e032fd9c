//! A place in the shared mapping.

/// A place in the mapping: offset from its start in units of 64 bytes. 0 is none.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CellRef(pub u32);

impl CellRef {
    /// No cell.
    pub const NONE: CellRef = CellRef(0);

    /// Returns the offset from the start of the mapping, in bytes.
    #[inline(always)]
    pub const fn offset(self) -> u64 {
        self.0 as u64 * 64
    }
}
