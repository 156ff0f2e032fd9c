//! Debug information (DWARF) of a file: from addresses to functions, inlined ones included, with their files and lines.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use addr2line::{Context, LookupContinuation as _, LookupResult, SplitDwarfLoad};
use gimli::{Dwarf, DwarfPackage, EndianSlice, LittleEndian};
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _};

use crate::address::Svma;
use crate::debug_units::{Slice, Units, sound};

type Elf<'data> = ElfFile64<'data, object::LittleEndian>;

/// A function at an address, as the source names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFrame {
    /// Its name, demangled; none if debug information has only the line.
    pub function: Option<String>,
    /// The source file; empty if it is unknown.
    pub file: String,
    /// The line that is executed, or that calls the frame before; 0 if it is unknown.
    pub line: u32,
}

/// Copies of the sections of a file that hold debug information, decompressed.
#[derive(Default)]
pub struct DebugSections {
    sections: HashMap<String, Vec<u8>>,
}

/// Why the debug information of a file is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// There is none.
    #[error("there is none")]
    None,
    /// It takes more memory than is left.
    #[error("it is too large")]
    TooLarge,
    /// It contradicts itself.
    #[error("it is damaged")]
    Damaged,
}

/// The debug information of one file.
pub struct DebugInfo<'a> {
    context: Context<Slice<'a>>,
    /// Debug information that the linker left out, of all units together (`.dwp`).
    package: Option<DwarfPackage<Slice<'a>>>,
    units: Units<'a>,
}

/// Maximum frames at one address. Real code stays far below.
const MOST_FRAMES: usize = 128;
/// What addresses are looked up in. The other sections, half of all bytes, need not be decompressed.
const NEEDED: [gimli::SectionId; 12] = [
    gimli::SectionId::DebugAbbrev,
    gimli::SectionId::DebugAddr,
    gimli::SectionId::DebugAranges,
    gimli::SectionId::DebugCuIndex,
    gimli::SectionId::DebugInfo,
    gimli::SectionId::DebugLine,
    gimli::SectionId::DebugLineStr,
    gimli::SectionId::DebugRanges,
    gimli::SectionId::DebugRngLists,
    gimli::SectionId::DebugStr,
    gimli::SectionId::DebugStrOffsets,
    gimli::SectionId::DebugTuIndex,
];

impl DebugSections {
    /// Reads the sections of a file. `left` is how many bytes of sections may still be read; a file of kilobytes can state
    /// any size.
    ///
    /// # Errors
    /// If there are none, or they can't be read.
    pub fn read(file: &[u8], left: &mut u64) -> Result<DebugSections, Unreadable> {
        let file = Elf::parse(file).map_err(|_| Unreadable::Damaged)?;
        let is_needed = |name: &str| NEEDED.iter().any(|id| id.name() == name || id.dwo_name() == Some(name));
        let mut sections = HashMap::new();
        for section in file.sections() {
            let Some(name) = section.name().ok().filter(|name| is_needed(name)) else { continue };
            let size = section.compressed_file_range().map_err(|_| Unreadable::Damaged)?.uncompressed_size;
            *left = left.checked_sub(size).ok_or(Unreadable::TooLarge)?;
            let data = section.uncompressed_data().map_err(|_| Unreadable::Damaged)?;
            sections.insert(name.to_owned(), data.into_owned());
        }
        let has_units = |id: gimli::SectionId| {
            sections.contains_key(id.name()) || id.dwo_name().is_some_and(|name| sections.contains_key(name))
        };
        if has_units(gimli::SectionId::DebugInfo) { Ok(DebugSections { sections }) } else { Err(Unreadable::None) }
    }

    /// The bytes of a section; empty if there is none.
    fn get(&self, name: &str) -> Slice<'_> {
        EndianSlice::new(self.sections.get(name).map_or(&[], Vec::as_slice), LittleEndian)
    }

    fn dwarf(&self) -> Dwarf<Slice<'_>> {
        let Ok(mut dwarf) = Dwarf::load(|id| Ok::<_, std::convert::Infallible>(self.get(id.name())));
        // Units may share abbreviations, which are else read for each of them.
        dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
        dwarf
    }

    fn split_dwarf(&self) -> Dwarf<Slice<'_>> {
        let name = |id: gimli::SectionId| id.dwo_name().unwrap_or_default();
        let Ok(dwarf) = Dwarf::load(|id| Ok::<_, std::convert::Infallible>(self.get(name(id))));
        dwarf
    }
}

impl<'a> DebugInfo<'a> {
    /// Reads the debug information in a file. Parts that several files share may be in a supplementary file (dwz), and
    /// parts that the linker left out in a package. None if there is none, or it is damaged.
    pub fn new(
        file: &'a DebugSections,
        supplementary: Option<&'a DebugSections>,
        package: Option<&'a DebugSections>,
    ) -> Option<DebugInfo<'a>> {
        let mut dwarf = file.dwarf();
        if let Some(supplementary) = supplementary {
            dwarf.set_sup(supplementary.dwarf());
        }
        let package = package.and_then(|package| {
            let section = |id: gimli::SectionId| Ok::<_, gimli::Error>(package.get(id.dwo_name().unwrap_or_default()));
            DwarfPackage::load(section, EndianSlice::new(&[], LittleEndian)).ok()
        });
        // Units are looked at first: they may be such that the context can't be made in bounded memory.
        let units = Units::new(file.dwarf())?;
        Some(DebugInfo { context: Context::from_dwarf(dwarf).ok()?, package, units })
    }

    /// Returns the functions at an address, the innermost inlined one first. `open` reads a file of split debug
    /// information (`.dwo`). Empty also where its units can't be read in bounded time.
    pub fn frames(&self, address: Svma, open: &dyn Fn(&Path) -> Option<&'a DebugSections>) -> Vec<SourceFrame> {
        if !self.units.are_sound_at(address) {
            return Vec::new();
        }
        let mut lookup = self.context.find_frames(address.0);
        let found = loop {
            match lookup {
                LookupResult::Output(found) => break found,
                LookupResult::Load { load, continuation } => {
                    lookup = continuation.resume(self.split(load, open));
                }
            }
        };
        let (Ok(mut found), mut frames) = (found, Vec::new()) else { return Vec::new() };
        while let Ok(Some(frame)) = found.next() {
            let function = frame.function.and_then(|name| Some(name.demangle().ok()?.into_owned()));
            let (file, line) =
                frame.location.map_or((None, None), |location| (location.file.map(str::to_owned), location.line));
            frames.push(SourceFrame { function, file: file.unwrap_or_default(), line: line.unwrap_or(0) });
            if frames.len() == MOST_FRAMES {
                break;
            }
        }
        frames
    }

    /// Debug information of a unit that the linker left out.
    fn split(
        &self,
        load: SplitDwarfLoad<Slice<'a>>,
        open: &dyn Fn(&Path) -> Option<&'a DebugSections>,
    ) -> Option<Arc<Dwarf<Slice<'a>>>> {
        if let Some(package) = &self.package
            && let Ok(Some(unit)) = package.find_cu(load.dwo_id, &load.parent)
        {
            return sound(Arc::new(unit));
        }
        let text = |bytes: Slice<'a>| PathBuf::from(String::from_utf8_lossy(bytes.slice()).into_owned());
        let path = load.comp_dir.map(text).unwrap_or_default().join(load.path.map(text)?);
        let mut dwarf = open(&path)?.split_dwarf();
        let header = dwarf.units().next().ok()??;
        let is_it = dwarf.unit(header).ok()?.dwo_id == Some(load.dwo_id);
        is_it
            .then(|| {
                dwarf.make_dwo(&load.parent);
                Arc::new(dwarf)
            })
            .and_then(sound)
    }
}

/// Where a file says that its debug information is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebugLinks {
    /// The file's build id.
    pub build_id: Option<Vec<u8>>,
    /// Name of a file with debug information, and its checksum (`.gnu_debuglink`).
    pub link: Option<(PathBuf, u32)>,
    /// Path of a supplementary file, and its build id (`.gnu_debugaltlink`).
    pub supplementary: Option<(PathBuf, Vec<u8>)>,
    /// It has lines of its own.
    pub has_lines: bool,
}

impl DebugLinks {
    /// Reads the links of a file.
    pub fn read(file: &[u8]) -> DebugLinks {
        let Ok(file) = Elf::parse(file) else { return DebugLinks::default() };
        let path = |name: &[u8]| PathBuf::from(String::from_utf8_lossy(name).into_owned());
        DebugLinks {
            build_id: file.build_id().ok().flatten().map(<[u8]>::to_vec),
            link: file.gnu_debuglink().ok().flatten().map(|(name, checksum)| (path(name), checksum)),
            supplementary: file.gnu_debugaltlink().ok().flatten().map(|(name, id)| (path(name), id.to_vec())),
            has_lines: file.section_by_name(".debug_line").is_some(),
        }
    }
}
