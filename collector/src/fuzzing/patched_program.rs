//! Go programs with some of their bytes changed, because arbitrary bytes are hardly ever a Go program.

use std::ops::Range;

use cgoprof_symbols::Svma;

use crate::goruntime::Target;

/// A Go program, and the places where a change matters.
pub struct PatchedProgram {
    /// The unchanged program.
    pub(super) target: Target<'static>,
    places: Vec<Range<usize>>,
}

/// Bytes of a patch: the place (one byte), the offset in it (three bytes), the new bytes (four bytes).
const PATCH: usize = 8;
/// Maximum patches applied of one input.
const MOST: usize = 64;
/// Sections that are read.
const SECTIONS: [&str; 8] =
    [".go.buildinfo", ".gopclntab", ".noptrdata", ".go.module", ".dynsym", ".dynstr", ".rela.plt", ".dynamic"];
/// Functions whose code is read.
const FUNCTIONS: [&str; 16] = [
    "runtime.cgocall",
    "runtime.asmcgocall.abi0",
    "runtime.asmcgocall_landingpad.abi0",
    "runtime.unwindm",
    "runtime.cgocallbackg",
    "runtime.cgocallbackg1",
    "runtime.cgocallback.abi0",
    "runtime.entersyscall",
    "runtime.exitsyscall",
    "runtime.reentersyscall",
    "runtime.mcall",
    "runtime.needm",
    "runtime.newm1",
    "runtime.LockOSThread",
    "runtime.UnlockOSThread",
    "crosscall2",
];

impl PatchedProgram {
    /// Takes a Go program, whose bytes are then never freed. None if it can't be recorded.
    pub fn new(bytes: Vec<u8>) -> Option<PatchedProgram> {
        const HEADERS: usize = 1024;
        let bytes = Vec::leak(bytes);
        let target = Target::parse(bytes).ok()?;
        let at = |start: Svma, length: usize| {
            let start = target.binary.file_offset(start)?.0 as usize;
            Some(start..(start + length).min(bytes.len()))
        };
        let sections = SECTIONS.iter().filter_map(|name| {
            let (start, data) = target.binary.section(name)?;
            at(start, data.len())
        });
        let is_read = |name: &str| {
            let name = name.strip_suffix(".abi0").unwrap_or(name);
            FUNCTIONS.iter().any(|function| function.strip_suffix(".abi0").unwrap_or(function) == name)
                || name.starts_with("main._Cfunc_")
        };
        let functions = target.pclntab.functions().filter(|function| is_read(function.name));
        let code = functions.filter_map(|function| at(function.start, (function.end.0 - function.start.0) as usize));
        let table = at(target.pclntab.address(), 128);
        let section_headers = bytes.len().saturating_sub(4096)..bytes.len();
        let headers = [0..HEADERS.min(bytes.len()), section_headers];
        let places = headers.into_iter().chain(table).chain(sections).chain(code);
        let places = places.filter(|place| !place.is_empty()).collect();
        Some(PatchedProgram { target, places })
    }

    /// Returns the program with these patches.
    pub(super) fn patched(&self, patches: &[u8]) -> Vec<u8> {
        let mut bytes = self.target.binary.data().to_vec();
        for patch in patches.chunks_exact(PATCH).take(MOST) {
            let place = &self.places[usize::from(patch[0]) % self.places.len()];
            let offset = patch[1..4].iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            let at = place.start + offset % place.len();
            for (byte, &value) in bytes[at..].iter_mut().zip(&patch[4..]) {
                *byte = value;
            }
        }
        bytes
    }
}

/// A small ELF file with one section of this name, at an address.
pub(super) fn elf_with_section(name: &str, contents: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    let names = format!("\0{name}\0.shstrtab\0");
    let (contents_at, names_at) = (64 + 56, 64 + 56 + contents.len());
    let sections_at = names_at + names.len();
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut words = |text: &[u64], width: usize| {
        text.iter().for_each(|word| file.extend(&word.to_le_bytes()[..width]));
    };
    words(&[2, 62], 2);
    words(&[1], 4);
    words(&[BASE, 64, sections_at as u64], 8);
    words(&[0], 4);
    words(&[64, 56, 1, 64, 3, 2], 2);
    words(&[1, 6], 4);
    words(&[0, BASE, BASE, sections_at as u64, sections_at as u64, 4096], 8);
    file.extend(contents);
    file.extend(names.as_bytes());
    let mut section = |name: usize, kind: u32, flags: u64, address: u64, offset: usize, size: usize| {
        file.extend((name as u32).to_le_bytes());
        file.extend(kind.to_le_bytes());
        for word in [flags, address, offset as u64, size as u64, 0, 1, 0] {
            file.extend(word.to_le_bytes());
        }
    };
    section(0, 0, 0, 0, 0, 0);
    section(1, 1, 2, BASE + contents_at as u64, contents_at, contents.len());
    section(name.len() + 2, 3, 0, 0, names_at, names.len());
    file
}

#[cfg(test)]
mod tests {
    use cgoprof_symbols::Binary;

    use super::*;

    #[test]
    fn the_section_is_found_in_the_file_made_for_it() {
        let file = elf_with_section(".go.buildinfo", b"contents");
        let binary = Binary::parse(&file).unwrap();
        let (address, contents) = binary.section(".go.buildinfo").unwrap();
        assert_eq!((contents.as_ref(), binary.bytes_at(address, 8)), (&b"contents"[..], Some(&b"contents"[..])));
    }
}
