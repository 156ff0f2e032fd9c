//! Symbols that a stripped file has beside its dynamic ones: Fedora's mini symbols, and those of its separate debug
//! information.

use std::io::Read as _;

use lzma_rust2::XzReader;
use object::LittleEndian;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSymbol as _};

use crate::Binary;
use crate::binary::{Symbol, one_name_each};

/// Maximum bytes of mini symbols, decompressed: those of the largest libraries have about 10 MB.
const LARGEST: u64 = 128 << 20;
/// Maximum memory for decompression, in KiB. `xz -9` needs 64 MiB.
const MOST_MEMORY: u32 = 80 << 10;

/// Returns the ELF file with symbols that a binary holds in its section `.gnu_debugdata`, compressed with xz (gdb's
/// manual, "MiniDebugInfo"). None if it has none, or it is damaged.
pub fn mini_debug_file(binary: &Binary<'_>) -> Option<Vec<u8>> {
    let (_, compressed) = binary.section(".gnu_debugdata")?;
    let mut file = Vec::new();
    let reader = XzReader::new_mem_limit(compressed.as_ref(), true, MOST_MEMORY);
    reader.take(LARGEST).read_to_end(&mut file).ok()?;
    Some(file)
}

/// Code symbols in the symbol table of a file that need not have its code, by address, each address once.
pub fn functions(file: &[u8]) -> Vec<Symbol<'_>> {
    let Ok(file) = ElfFile64::<LittleEndian>::parse(file) else { return Vec::new() };
    let symbols = file.symbols().filter_map(|symbol| Symbol::of_code(symbol.elf_symbol(), symbol.name_bytes().ok()?));
    one_name_each(symbols.collect())
}
