//! An ELF file: its loaded bytes, sections and symbols.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _, SectionTable, Sym as _, SymbolTable};
use object::{CompressedData, CompressedFileRange, CompressionFormat, LittleEndian};

use crate::address::{Avma, FileOffset, Svma};
use crate::dynamic;

/// Why a file can't be profiled, or read at all.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum BinaryError {
    /// A text file that names its interpreter.
    #[error("is a script; record the Go program that it starts")]
    Script,
    /// Not an ELF file.
    #[error("is not an ELF file")]
    NotElf,
    /// Not a 64-bit file.
    #[error("is a 32-bit binary; only x86-64 is supported")]
    NotSixtyFourBits,
    /// Another processor.
    #[error("is built for {0}; only x86-64 is supported")]
    Architecture(String),
    /// Neither an executable nor a position-independent one.
    #[error("is an ELF file but not an executable")]
    NotExecutable,
    /// The headers contradict each other or the file's length.
    #[error("is truncated or damaged: {0}")]
    Damaged(String),
}

type Header = FileHeader64<LittleEndian>;
const ENDIAN: LittleEndian = LittleEndian;

/// A parsed ELF executable or library over its bytes. The program headers, which are needed to run it, must be there.
/// Section headers may be missing; damaged ones count as missing.
pub struct Binary<'data> {
    data: &'data [u8],
    header: &'data Header,
    segments: Layout,
    sections: SectionTable<'data, Header>,
    symbols: SymbolTable<'data, Header>,
    dynamic_symbols: Vec<Symbol<'data>>,
    imports: Vec<&'data str>,
    ifuncs: Vec<Symbol<'data>>,
}

/// Parts of a file and the addresses where they are loaded. That is enough of a file to find an address.
#[derive(Clone, Debug)]
pub struct Layout(Vec<Segment>);

impl Layout {
    /// Stated address of a position in the file.
    pub fn stated_address(&self, offset: FileOffset) -> Option<Svma> {
        let segment = self.0.iter().find(|segment| segment.file.contains(&offset.0))?;
        Some(Svma(segment.address.start + (offset.0 - segment.file.start)))
    }
}

#[derive(Clone, Debug)]
struct Segment {
    address: Range<u64>,
    file: Range<u64>,
    executable: bool,
    writable: bool,
}

/// A symbol of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'data> {
    /// Name as in the table.
    pub name: &'data str,
    /// First byte.
    pub address: Svma,
    /// Size in bytes, 0 when unknown.
    pub size: u64,
    /// Visibility to other object files.
    pub binding: Binding,
}

/// Visibility of a symbol outside of its object file. The binding that comes first gives the better name of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    /// Everywhere.
    Global,
    /// Everywhere, unless there is a global one.
    Weak,
    /// In its object file alone.
    Local,
}

impl<'data> Symbol<'data> {
    /// Converts an entry of a symbol table, if it stands for code in this file.
    pub(crate) fn of_code(symbol: &elf::Sym64<LittleEndian>, name: &'data [u8]) -> Option<Symbol<'data>> {
        let is_code = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC);
        let binding = match symbol.st_bind() {
            elf::STB_LOCAL => Binding::Local,
            elf::STB_WEAK => Binding::Weak,
            _ => Binding::Global,
        };
        let name = std::str::from_utf8(name).ok()?;
        let (address, size) = (Svma(symbol.st_value(ENDIAN)), symbol.st_size(ENDIAN));
        (is_code && symbol.st_shndx(ENDIAN) != elf::SHN_UNDEF).then_some(Symbol { name, address, size, binding })
    }
}

/// Returns one symbol for each address, by address: that with the widest binding, and of those the one with the plainest
/// name.
pub(crate) fn one_name_each(mut functions: Vec<Symbol<'_>>) -> Vec<Symbol<'_>> {
    functions.sort_by_key(|symbol| {
        let reserved = symbol.name.bytes().take_while(|&byte| byte == b'_').count();
        (symbol.address, symbol.binding, reserved, symbol.name.len(), symbol.name)
    });
    functions.dedup_by(|other, kept| {
        let same = other.address == kept.address;
        if same {
            kept.size = kept.size.max(other.size);
        }
        same
    });
    functions
}

/// Maximum bytes of a section that was compressed.
const LARGEST: u64 = 1 << 30;

impl<'data> Binary<'data> {
    /// Reads the headers.
    ///
    /// # Errors
    /// See [`BinaryError`].
    pub fn parse(data: &'data [u8]) -> Result<Self, BinaryError> {
        check_ident(data)?;
        let damaged = |error: object::Error| BinaryError::Damaged(error.to_string());
        let header = Header::parse(data).map_err(damaged)?;
        let machine = header.e_machine(ENDIAN);
        if machine != elf::EM_X86_64 {
            return Err(BinaryError::Architecture(machine_name(machine)));
        }
        if !matches!(header.e_type(ENDIAN), elf::ET_EXEC | elf::ET_DYN) {
            return Err(BinaryError::NotExecutable);
        }
        let mut segments = Vec::new();
        let program_headers = header.program_headers(ENDIAN, data).map_err(damaged)?;
        for header in program_headers {
            if header.p_type(ENDIAN) != elf::PT_LOAD {
                continue;
            }
            let (offset, file_size) = (header.p_offset(ENDIAN), header.p_filesz(ENDIAN));
            let end = offset.checked_add(file_size).filter(|&end| end <= data.len() as u64);
            let start = header.p_vaddr(ENDIAN);
            let (Some(end), Some(stop)) = (end, start.checked_add(file_size)) else {
                return Err(BinaryError::Damaged("a segment reaches past the end of the file".into()));
            };
            let flags = header.p_flags(ENDIAN);
            let (executable, writable) = (flags.contains(elf::PF_X), flags.contains(elf::PF_W));
            segments.push(Segment { address: start..stop, file: offset..end, executable, writable });
        }
        let sections = header.sections(ENDIAN, data).unwrap_or_default();
        let symbols = sections.symbols(ENDIAN, data, elf::SHT_SYMTAB).unwrap_or_default();
        let mut binary = Binary {
            data,
            header,
            segments: Layout(segments),
            sections,
            symbols,
            dynamic_symbols: Vec::new(),
            imports: Vec::new(),
            ifuncs: Vec::new(),
        };
        let table = program_headers.iter().find_map(|header| header.dynamic(ENDIAN, data).ok().flatten());
        for (symbol, name) in
            table.map(|table| dynamic::symbols(|address| binary.bytes_from(address), table)).unwrap_or_default()
        {
            if symbol.st_shndx(ENDIAN) == elf::SHN_UNDEF {
                binary.imports.extend(std::str::from_utf8(name).ok().filter(|name| !name.is_empty()));
            } else {
                let found = Symbol::of_code(symbol, name);
                if symbol.st_type() == elf::STT_GNU_IFUNC {
                    binary.ifuncs.extend(found);
                }
                binary.dynamic_symbols.extend(found);
            }
        }
        Ok(binary)
    }

    /// Whether it may be loaded anywhere.
    pub fn is_position_independent(&self) -> bool {
        self.header.e_type(ENDIAN) == elf::ET_DYN
    }

    /// Loaded bytes from an address to the end of its segment.
    pub fn bytes_from(&self, address: Svma) -> Option<&'data [u8]> {
        let segment = self.segments.0.iter().find(|segment| segment.address.contains(&address.0))?;
        let start = segment.file.start + (address.0 - segment.address.start);
        self.data.get(start as usize..segment.file.end as usize)
    }

    /// Returns `length` loaded bytes at an address.
    pub fn bytes_at(&self, address: Svma, length: usize) -> Option<&'data [u8]> {
        self.bytes_from(address)?.get(..length)
    }

    /// Whether code may lie at an address.
    pub fn is_code(&self, address: Svma) -> bool {
        self.segments.0.iter().any(|segment| segment.executable && segment.address.contains(&address.0))
    }

    /// Position in the file of a loaded address.
    pub fn file_offset(&self, address: Svma) -> Option<FileOffset> {
        let segment = self.segments.0.iter().find(|segment| segment.address.contains(&address.0))?;
        Some(FileOffset(segment.file.start + (address.0 - segment.address.start)))
    }

    /// Stated address of a position in the file.
    pub fn stated_address(&self, offset: FileOffset) -> Option<Svma> {
        self.segments.stated_address(offset)
    }

    /// Returns the parts of the file with the addresses where they are loaded.
    pub fn layout(&self) -> Layout {
        self.segments.clone()
    }

    /// Returns the distance from the file's stated addresses to its loaded ones, if its code from `offset` on is mapped
    /// at `start`.
    pub fn bias(&self, start: Avma, offset: FileOffset) -> Option<u64> {
        const PAGE: u64 = 4096;
        let mut code = self.segments.0.iter().filter(|segment| segment.executable);
        let mapped = code.find(|segment| segment.file.start / PAGE == offset.0 / PAGE)?;
        Some(start.0.wrapping_sub(mapped.address.start / PAGE * PAGE))
    }

    /// Range of the stated addresses that are loaded.
    pub fn extent(&self) -> Range<Svma> {
        let start = self.segments.0.iter().map(|segment| segment.address.start).min().unwrap_or(0);
        let end = self.segments.0.iter().map(|segment| segment.address.end).max().unwrap_or(0);
        Svma(start)..Svma(end)
    }

    /// Address and bytes of a section, decompressed if need be. None for a compressed one that states more than a
    /// gibibyte, because a file of kilobytes can state that.
    pub fn section(&self, name: &str) -> Option<(Svma, Cow<'data, [u8]>)> {
        let (_, section) = self.sections.section_by_name(ENDIAN, name.as_bytes())?;
        let data = match section.compression(ENDIAN, self.data).ok()? {
            Some((header, ..)) if header.ch_size.get(ENDIAN) > LARGEST => return None,
            Some((header, offset, size)) => CompressedFileRange {
                format: match header.ch_type.get(ENDIAN) {
                    elf::ELFCOMPRESS_ZLIB => CompressionFormat::Zlib,
                    elf::ELFCOMPRESS_ZSTD => CompressionFormat::Zstandard,
                    _ => return None,
                },
                offset,
                compressed_size: size,
                uncompressed_size: header.ch_size.get(ENDIAN),
            }
            .data(self.data)
            .and_then(CompressedData::decompress)
            .ok()?,
            None => Cow::Borrowed(section.data(ENDIAN, self.data).ok()?),
        };
        Some((Svma(section.sh_addr(ENDIAN)), data))
    }

    /// Call frame information, `.eh_frame`. It is found by its section, or without sections by the header of its table.
    pub fn call_frames(&self) -> Option<(Svma, Cow<'data, [u8]>)> {
        self.section(".eh_frame").or_else(|| {
            const RELATIVE_TO_HERE: u8 = 0x1b;
            let (address, table) = self.call_frame_table()?;
            // Version, and encoding of the address that follows (Linux Standard Base, ".eh_frame_hdr").
            let &[1, RELATIVE_TO_HERE, _, _, a, b, c, d, ..] = table.as_ref() else { return None };
            let distance = i32::from_le_bytes([a, b, c, d]);
            let start = Svma(address.0.wrapping_add(4).wrapping_add_signed(distance.into()));
            Some((start, Cow::Borrowed(self.bytes_from(start)?)))
        })
    }

    /// The table by which call frame information is searched, `.eh_frame_hdr`.
    pub fn call_frame_table(&self) -> Option<(Svma, Cow<'data, [u8]>)> {
        self.section(".eh_frame_hdr").or_else(|| {
            let headers = self.header.program_headers(ENDIAN, self.data).ok()?;
            let table = headers.iter().find(|header| header.p_type(ENDIAN) == elf::PT_GNU_EH_FRAME)?;
            let address = Svma(table.p_vaddr(ENDIAN));
            Some((address, Cow::Borrowed(self.bytes_at(address, table.p_filesz(ENDIAN) as usize)?)))
        })
    }

    /// Pieces of loaded data in which pointers may be found, with their bytes: sections, or whole segments where there
    /// are no sections.
    pub fn data_pieces(&self) -> Vec<(Svma, &'data [u8])> {
        let sections = self.sections.iter().filter(|section| {
            let flags = section.sh_flags(ENDIAN);
            let is_data = flags.contains(elf::SHF_ALLOC) && !flags.contains(elf::SHF_EXECINSTR);
            section.sh_type(ENDIAN) == elf::SHT_PROGBITS && is_data
        });
        let sections = sections
            .filter_map(|section| Some((Svma(section.sh_addr(ENDIAN)), section.data(ENDIAN, self.data).ok()?)))
            .filter(|(_, data)| !data.is_empty());
        let sections: Vec<_> = sections.collect();
        if !sections.is_empty() {
            return sections;
        }
        self.segments.0.iter().filter_map(|segment| self.segment_data(segment)).collect()
    }

    /// Segments that the program may write, with their bytes in the file.
    pub(crate) fn writable_segments(&self) -> impl Iterator<Item = (Svma, &'data [u8])> {
        let writable = self.segments.0.iter().filter(|segment| segment.writable);
        writable.filter_map(|segment| self.segment_data(segment))
    }

    fn segment_data(&self, segment: &Segment) -> Option<(Svma, &'data [u8])> {
        let data = self.data.get(segment.file.start as usize..segment.file.end as usize)?;
        Some((Svma(segment.address.start), data))
    }

    /// Code symbols of the symbol table and of the dynamic one, by address. Of several at one address, the one with the
    /// widest binding is kept, and of those the one with the plainest name: `hypot`, not `__hypot` or `hypotf32x`.
    pub fn functions(&self) -> Vec<Symbol<'data>> {
        let own = self.symbols.iter().filter_map(|symbol| {
            let name = self.symbols.symbol_name(ENDIAN, symbol).ok()?;
            Symbol::of_code(symbol, name)
        });
        one_name_each(own.chain(self.dynamic_symbols.iter().copied()).collect())
    }

    /// Address of a variable by the name it has in the symbol table.
    pub fn variable(&self, name: &str) -> Option<Svma> {
        let mut variables = self.symbols.iter().filter(|symbol| symbol.st_type() == elf::STT_OBJECT);
        let named = |symbol: &&elf::Sym64<LittleEndian>| {
            self.symbols.symbol_name(ENDIAN, symbol).is_ok_and(|found| found == name.as_bytes())
        };
        Some(Svma(variables.find(named)?.st_value(ENDIAN)))
    }

    /// Names that this file imports from its libraries.
    pub fn imports(&self) -> &[&'data str] {
        &self.imports
    }

    /// Names of code that this file exports, with their addresses.
    pub fn exports(&self) -> HashMap<&'data str, Svma> {
        self.dynamic_symbols.iter().map(|symbol| (symbol.name, symbol.address)).collect()
    }

    /// Exported IFUNCs (`STT_GNU_IFUNC`), with the addresses of their resolvers.
    pub fn ifuncs(&self) -> &[Symbol<'data>] {
        &self.ifuncs
    }

    /// Whether it has a symbol table.
    pub fn has_symbol_table(&self) -> bool {
        self.symbols.len() > 1
    }

    /// GNU build id, in hexadecimal.
    pub fn build_id(&self) -> Option<String> {
        let in_notes = |mut notes: object::read::elf::NoteIterator<'data, Header>| {
            while let Ok(Some(note)) = notes.next() {
                if note.name() == elf::ELF_NOTE_GNU && note.n_type(ENDIAN) == elf::NT_GNU_BUILD_ID {
                    return Some(note.desc());
                }
            }
            None
        };
        let headers = self.header.program_headers(ENDIAN, self.data).ok()?;
        let id = headers.iter().find_map(|header| in_notes(header.notes(ENDIAN, self.data).ok()??))?;
        Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Stated address of the entry point.
    pub fn entry(&self) -> Svma {
        Svma(self.header.e_entry(ENDIAN))
    }

    /// The whole file.
    pub fn data(&self) -> &'data [u8] {
        self.data
    }
}

fn check_ident(data: &[u8]) -> Result<(), BinaryError> {
    if data.starts_with(b"#!") {
        return Err(BinaryError::Script);
    }
    if !data.starts_with(b"\x7fELF") {
        return Err(BinaryError::NotElf);
    }
    match data.get(4) {
        Some(2) => {}
        Some(1) => return Err(BinaryError::NotSixtyFourBits),
        _ => return Err(BinaryError::Damaged("no file class".into())),
    }
    if data.get(5) != Some(&1) {
        return Err(BinaryError::Architecture("a big-endian processor".into()));
    }
    Ok(())
}

fn machine_name(machine: elf::Machine) -> String {
    match machine {
        elf::EM_AARCH64 => "arm64".into(),
        elf::EM_ARM => "arm".into(),
        elf::EM_386 => "i386".into(),
        elf::EM_RISCV => "riscv64".into(),
        elf::EM_PPC64 => "ppc64".into(),
        elf::EM_S390 => "s390x".into(),
        elf::EM_LOONGARCH => "loong64".into(),
        other => format!("machine {}", other.0),
    }
}
