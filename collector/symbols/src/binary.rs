//! An ELF file: its loaded bytes, sections and symbols.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use object::elf;
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use crate::address::{Avma, FileOffset, Svma};

/// Why a file can't be profiled, or read at all.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum BinaryError {
    /// A text file that names its interpreter.
    #[error("is a script; record its interpreter, or the Go program that it starts")]
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

/// A parsed ELF executable or library over its bytes.
pub struct Binary<'data> {
    data: &'data [u8],
    file: ElfFile64<'data, LittleEndian>,
    segments: Layout,
}

/// Which part of a file is loaded where: all that is needed of it to find an address.
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
}

/// A symbol of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol<'data> {
    /// Name as in the table.
    pub name: &'data str,
    /// First byte.
    pub address: Svma,
    /// Bytes, 0 when unknown.
    pub size: u64,
}

impl<'data> Binary<'data> {
    /// Reads the headers.
    ///
    /// # Errors
    /// See [`BinaryError`].
    pub fn parse(data: &'data [u8]) -> Result<Self, BinaryError> {
        check_ident(data)?;
        let damaged = |error: object::Error| BinaryError::Damaged(error.to_string());
        let file = ElfFile64::<LittleEndian>::parse(data).map_err(damaged)?;
        let endian = LittleEndian;
        let machine = file.elf_header().e_machine(endian);
        if machine != elf::EM_X86_64 {
            return Err(BinaryError::Architecture(machine_name(machine)));
        }
        if !matches!(file.elf_header().e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
            return Err(BinaryError::NotExecutable);
        }
        let mut segments = Vec::new();
        for header in file.elf_program_headers() {
            if header.p_type(endian) != elf::PT_LOAD {
                continue;
            }
            let (offset, file_size) = (header.p_offset(endian), header.p_filesz(endian));
            let end = offset.checked_add(file_size).filter(|&end| end <= data.len() as u64);
            let start = header.p_vaddr(endian);
            let (Some(end), Some(stop)) = (end, start.checked_add(file_size)) else {
                return Err(BinaryError::Damaged("a segment reaches past the end of the file".into()));
            };
            let executable = header.p_flags(endian).contains(elf::PF_X);
            segments.push(Segment { address: start..stop, file: offset..end, executable });
        }
        Ok(Binary { data, file, segments: Layout(segments) })
    }

    /// Whether it may be loaded anywhere.
    pub fn is_position_independent(&self) -> bool {
        self.file.elf_header().e_type(LittleEndian) == elf::ET_DYN
    }

    /// Loaded bytes from an address to the end of its segment.
    pub fn bytes_from(&self, address: Svma) -> Option<&'data [u8]> {
        let segment = self.segments.0.iter().find(|segment| segment.address.contains(&address.0))?;
        let start = segment.file.start + (address.0 - segment.address.start);
        self.data.get(start as usize..segment.file.end as usize)
    }

    /// So many loaded bytes at an address.
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

    /// Which part of the file is loaded where.
    pub fn layout(&self) -> Layout {
        self.segments.clone()
    }

    /// How far from its stated addresses the file was loaded, if its code from `offset` on is mapped at `start`.
    pub fn bias(&self, start: Avma, offset: FileOffset) -> Option<u64> {
        const PAGE: u64 = 4096;
        let mut code = self.segments.0.iter().filter(|segment| segment.executable);
        let mapped = code.find(|segment| segment.file.start / PAGE == offset.0 / PAGE)?;
        Some(start.0.wrapping_sub(mapped.address.start / PAGE * PAGE))
    }

    /// First and last stated address of what is loaded.
    pub fn extent(&self) -> Range<Svma> {
        let start = self.segments.0.iter().map(|segment| segment.address.start).min().unwrap_or(0);
        let end = self.segments.0.iter().map(|segment| segment.address.end).max().unwrap_or(0);
        Svma(start)..Svma(end)
    }

    /// Address and bytes of a section, decompressed if need be.
    pub fn section(&self, name: &str) -> Option<(Svma, Cow<'data, [u8]>)> {
        let section = self.file.section_by_name(name)?;
        Some((Svma(section.address()), section.uncompressed_data().ok()?))
    }

    /// Loaded sections that hold data, with their bytes: where pointers may be found.
    pub fn data_sections(&self) -> impl Iterator<Item = (Svma, &'data [u8])> + '_ {
        self.file.sections().filter_map(|section| {
            let kept = matches!(section.kind(), object::SectionKind::Data | object::SectionKind::ReadOnlyData)
                || section.name().is_ok_and(|name| name.starts_with(".data") || name.starts_with(".go."));
            let data = section.data().ok()?;
            (kept && !data.is_empty() && section.address() != 0).then_some((Svma(section.address()), data))
        })
    }

    /// Code symbols of the symbol table and of the dynamic one, by address.
    pub fn functions(&self) -> Vec<Symbol<'data>> {
        let mut functions: Vec<_> = self
            .file
            .symbols()
            .chain(self.file.dynamic_symbols())
            .filter(|symbol| symbol.is_definition() && symbol.kind() == SymbolKind::Text)
            .filter_map(|symbol| {
                let name = symbol.name().ok()?;
                Some(Symbol { name, address: Svma(symbol.address()), size: symbol.size() })
            })
            .collect();
        functions.sort_by_key(|symbol| symbol.address);
        functions
    }

    /// Address of a variable by the name it has in the symbol table.
    pub fn variable(&self, name: &str) -> Option<Svma> {
        let named = |symbol: &object::read::elf::ElfSymbol64<'data, '_, LittleEndian>| {
            symbol.kind() == SymbolKind::Data && symbol.name() == Ok(name)
        };
        Some(Svma(self.file.symbols().find(named)?.address()))
    }

    /// Names that this file takes from its libraries.
    pub fn imports(&self) -> Vec<&'data str> {
        let undefined = self.file.dynamic_symbols().filter(|symbol| symbol.is_undefined());
        undefined.filter_map(|symbol| symbol.name().ok()).map(without_version).collect()
    }

    /// Names that this file gives to others, with their addresses.
    pub fn exports(&self) -> HashMap<&'data str, Svma> {
        let defined = self.file.dynamic_symbols().filter(|symbol| symbol.is_definition());
        defined.filter_map(|symbol| Some((without_version(symbol.name().ok()?), Svma(symbol.address())))).collect()
    }

    /// Whether it has a symbol table.
    pub fn has_symbol_table(&self) -> bool {
        self.file.symbols().next().is_some()
    }

    /// GNU build id, in hexadecimal.
    pub fn build_id(&self) -> Option<String> {
        let id = self.file.build_id().ok()??;
        Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Stated address of the entry point.
    pub fn entry(&self) -> Svma {
        Svma(self.file.entry())
    }

    /// The whole file.
    pub fn data(&self) -> &'data [u8] {
        self.data
    }
}

fn without_version(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
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
