//! The list of modules by which the Go runtime finds functions by their code. It begins with `runtime.firstmoduledata`.
//!
//! The first fields of `runtime.moduledata` have been the same since Go 1.18 (runtime/symtab.go); the last one leads to
//! the next module. All of them are checked against the values that the linker has filled in.

use cgoprof_symbols::Svma;

use super::Target;

/// Offsets within `runtime.moduledata`.
pub mod field {
    /// `pcHeader`.
    pub const HEADER: usize = 0;
    /// `funcnametab`.
    pub const NAMES: usize = 8;
    /// `cutab`.
    pub const UNITS: usize = 32;
    /// `filetab`.
    pub const FILES: usize = 56;
    /// `pctab`.
    pub const PC_VALUES: usize = 80;
    /// `pclntable`.
    pub const RECORDS: usize = 104;
    /// `ftab`.
    pub const FUNCTIONS: usize = 128;
    /// `findfunctab`.
    pub const BUCKETS: usize = 152;
    /// `minpc` and `maxpc`.
    pub const MIN_PC: usize = 160;
    /// `text` and `etext`.
    pub const TEXT: usize = 176;
}

/// Everything that must be known to add a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModulePlan {
    /// `runtime.firstmoduledata`.
    pub first: Svma,
    /// Offset of `moduledata.next`.
    pub next: u32,
    /// The header of the program's function table.
    pub header: Svma,
    /// Bytes of `runtime._func` without the data that follows it.
    pub record_size: usize,
}

impl ModulePlan {
    /// Finds the program's module. `next` is the offset of `moduledata.next`. Returns none where the module is not as
    /// known: then no module can be added.
    pub fn find(target: &Target<'_>, next: u32) -> Option<ModulePlan> {
        let table = &target.pclntab;
        let first = table.module()?;
        let data = target.binary.bytes_from(first)?;
        let word = |at: usize| Some(u64::from_le_bytes(data.get(at..at + 8)?.try_into().ok()?));
        let functions = table.len() as u64 + 1;
        let text = table.text();
        let as_known = word(field::HEADER)? == table.address().0
            && word(field::FUNCTIONS + 8)? == functions
            && word(field::MIN_PC)? == text.start.0
            && word(field::TEXT)? <= text.start.0;
        as_known.then(|| ModulePlan { first, next, header: table.address(), record_size: table.record_size() })
    }
}
