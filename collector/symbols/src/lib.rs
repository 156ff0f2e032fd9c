//! From the bytes of a binary to names: ELF, Go's build information and pclntab, DWARF struct offsets.
//!
//! Pure functions over bytes that nobody vouches for: any input gives a value or an error, never a panic.
//! No process and no privilege is needed here, and nothing is read from disk.

pub mod address;
pub mod binary;
pub mod buildinfo;
pub mod c_function;
pub mod call_frames;
pub mod demangle;
pub mod dwarf_offsets;
mod dynamic;
pub mod pclntab;
pub mod runtime_offsets;

pub use address::{Avma, FileOffset, Svma};
pub use binary::{Binary, BinaryError};
