//! Marks that an engine leaves on stacks, above C's return address. They say which crossing has called C.

use std::ops::Range;

use cgoprof_symbols::Avma;

use crate::counts::cell_id::CellId;

/// Marks of one module's crossings. Each is the address of a cell in the program; its lowest bit is the engine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markers {
    /// Bytes from the stack pointer, once C has returned, to its mark.
    pub(crate) distance: u64,
    /// Addresses where cells may be.
    pub(crate) cells: Range<Avma>,
    /// Bytes from one place to the next.
    pub(crate) stride: u64,
    /// The cell at the first place.
    pub(crate) first: CellId,
}

impl Markers {
    /// Returns the cell of a mark, if there can be one.
    pub(crate) fn cell(&self, mark: u64) -> Option<CellId> {
        let address = mark & !1;
        let offset = address.wrapping_sub(self.cells.start.0);
        let is_place = self.cells.contains(&Avma(address)) && offset.is_multiple_of(self.stride);
        is_place.then(|| CellId(self.first.0.wrapping_add((offset / self.stride) as u32)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_told_from_other_words() {
        let markers = Markers { distance: 8, cells: Avma(0x1000)..Avma(0x2000), stride: 64, first: CellId(7) };
        let check = |mark, expected: Option<u32>| assert_eq!(markers.cell(mark), expected.map(CellId), "{mark:#x}");
        check(0x1000, Some(7));
        check(0x1081, Some(9));
        check(0x1008, None);
        check(0x2000, None);
        check(0xfc0, None);
        check(0, None);
    }
}
