//! The shared libraries of a process: which one an address or a name belongs to.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;

use cgoprof_symbols::binary::Layout;
use cgoprof_symbols::{Avma, Binary, FileOffset, Svma};

use super::covering;
use crate::process::maps::Mapping;

/// Libraries by where they are mapped; each is read once, when it is asked for.
#[derive(Default)]
pub(super) struct Libraries {
    mappings: Vec<Mapping>,
    files: HashMap<PathBuf, Option<Library>>,
}

/// What was read of a library.
struct Library {
    layout: Layout,
    /// Its functions by address; names as places in `names`.
    functions: Vec<(Svma, u64, Range<usize>)>,
    names: String,
    /// Names that it gives to others.
    exports: HashSet<String>,
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
        let stated = library.layout.stated_address(offset)?;
        let named = covering(&library.functions, |function| (function.0, function.1), stated);
        let symbol = named.map(|function| library.names[function.2.clone()].to_owned());
        Some(Found { path, stated, symbol })
    }

    /// The library that gives a name to others.
    pub(super) fn exporter(&mut self, name: &str) -> Option<String> {
        self.mappings.clone().into_iter().find_map(|mapping| {
            self.read(&mapping)?.exports.contains(name).then(|| mapping.path.to_string_lossy().into_owned())
        })
    }

    /// Files that have been mapped, each once.
    pub(super) fn files(&self) -> impl Iterator<Item = &Mapping> {
        let mut seen = HashSet::new();
        self.mappings.iter().filter(move |mapping| seen.insert(&mapping.path))
    }

    fn read(&mut self, mapping: &Mapping) -> Option<&Library> {
        self.files.entry(mapping.path.clone()).or_insert_with(|| Library::new(&mapping.contents()?)).as_ref()
    }
}

impl Library {
    fn new(data: &[u8]) -> Option<Library> {
        let binary = Binary::parse(data).ok()?;
        let (mut functions, mut names) = (Vec::new(), String::new());
        for symbol in binary.functions() {
            let start = names.len();
            names.push_str(symbol.name);
            functions.push((symbol.address, symbol.size, start..names.len()));
        }
        let exports = binary.exports().into_keys().map(str::to_owned).collect();
        Some(Library { layout: binary.layout(), functions, names, exports })
    }
}
