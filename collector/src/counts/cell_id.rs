//! Identity of a cell of a recording in the making.

/// The number of a cell. Each engine numbers its cells in its own way; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CellId(pub u32);

impl CellId {
    /// No cell.
    pub const NONE: CellId = CellId(0);
}
