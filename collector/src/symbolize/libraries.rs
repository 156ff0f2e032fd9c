//! Shared libraries of a process: finds the one that an address or a name belongs to.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use cgoprof_symbols::binary::Layout;
use cgoprof_symbols::{Avma, Binary, FileOffset, Svma, call_frames, extra_symbols};

use super::function_table::FunctionTable;
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
    functions: FunctionTable,
    /// Functions that have call frame information, by address: those without a name too.
    unnamed: OnceCell<Vec<(Svma, u64)>>,
    /// Names that it exports.
    exports: HashMap<String, Svma>,
    build_id: String,
}

/// A function of a library.
pub(super) struct Found {
    pub(super) path: String,
    /// GNU build id of the library, empty if there is none.
    pub(super) build_id: String,
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
        let symbol = library.functions.name_at(stated).map(str::to_owned);
        Some(Found { path, build_id: library.build_id.clone(), stated, symbol })
    }

    /// Returns where the function at an address begins that has no name; the address itself if that is unknown.
    pub(super) fn start_of_unnamed(&mut self, address: Avma, stated: Svma) -> Svma {
        let Some(mapping) = self.mapping(address).cloned() else { return stated };
        let Some(library) = self.read(&mapping) else { return stated };
        let functions = library.unnamed.get_or_init(|| {
            let contents = mapping.contents();
            let binary = contents.as_deref().and_then(|data| Binary::parse(data).ok());
            binary.map(|binary| call_frames::functions(&binary)).unwrap_or_default()
        });
        covering(functions, |&function| function, stated).map_or(stated, |&(start, _)| start)
    }

    /// Returns the path of the library that exports a name.
    pub(super) fn exporter(&mut self, name: &str) -> Option<String> {
        self.mappings.clone().into_iter().find_map(|mapping| {
            self.read(&mapping)?.exports.contains_key(name).then(|| mapping.path.to_string_lossy().into_owned())
        })
    }

    /// Returns the mapping that an address lies in.
    pub(super) fn mapping(&self, address: Avma) -> Option<&Mapping> {
        self.mappings.iter().rev().find(|mapping| mapping.range.contains(&address))
    }

    /// Returns the address that a mapped file states for one in memory.
    pub(super) fn stated(&mut self, mapping: &Mapping, address: Avma) -> Option<Svma> {
        let offset = FileOffset(address.0.checked_sub(mapping.range.start.0)? + mapping.offset.0);
        self.read(mapping)?.layout.stated_address(offset)
    }

    /// Returns the library that exports a name, and the address that it states for it.
    pub(super) fn exported(&mut self, name: &str) -> Option<(Mapping, Svma)> {
        self.mappings.clone().into_iter().find_map(|mapping| {
            let address = *self.read(&mapping)?.exports.get(name)?;
            Some((mapping, address))
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
        let mini = extra_symbols::mini_debug_file(&binary);
        let mini = mini.as_deref().map(extra_symbols::functions).unwrap_or_default();
        let named = binary.functions().into_iter().chain(mini);
        let named = named.map(|symbol| (symbol.address, symbol.size, symbol.name));
        // Of two functions at one address, the one with a symbol comes first and is kept.
        let functions = FunctionTable::new(named.chain(ifunc::implementations(&binary)));
        let exports = binary.exports().into_iter().map(|(name, address)| (name.to_owned(), address)).collect();
        let build_id = binary.build_id().unwrap_or_default();
        Some(Library { layout: binary.layout(), functions, unnamed: OnceCell::new(), exports, build_id })
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
