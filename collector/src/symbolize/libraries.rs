//! Shared libraries of a process: finds the one that an address or a name belongs to.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;

use cgoprof_symbols::binary::Layout;
use cgoprof_symbols::{Avma, Binary, FileOffset, Svma};

use super::{covering, ifunc};
use crate::process::maps::Mapping;

/// Libraries by their mapped addresses. Each is read once, when it is first needed.
#[derive(Default)]
pub(super) struct Libraries {
    mappings: Vec<Mapping>,
    files: HashMap<PathBuf, Option<Library>>,
}

/// Functions and names of a library.
struct Library {
    layout: Layout,
    /// Its functions by address: address, size, range of the name in `names`.
    functions: Vec<(Svma, u64, Range<usize>)>,
    names: String,
    /// Names that it exports.
    exports: HashSet<String>,
}

/// A function of a library.
pub(super) struct Found {
    pub(super) path: String,
    /// The address as the library states it.
    pub(super) stated: Svma,
    /// The symbol that covers it; none if no symbol does.
    pub(super) symbol: Option<String>,
}

impl Libraries {
    /// Adds the current mappings. A library that has been unmapped stays known.
    pub(super) fn set_mappings(&mut self, mappings: &[Mapping]) {
        for mapping in mappings {
            let is_file = mapping.path.is_absolute();
            if is_file && mapping.executable && !self.mappings.contains(mapping) {
                self.mappings.push(mapping.clone());
            }
        }
    }

    /// Returns the function at an address.
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

    /// Returns the path of the library that exports a name.
    pub(super) fn exporter(&mut self, name: &str) -> Option<String> {
        self.mappings.clone().into_iter().find_map(|mapping| {
            self.read(&mapping)?.exports.contains(name).then(|| mapping.path.to_string_lossy().into_owned())
        })
    }

    /// Returns the files that have been mapped, each once.
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
        let named = binary.functions().into_iter().map(|symbol| (symbol.address, symbol.size, symbol.name));
        let mut all: Vec<_> = named.chain(ifunc::implementations(&binary)).collect();
        // Of two functions at one address, the one with a symbol comes first and is kept.
        all.sort_by_key(|&(address, ..)| address);
        all.dedup_by_key(|&mut (address, ..)| address);
        let (mut functions, mut names) = (Vec::new(), String::new());
        for (address, size, name) in all {
            let start = names.len();
            names.push_str(name);
            functions.push((address, size, start..names.len()));
        }
        let exports = binary.exports().into_keys().map(str::to_owned).collect();
        Some(Library { layout: binary.layout(), functions, names, exports })
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::Pid;

    use super::*;
    use crate::process::maps;

    /// The version for this processor has no symbol of its own in a stripped libc. Once its name was
    /// `libc.so.6+0x16a3c0`.
    #[test]
    fn functions_that_are_chosen_when_a_library_is_loaded_have_their_names() {
        let mut libraries = Libraries::default();
        libraries.set_mappings(&maps::read(Pid::this()).expect("our mappings"));
        for name in [c"strlen", c"memchr", c"memset", c"strchr", c"memcmp", c"strrchr"] {
            // SAFETY: the name ends with a zero byte.
            let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) } as u64;
            let name = name.to_str().expect("text");
            for inside in [0, 8] {
                let found = libraries.find(Avma(address + inside)).expect("in libc");
                assert!(
                    found.symbol.as_deref().is_some_and(|symbol| symbol.contains(name)),
                    "{name}: {:?}",
                    found.symbol
                );
            }
        }
    }
}
