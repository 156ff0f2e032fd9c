//! Tests that any bytes give an error or a value, never a panic or a hang.

use cgoprof_symbols::buildinfo::{BuildInfo, runtime_version};
use cgoprof_symbols::demangle::demangle;
use cgoprof_symbols::pclntab::Pclntab;
use cgoprof_symbols::{Binary, Svma, c_function, dwarf_offsets};
use proptest::prelude::*;

/// Reads everything that a recording reads.
fn read_all(data: &[u8]) {
    let Ok(binary) = Binary::parse(data) else { return };
    let _ = (binary.functions(), binary.imports(), binary.exports(), binary.build_id());
    let _ = BuildInfo::read(&binary);
    let _ = dwarf_offsets::read(&binary);
    let _ = runtime_version(&binary);
    for minor in [Some(19), Some(21), Some(27), None] {
        let Ok(table) = Pclntab::parse(&binary, minor) else { continue };
        for function in table.functions().take(200) {
            let _ = table.frames_at(function.start);
            let _ = table.frames_at(Svma(function.end.0.wrapping_sub(1)));
        }
        let _ = table.asmcgocall();
    }
}

/// A small ELF file whose one segment holds these bytes as a pclntab section would.
fn elf_with_pclntab(table: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    let names = b"\0.gopclntab\0.shstrtab\0";
    let (table_at, names_at) = (64 + 56, 64 + 56 + table.len());
    let sections_at = names_at + names.len();
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([2u8, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE, 64, sections_at as u64] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0u8, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 3, 0, 2, 0]);
    file.extend([1u8, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, sections_at as u64, sections_at as u64, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.extend(table);
    file.extend(names);
    let mut section = |name: u32, kind: u32, flags: u64, address: u64, offset: usize, size: usize| {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        for word in [flags, address, offset as u64, size as u64, 0, 1, 0] {
            file.extend(word.to_le_bytes());
        }
    };
    section(0, 0, 0, 0, 0, 0);
    section(1, 1, 2, BASE + table_at as u64, table_at, table.len());
    section(12, 3, 0, 0, names_at, names.len());
    file
}

proptest! {
    #[test]
    fn bytes_after_an_elf_magic(mut data in prop::collection::vec(any::<u8>(), 64..2000)) {
        data[..6].copy_from_slice(b"\x7fELF\x02\x01");
        data[16..20].copy_from_slice(&[2, 0, 62, 0]);
        read_all(&data);
    }

    #[test]
    fn pclntabs_of_any_content(magic in prop::sample::select(vec![0xfau8, 0xf0, 0xf1]), body in prop::collection::vec(any::<u8>(), 100..4000), small: bool) {
        let mut table = vec![magic, 0xff, 0xff, 0xff, 0, 0, 1, 8];
        table.extend(body);
        if small {
            // Offsets that are small enough to be followed.
            for field in 0..8 {
                let at = 8 + field * 8;
                table[at + 1..at + 8].fill(0);
            }
        }
        let file = elf_with_pclntab(&table);
        prop_assert!(Binary::parse(&file).is_ok());
        read_all(&file);
    }

    #[test]
    fn names_of_any_content(name in "\\PC{0,60}") {
        let _ = demangle(&name);
        let _ = c_function::from_symbol(&name);
        let _ = c_function::from_wrapper(&name);
    }
}

#[test]
fn our_own_test_binary_cut_anywhere() {
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    for part in 0..50 {
        read_all(&own[..own.len() * part / 50]);
    }
}
