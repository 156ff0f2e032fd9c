//! Sizes of functions from call frame information.

use gimli::{BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, UnwindSection as _};

use crate::{Binary, Svma};

/// Returns the size of the function that starts at an address, in bytes. None if no call frame information covers it.
pub fn size_of_function(binary: &Binary<'_>, start: Svma) -> Option<u64> {
    let (frames_at, frames) = binary.call_frames()?;
    let (table_at, table) = binary.call_frame_table()?;
    let bases = BaseAddresses::default().set_eh_frame(frames_at.0).set_eh_frame_hdr(table_at.0);
    let frames = EhFrame::new(&frames, LittleEndian);
    let header = EhFrameHdr::from(EndianSlice::new(&table, LittleEndian)).parse(&bases, 8).ok()?;
    let found = header.table()?.fde_for_address(&frames, &bases, start.0, EhFrame::cie_from_offset).ok()?;
    (found.initial_address() == start.0).then_some(found.len())
}
