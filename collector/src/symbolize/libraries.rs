//! The shared libraries of a process: which one an address or a name belongs to.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use cgoprof_symbols::{Avma, Binary, FileOffset};
use memmap2::Mmap;

use super::covering;
use crate::process::maps::Mapping;

/// Libraries by where they are mapped; each is read once, when it is asked for.
#[derive(Default)]
pub(super) struct Libraries {
    mappings: Vec<Mapping>,
    files: HashMap<PathBuf, Option<Mmap>>,
}

/// A function of a library.
pub(super) struct Found {
    pub(super) path: String,
    pub(super) symbol: String,
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
        let data = self.data(&mapping.path)?;
        let binary = Binary::parse(data).ok()?;
        let stated = binary.stated_address(offset)?;
        let symbol = covering(&binary.functions(), stated).map_or_else(|| format!("[{stated}]"), str::to_owned);
        Some(Found { path, symbol })
    }

    /// The library that gives a name to others.
    pub(super) fn exporter(&mut self, name: &str) -> Option<String> {
        let paths: Vec<_> = self.mappings.iter().map(|mapping| mapping.path.clone()).collect();
        paths.into_iter().find_map(|path| {
            let data = self.data(&path)?;
            let exports = Binary::parse(data).ok()?.exports().contains_key(name);
            exports.then(|| path.to_string_lossy().into_owned())
        })
    }

    fn data(&mut self, path: &Path) -> Option<&[u8]> {
        let open = || {
            let file = File::open(path).ok()?;
            // SAFETY: the library is read while it may be replaced: a replaced file is another inode, and one
            // truncated in place is not something a loaded library survives either.
            unsafe { Mmap::map(&file) }.ok()
        };
        self.files.entry(path.to_owned()).or_insert_with(open).as_deref()
    }
}
