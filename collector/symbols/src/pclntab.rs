//! Go's table of functions, lines and inlined calls, which is in every Go binary, stripped or not.
//!
//! Formats of Go 1.16 on: runtime/symtab.go, cmd/link/internal/ld/pcln.go, internal/abi/symtab.go.

use std::borrow::Cow;
use std::ops::Range;

use crate::address::Svma;
use crate::binary::Binary;

/// Why there is no usable table.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum PclntabError {
    /// No section and no magic.
    #[error("no Go function table (pclntab) was found")]
    Missing,
    /// An unknown magic or header.
    #[error("the Go function table has an unknown format ({0:#x})")]
    Format(u32),
    /// The header is that of a table, except for the magic.
    #[error("it is obfuscated (as garble does): the Go runtime can't be found in it; record a build that is not")]
    Obfuscated,
    /// The table reaches past its end or contradicts itself.
    #[error("the Go function table is damaged")]
    Damaged,
    /// The address of the runtime's text could not be found.
    #[error("the start of the Go text could not be found")]
    TextStart,
}

/// A function of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function<'table> {
    /// Name without ABI suffix, for example `runtime.cgocall`.
    pub name: &'table str,
    /// First byte.
    pub start: Svma,
    /// First byte of the next function.
    pub end: Svma,
    /// `abi.FuncID`: 2 is the assembly `asmcgocall`.
    pub id: u8,
    /// Offset of its record in the table.
    pub record: usize,
}

/// One level of a call: an inlined function, or the function itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SourceFrame {
    /// Go function.
    pub function: String,
    /// Source file as the compiler knew it.
    pub file: String,
    /// Line within it, 0 when unknown.
    pub line: u32,
    /// Whether the compiler inlined it into the next frame.
    pub inlined: bool,
}

/// A parsed table.
pub struct Pclntab<'data> {
    data: Cow<'data, [u8]>,
    version: Version,
    text: u64,
    functions: usize,
    names: usize,
    units: usize,
    files: usize,
    pc_values: usize,
    records: usize,
    /// Bytes of `go:func.*`, where inline trees are.
    function_data: Option<&'data [u8]>,
    address: Svma,
    /// Address of the `runtime.moduledata` that begins with the table's address.
    module: Option<Svma>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Version {
    Go116,
    Go118,
    Go120,
}

const MOST_INLINED: usize = 64;
const ASMCGOCALL: u8 = 2;

impl<'data> Pclntab<'data> {
    /// Finds and reads the table. `minor` is the Go 1.x release, if it is known.
    ///
    /// # Errors
    /// See [`PclntabError`].
    pub fn parse(binary: &Binary<'data>, minor: Option<u32>) -> Result<Self, PclntabError> {
        let (address, data) = locate(binary).ok_or(PclntabError::Missing)?;
        let magic = u32_at(&data, 0).ok_or(PclntabError::Damaged)?;
        let version = match magic {
            0xffff_fffa => Version::Go116,
            0xffff_fff0 => Version::Go118,
            0xffff_fff1 => Version::Go120,
            // garble writes a magic of its own, and names that tell nothing.
            _ if data.get(4..8) == Some(&[0, 0, 1, 8]) => return Err(PclntabError::Obfuscated),
            other => return Err(PclntabError::Format(other)),
        };
        if data.get(6..8) != Some(&[1, 8]) {
            return Err(PclntabError::Format(magic));
        }
        let field = |index: usize| -> Result<usize, PclntabError> {
            let value = u64_at(&data, 8 + index * 8).ok_or(PclntabError::Damaged)?;
            usize::try_from(value).map_err(|_| PclntabError::Damaged)
        };
        let functions = field(0)?;
        let first = if version == Version::Go116 { 2 } else { 3 };
        let offset = |index: usize| {
            field(first + index).and_then(
                |offset| {
                    if offset < data.len() { Ok(offset) } else { Err(PclntabError::Damaged) }
                },
            )
        };
        let (names, units, files, pc_values, records) = (offset(0)?, offset(1)?, offset(2)?, offset(3)?, offset(4)?);
        if functions.checked_mul(8).is_none_or(|bytes| bytes > data.len() - records) {
            return Err(PclntabError::Damaged);
        }
        let module = ModuleData::find(binary, address, minor);
        let text = match (version, field(2)? as u64, &module) {
            (Version::Go116, ..) => 0,
            (_, 0, Some(module)) => module.text,
            (_, 0, None) => symbol(binary, "runtime.text").ok_or(PclntabError::TextStart)?,
            (_, start, _) => start,
        };
        let module_address = module.as_ref().map(|module| module.address);
        let mut table = Pclntab {
            data,
            version,
            text,
            functions,
            names,
            units,
            files,
            pc_values,
            records,
            function_data: None,
            address,
            module: module_address,
        };
        let function_data = module.map(|module| module.function_data).unwrap_or_default();
        let candidates = function_data.into_iter().filter_map(|address| binary.bytes_from(Svma(address)));
        for candidate in candidates {
            table.function_data = Some(candidate);
            if minor.is_some() || table.has_inline_trees() {
                break;
            }
        }
        Ok(table)
    }

    /// Whether the inline trees of some functions name functions.
    fn has_inline_trees(&self) -> bool {
        const ENOUGH: usize = 20;
        let calls = self.functions().filter_map(|function| {
            let mut ats = (function.start.0..function.end.0).step_by(4).take(64);
            ats.find_map(|at| self.inlined_call(&function, Svma(at)))
        });
        let mut names = calls.take(ENOUGH).map(|call| self.name(call.name));
        names.all(|name| name.is_some_and(|name| name.contains('.')))
    }

    /// Address of the table.
    pub fn address(&self) -> Svma {
        self.address
    }

    /// Address of this table's `runtime.moduledata`, if it was found.
    pub fn module(&self) -> Option<Svma> {
        self.module
    }

    /// Bytes from a function's record, `runtime._func`, to the fields that follow it.
    pub fn record_size(&self) -> usize {
        self.entry_size() + 32 + self.start_line_size() + 4
    }

    /// Bytes from the stack pointer to the return address when an instruction is about to run.
    pub fn frame_size_at(&self, address: Svma) -> Option<u32> {
        let function = self.function_at(address)?;
        let fields = function.record + self.entry_size();
        u32::try_from(self.value(fields + 12, &function, address)?).ok()
    }

    /// Number of functions.
    pub fn len(&self) -> usize {
        self.functions
    }

    /// Whether it names no function at all.
    pub fn is_empty(&self) -> bool {
        self.functions == 0
    }

    /// All functions, by address.
    pub fn functions(&self) -> impl Iterator<Item = Function<'_>> {
        (0..self.functions).filter_map(|index| self.function(index))
    }

    /// Range from the first function to the end of the last: all of Go's code and none of C's.
    pub fn text(&self) -> Range<Svma> {
        let first = self.function(0).map_or(Svma(0), |function| function.start);
        let last = self.functions.checked_sub(1).and_then(|last| self.function(last));
        first..last.map_or(first, |function| function.end)
    }

    /// The assembly function `runtime.asmcgocall`, not its ABI wrapper of the same name.
    pub fn asmcgocall(&self) -> Option<Function<'_>> {
        self.functions().find(|function| function.name == "runtime.asmcgocall" && function.id == ASMCGOCALL)
    }

    /// The function that holds an address.
    pub fn function_at(&self, address: Svma) -> Option<Function<'_>> {
        let (mut low, mut high) = (0, self.functions);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)? <= address.0 { low = middle + 1 } else { high = middle }
        }
        let function = self.function(low.checked_sub(1)?)?;
        (address < function.end).then_some(function)
    }

    /// The calls that an address stands for, innermost first. For a return address, pass the byte before.
    pub fn frames_at(&self, address: Svma) -> Vec<SourceFrame> {
        let Some(function) = self.function_at(address) else { return Vec::new() };
        let mut frames = Vec::new();
        let mut at = address;
        while let Some(call) = self.inlined_call(&function, at) {
            if frames.len() == MOST_INLINED {
                break;
            }
            let (file, line) = self.position(&function, at);
            let name = self.name(call.name).unwrap_or("?").to_owned();
            frames.push(SourceFrame { function: name, file, line, inlined: true });
            at = Svma(function.start.0.saturating_add(call.parent_pc));
        }
        let (file, line) = self.position(&function, at);
        frames.push(SourceFrame { function: function.name.to_owned(), file, line, inlined: false });
        frames
    }

    fn entry(&self, index: usize) -> Option<u64> {
        match self.version {
            Version::Go116 => u64_at(&self.data, self.records + index * 16),
            _ => Some(self.text.wrapping_add(u64::from(u32_at(&self.data, self.records + index * 8)?))),
        }
    }

    fn function(&self, index: usize) -> Option<Function<'_>> {
        let record = match self.version {
            Version::Go116 => usize::try_from(u64_at(&self.data, self.records + index * 16 + 8)?).ok()?,
            _ => u32_at(&self.data, self.records + index * 8 + 4)? as usize,
        };
        let record = self.records.checked_add(record)?;
        // After the entry: nameOff, args, deferreturn, pcsp, pcfile, pcln, npcdata, cuOffset.
        let fields = record + self.entry_size();
        let name = self.name(u32_at(&self.data, fields)? as usize)?;
        let id = *self.data.get(fields + 32 + self.start_line_size())?;
        let (start, end) = (self.entry(index)?, self.entry(index + 1)?);
        (start <= end).then_some(Function { name, start: Svma(start), end: Svma(end), id, record })
    }

    fn entry_size(&self) -> usize {
        if self.version == Version::Go116 { 8 } else { 4 }
    }

    fn start_line_size(&self) -> usize {
        if self.version == Version::Go120 { 4 } else { 0 }
    }

    fn name(&self, offset: usize) -> Option<&str> {
        text(self.data.get(self.names.checked_add(offset)?..)?)
    }

    fn position(&self, function: &Function<'_>, at: Svma) -> (String, u32) {
        let fields = function.record + self.entry_size();
        let unit = u32_at(&self.data, fields + 28).unwrap_or(0) as usize;
        let file = self.value(fields + 16, function, at).and_then(|index| {
            let entry = self.units + unit.checked_add(usize::try_from(index).ok()?)?.checked_mul(4)?;
            let offset = u32_at(&self.data, entry)?;
            text(self.data.get(self.files.checked_add(offset as usize)?..)?)
        });
        let line = self.value(fields + 20, function, at).and_then(|line| u32::try_from(line).ok());
        (file.unwrap_or("").to_owned(), line.unwrap_or(0))
    }

    /// Returns the value for the code address `at`, from the table whose offset is stored at `field`.
    fn value(&self, field: usize, function: &Function<'_>, at: Svma) -> Option<i32> {
        let offset = u32_at(&self.data, field)? as usize;
        if offset == 0 {
            return None;
        }
        let mut table = self.data.get(self.pc_values.checked_add(offset)?..)?;
        let (mut value, mut pc) = (-1i32, function.start.0);
        let mut first = true;
        loop {
            let delta = varint(&mut table)?;
            if delta == 0 && !first {
                return None;
            }
            first = false;
            let change = (delta >> 1) as i32 ^ -((delta & 1) as i32);
            value = value.wrapping_add(change);
            pc = pc.checked_add(u64::from(varint(&mut table)?))?;
            if at.0 < pc {
                return Some(value);
            }
        }
    }

    fn inlined_call(&self, function: &Function<'_>, at: Svma) -> Option<InlinedCall> {
        const INLINE_TREE_INDEX: usize = 2;
        const INLINE_TREE: usize = 3;
        if self.version == Version::Go116 {
            return None;
        }
        let fields = function.record + self.entry_size();
        let pc_data = u32_at(&self.data, fields + 24)? as usize;
        let tail = fields + 32 + self.start_line_size() + 4;
        let function_data = usize::from(*self.data.get(tail - 1)?);
        if pc_data <= INLINE_TREE_INDEX || function_data <= INLINE_TREE {
            return None;
        }
        let index = usize::try_from(self.value(tail + INLINE_TREE_INDEX * 4, function, at)?).ok()?;
        let tree = u32_at(&self.data, tail.checked_add(pc_data.checked_mul(4)?)? + INLINE_TREE * 4)?;
        if tree == u32::MAX {
            return None;
        }
        let (size, name, parent_pc) = if self.version == Version::Go118 { (20, 12, 16) } else { (16, 4, 8) };
        let entry = (tree as usize).checked_add(index.checked_mul(size)?)?;
        let data = self.function_data?;
        Some(InlinedCall {
            name: u32_at(data, entry.checked_add(name)?)? as usize,
            parent_pc: u64::from(u32_at(data, entry + parent_pc)?),
        })
    }
}

struct InlinedCall {
    name: usize,
    parent_pc: u64,
}

/// Facts that are needed of `runtime.moduledata`.
struct ModuleData {
    address: Svma,
    text: u64,
    /// Address of `go:func.*`; several candidates if the release is not known.
    function_data: Vec<u64>,
}

impl ModuleData {
    /// Finds the module data, which begins with the address of the table.
    fn find(binary: &Binary<'_>, table: Svma, minor: Option<u32>) -> Option<ModuleData> {
        const TEXT: usize = 176;
        let function_data: &[usize] = match minor {
            Some(..=20) => &[304],
            Some(21..=26) => &[320],
            Some(_) => &[344],
            None => &[344, 320, 304],
        };
        for (address, data) in binary.data_pieces() {
            let skip = (8 - address.0 as usize % 8) % 8;
            let words = data.get(skip..).unwrap_or(&[]).chunks_exact(8);
            for (index, word) in words.enumerate() {
                if word != table.0.to_le_bytes() {
                    continue;
                }
                let start = skip + index * 8;
                let (Some(text), Some(end)) = (u64_at(data, start + TEXT), u64_at(data, start + TEXT + 8)) else {
                    continue;
                };
                if text < end && binary.is_code(Svma(text)) {
                    let function_data =
                        function_data.iter().filter_map(|offset| u64_at(data, start + offset)).collect();
                    let address = Svma(address.0 + start as u64);
                    return Some(ModuleData { address, text, function_data });
                }
            }
        }
        None
    }
}

/// Finds the table by its section's name, else by the magic of its header.
fn locate<'data>(binary: &Binary<'data>) -> Option<(Svma, Cow<'data, [u8]>)> {
    for name in [".gopclntab", ".data.rel.ro.gopclntab"] {
        if let Some(found) = binary.section(name)
            && !found.1.is_empty()
        {
            return Some(found);
        }
    }
    for (address, data) in binary.data_pieces() {
        let skip = (8 - address.0 as usize % 8) % 8;
        for start in (skip..data.len().saturating_sub(8)).step_by(8) {
            let header = &data[start..start + 8];
            let magic = matches!(header[0], 0xfa | 0xf0 | 0xf1) && header[1..4] == [0xff; 3];
            if magic && header[4..] == [0, 0, 1, 8] {
                return Some((Svma(address.0 + start as u64), Cow::Borrowed(&data[start..])));
            }
        }
    }
    None
}

fn symbol(binary: &Binary<'_>, name: &str) -> Option<u64> {
    binary.functions().into_iter().find(|symbol| symbol.name == name).map(|symbol| symbol.address.0)
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(data.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Returns a zero-terminated string. Go names are short, so a missing end is noticed early.
fn text(data: &[u8]) -> Option<&str> {
    let window = &data[..data.len().min(16 << 10)];
    let end = window.iter().position(|&byte| byte == 0)?;
    std::str::from_utf8(&window[..end]).ok()
}

fn varint(table: &mut &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = table.split_first()?;
        *table = rest;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
