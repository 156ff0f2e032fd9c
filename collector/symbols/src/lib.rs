//! Reads the bytes of a binary: ELF, Go's build information and pclntab, DWARF struct offsets.
//!
//! Pure functions over untrusted bytes: any input gives a value or an error, never a panic. They need no process and no
//! privilege, and read nothing from disk.

pub mod address;
pub mod binary;
pub mod buildinfo;
pub mod c_function;
pub mod call_frames;
pub mod debug_info;
mod debug_units;
pub mod demangle;
pub mod dwarf_offsets;
mod dynamic;
pub mod extra_symbols;
pub mod pclntab;
pub mod runtime_offsets;

pub use address::{Avma, FileOffset, Svma};
pub use binary::{Binary, BinaryError};
