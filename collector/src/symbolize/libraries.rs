//! The shared libraries of a process: which one an address or a name belongs to.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use cgoprof_symbols::{Avma, Binary, FileOffset, Svma};

use super::covering;
use crate::process::maps::Mapping;

/// Libraries by where they are mapped; each is read once, when it is asked for.
#[derive(Default)]
pub(super) struct Libraries {
    mappings: Vec<Mapping>,
    files: HashMap<PathBuf, Option<Library>>,
}

/// A library that was read.
struct Library {
    data: Vec<u8>,
    /// Its functions by address; names as places in the data.
    functions: Vec<(Svma, u64, Range<usize>)>,
}

/// A function of a library.
pub(super) struct Found {
    pub(super) path: String,
    /// The address as the library states it.
    pub(super) stated: Svma,
    /// None where no symbol covers it.
    pub(super) symbol: Option<String>,
}

impl Libraries {
    /// Adds what is mapped now. A library that has been unmapped stays known.
    pub(super) fn set_mappings(&mut self, mappings: &[Mapping]) {
        for mapping in mappings {
            let is_file = mapping.path.is_absolute();
            if is_file && mapping.executable && !self.mappings.contains(mapping) {
                self.mappings.push(mapping.clone());
            }
        }
    }

    /// The function at an address.
    pub(super) fn find(&mut self, address: Avma) -> Option<Found> {
        let mapping = self.mappings.iter().rev().find(|mapping| mapping.range.contains(&address))?.clone();
        let offset = FileOffset(address.0 - mapping.range.start.0 + mapping.offset.0);
        let path = mapping.path.to_string_lossy().into_owned();
        let library = self.read(&mapping)?;
        let stated = Binary::parse(&library.data).ok()?.stated_address(offset)?;
        let named = covering(&library.functions, |function| (function.0, function.1), stated);
        let name = named.map(|function| String::from_utf8_lossy(&library.data[function.2.clone()]).into_owned());
        Some(Found { path, stated, symbol: name })
    }

    /// The library that gives a name to others.
    pub(super) fn exporter(&mut self, name: &str) -> Option<String> {
        self.mappings.clone().into_iter().find_map(|mapping| {
            let exports = Binary::parse(&self.read(&mapping)?.data).ok()?.exports().contains_key(name);
            exports.then(|| mapping.path.to_string_lossy().into_owned())
        })
    }

    fn read(&mut self, mapping: &Mapping) -> Option<&Library> {
        self.files.entry(mapping.path.clone()).or_insert_with(|| Library::new(mapping.contents()?)).as_ref()
    }
}

impl Library {
    fn new(data: Vec<u8>) -> Option<Library> {
        let start = data.as_ptr() as usize;
        let functions = Binary::parse(&data).ok()?.functions();
        let place = |name: &str| {
            let at = name.as_ptr() as usize - start;
            at..at + name.len()
        };
        let functions = functions.iter().map(|symbol| (symbol.address, symbol.size, place(symbol.name))).collect();
        Some(Library { data, functions })
    }
}
