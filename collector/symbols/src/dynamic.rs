//! Symbols that a file imports and exports. They are found as the dynamic linker finds them: by the dynamic segment,
//! which also files without section headers have.

use object::LittleEndian;
use object::elf::{self, Dyn64, FileHeader64, Sym64};
use object::pod;
use object::read::elf::{Dyn as _, GnuHashTable, HashTable, Sym as _};

use crate::address::Svma;

type Header = FileHeader64<LittleEndian>;
const ENDIAN: LittleEndian = LittleEndian;

/// Maximum bytes of a name. Longer names are left out, because each is searched for its end, in files that may be
/// anything.
const LONGEST_NAME: usize = 4096;

/// Returns the entries of the dynamic symbol table, with their names; none if the table is damaged.
///
/// `bytes_from` returns the file's bytes from an address on.
pub(crate) fn symbols<'data>(
    bytes_from: impl Fn(Svma) -> Option<&'data [u8]>,
    table: &'data [Dyn64<LittleEndian>],
) -> Vec<(&'data Sym64<LittleEndian>, &'data [u8])> {
    find(bytes_from, table).unwrap_or_default()
}

fn find<'data>(
    bytes_from: impl Fn(Svma) -> Option<&'data [u8]>,
    table: &'data [Dyn64<LittleEndian>],
) -> Option<Vec<(&'data Sym64<LittleEndian>, &'data [u8])>> {
    let value = |tag| table.iter().find(|entry| entry.d_tag(ENDIAN) == tag).map(|entry| entry.d_val(ENDIAN));
    let at = |tag| value(tag).and_then(|address| bytes_from(Svma(address)));
    let names = at(elf::DT_STRTAB)?;
    let bytes = at(elf::DT_SYMTAB)?;
    let hashed = at(elf::DT_HASH)
        .and_then(|hash| HashTable::<Header>::parse(ENDIAN, hash).ok())
        .map(|table| table.symbol_table_length());
    let count = hashed.or_else(|| {
        let table = GnuHashTable::<Header>::parse(ENDIAN, at(elf::DT_GNU_HASH)?).ok()?;
        // A table without exports tells only where the other symbols end.
        table.symbol_table_length(ENDIAN).or(Some(table.symbol_base()))
    })?;
    let count = (count as usize).min(bytes.len() / size_of::<Sym64<LittleEndian>>());
    let (symbols, _) = pod::slice_from_bytes::<Sym64<LittleEndian>>(bytes, count).ok()?;
    let name = |symbol: &Sym64<LittleEndian>| {
        let rest = names.get(symbol.st_name(ENDIAN) as usize..)?;
        let rest = &rest[..rest.len().min(LONGEST_NAME)];
        Some(&rest[..memchr::memchr(0, rest)?])
    };
    Some(symbols.iter().filter_map(|symbol| Some((symbol, name(symbol)?))).collect())
}
