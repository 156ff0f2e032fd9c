//! Functions as call frame information knows them: without names, but even in stripped files.

use gimli::{BaseAddresses, CieOrFde, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, UnwindSection as _};

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

/// Returns the address and size of each function that has call frame information, by address.
pub fn functions(binary: &Binary<'_>) -> Vec<(Svma, u64)> {
    let Some((frames_at, frames)) = binary.call_frames() else { return Vec::new() };
    let bases = BaseAddresses::default().set_eh_frame(frames_at.0);
    let frames = EhFrame::new(&frames, LittleEndian);
    let (mut entries, mut functions) = (frames.entries(&bases), Vec::new());
    while let Ok(Some(entry)) = entries.next() {
        if let CieOrFde::Fde(partial) = entry
            && let Ok(found) = partial.parse(EhFrame::cie_from_offset)
        {
            functions.push((Svma(found.initial_address()), found.len()));
        }
    }
    functions.sort();
    functions
}
