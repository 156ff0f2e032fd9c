//! Facts that the unwinder needs about each file that is mapped.

use std::borrow::Cow;
use std::ops::{Deref, Range};
use std::sync::Arc;

use cgoprof_symbols::{Avma, Binary, FileOffset, Svma};
use framehop::{ExplicitModuleSectionInfo, Module};
use memmap2::Mmap;

use crate::process::maps::Mapping;

/// Returns the modules of a mapping. Go's own code has none, because its frames are found by frame pointers. Memory
/// without a file has none either, except the vDSO.
pub(super) fn of_mapping(mapping: &Mapping, go: &Range<Avma>) -> Vec<Module<Arc<[u8]>>> {
    let Some(data) = contents(mapping) else { return Vec::new() };
    let Ok(binary) = Binary::parse(&data) else { return Vec::new() };
    let Some(stated) = stated_start(mapping, &binary) else { return Vec::new() };
    let piece = |(address, bytes): (Svma, Cow<'_, [u8]>)| {
        let range = address.0..address.0 + bytes.len() as u64;
        (range, Arc::<[u8]>::from(bytes.as_ref()))
    };
    let section = |name: &str| binary.section(name).map(piece);
    let (frames, header) = (binary.call_frames().map(piece), binary.call_frame_table().map(piece));
    // Go also writes .debug_frame, for its own code alone; a file without .eh_frame may have C's there.
    let debug = if frames.is_none() { section(".debug_frame") } else { None };
    let bias = mapping.range.start.0.wrapping_sub(stated);
    let name = mapping.path.to_string_lossy();
    let module = |range: Range<u64>| {
        let info = ExplicitModuleSectionInfo {
            base_svma: 0,
            text_svma: section(".text").map(|(range, _)| range),
            got_svma: section(".got").map(|(range, _)| range),
            eh_frame_svma: frames.as_ref().map(|(range, _)| range.clone()),
            eh_frame: frames.as_ref().map(|(_, bytes)| Arc::clone(bytes)),
            eh_frame_hdr_svma: header.as_ref().map(|(range, _)| range.clone()),
            eh_frame_hdr: header.as_ref().map(|(_, bytes)| Arc::clone(bytes)),
            debug_frame: debug.as_ref().map(|(_, bytes)| Arc::clone(bytes)),
            ..Default::default()
        };
        Module::new(name.clone().into_owned(), range, bias, info)
    };
    without(&(mapping.range.start.0..mapping.range.end.0), &(go.start.0..go.end.0)).into_iter().map(module).collect()
}

/// Bytes of a mapping.
enum Contents {
    File(Mmap),
    Vdso(&'static [u8]),
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Contents::File(file) => file,
            Contents::Vdso(image) => image,
        }
    }
}

fn contents(mapping: &Mapping) -> Option<Contents> {
    if mapping.path.as_os_str() == "[vdso]" {
        return own_vdso().map(Contents::Vdso);
    }
    mapping.contents().map(Contents::File)
}

/// Returns our own vDSO. The kernel maps the same image into every process, so ours stands for the program's.
fn own_vdso() -> Option<&'static [u8]> {
    let mappings = crate::process::maps::read(nix::unistd::Pid::this()).ok()?;
    let vdso = mappings.into_iter().find(|mapping| mapping.path.as_os_str() == "[vdso]")?;
    let length = (vdso.range.end.0 - vdso.range.start.0) as usize;
    // SAFETY: the vDSO is mapped and readable for the life of the process.
    Some(unsafe { std::slice::from_raw_parts(vdso.range.start.0 as *const u8, length) })
}

/// Returns the address that the file states for the mapping's first byte.
fn stated_start(mapping: &Mapping, binary: &Binary<'_>) -> Option<u64> {
    // The mapping begins at a page, but the code may begin within it.
    (0..4096).step_by(16).find_map(|skip| {
        let stated = binary.stated_address(FileOffset(mapping.offset.0 + skip))?;
        binary.is_code(stated).then(|| stated.0.wrapping_sub(skip))
    })
}

/// Returns the parts of a range that are not in another.
fn without(range: &Range<u64>, hole: &Range<u64>) -> Vec<Range<u64>> {
    let before = range.start..range.end.min(hole.start);
    let after = range.start.max(hole.end)..range.end;
    if hole.end <= range.start || range.end <= hole.start {
        return vec![range.clone()];
    }
    [before, after].into_iter().filter(|part| part.start < part.end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_without_another() {
        let check = |(start, end): (u64, u64), (from, to): (u64, u64), expected: &[(u64, u64)]| {
            let left: Vec<_> = without(&(start..end), &(from..to)).iter().map(|part| (part.start, part.end)).collect();
            assert_eq!(left, expected, "{start}..{end} without {from}..{to}");
        };
        check((10, 20), (30, 40), &[(10, 20)]);
        check((10, 20), (0, 10), &[(10, 20)]);
        check((10, 20), (5, 15), &[(15, 20)]);
        check((10, 20), (15, 25), &[(10, 15)]);
        check((10, 20), (12, 14), &[(10, 12), (14, 20)]);
        check((10, 20), (5, 25), &[]);
    }

    #[test]
    fn our_own_libraries_and_vdso_can_be_unwound() {
        let mappings = crate::process::maps::read(nix::unistd::Pid::this()).unwrap();
        let nowhere = Avma(0)..Avma(0);
        for name in ["libc.so.6", "[vdso]"] {
            let mapping = mappings.iter().find(|mapping| mapping.executable && mapping.path.ends_with(name)).unwrap();
            assert_eq!(of_mapping(mapping, &nowhere).len(), 1, "{name}");
        }
    }
}
