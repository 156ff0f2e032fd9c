//! Debug information of the program and its libraries: where it is kept beside a file, and what it says of an address.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cgoprof_symbols::debug_info::{DebugInfo, DebugLinks, DebugSections, SourceFrame};
use cgoprof_symbols::demangle::demangle;
use cgoprof_symbols::{Svma, extra_symbols};
use memmap2::Mmap;
use nix::unistd::Pid;

use super::debuginfod::Debuginfod;
use super::function_table::FunctionTable;
use crate::process::maps::Mapping;

/// Debug information by the file that it belongs to. Each file is read once, when one of its addresses is asked for.
pub(crate) struct DebugFiles {
    /// The root of the process's files, if it is another one than the recorder's.
    root: PathBuf,
    debuginfod: Option<Debuginfod>,
    read: HashMap<PathBuf, DebugFile>,
    notes: Vec<String>,
}

/// Debug information of one file.
#[derive(Default)]
struct DebugFile {
    info: Option<DebugInfo<'static>>,
    /// Symbols that the file itself has not.
    symbols: FunctionTable,
}

/// Folder in which distributions keep debug information.
const DEBUG: &str = "/usr/lib/debug";

impl DebugFiles {
    /// Of a process's files. What is not there is asked of debuginfod servers for at most so long altogether, if at
    /// all.
    pub(crate) fn of(pid: Pid, debuginfod: Option<Duration>) -> DebugFiles {
        let (root, read) = (PathBuf::from(format!("/proc/{pid}/root")), HashMap::new());
        DebugFiles { root, debuginfod: debuginfod.map(Debuginfod::new), read, notes: Vec::new() }
    }

    /// Returns the functions at an address that a mapped file states, the innermost inlined one first. Empty without
    /// debug information.
    pub(super) fn frames(&mut self, mapping: &Mapping, address: Svma) -> Vec<SourceFrame> {
        let root = self.root.clone();
        let info = self.file(mapping).info.as_ref();
        info.map(|info| info.frames(address, &|path| sections(open(&root, path)?))).unwrap_or_default()
    }

    /// Returns the name of the function at an address that only the file with the debug information has, demangled.
    pub(super) fn name(&mut self, mapping: &Mapping, address: Svma) -> Option<String> {
        self.file(mapping).symbols.name_at(address).map(demangle)
    }

    /// Returns notes on debug information that could not be used, since the last call.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        let of_server = self.debuginfod.as_mut().and_then(Debuginfod::take_note);
        self.notes.extend(of_server);
        std::mem::take(&mut self.notes)
    }

    fn file(&mut self, mapping: &Mapping) -> &DebugFile {
        if !self.read.contains_key(&mapping.path) {
            let found = mapping.contents().map(|file| self.find(&mapping.path, leaked(file)));
            self.read.insert(mapping.path.clone(), found.unwrap_or_default());
        }
        &self.read[&mapping.path]
    }

    fn find(&mut self, path: &Path, file: Bytes) -> DebugFile {
        let links = DebugLinks::read(file);
        let separate = if links.has_lines { None } else { self.separate(path, &links) };
        if !links.has_lines && separate.is_none() {
            return DebugFile::default();
        }
        let (place, debug) = separate.clone().unwrap_or((path.to_owned(), file));
        let supplementary = DebugLinks::read(debug).supplementary.and_then(|(link, id)| {
            let is_it = |bytes: Bytes| DebugLinks::read(bytes).build_id.as_ref() == Some(&id);
            let places = shared_files(&place, &link, &id);
            let found = places.into_iter().filter_map(|place| self.open(&place)).find(|&bytes| is_it(bytes));
            found.or_else(|| self.ask(&id, path).map(|(_, bytes)| bytes))
        });
        let package = self.open(&with_suffix(path, ".dwp")).and_then(sections);
        let info = sections(debug).and_then(|own| DebugInfo::new(own, supplementary.and_then(sections), package));
        if info.is_none() {
            self.notes.push(format!("the debug information in {} is damaged: it was not used", place.display()));
        }
        let named = separate.map(|(_, debug)| extra_symbols::functions(debug)).unwrap_or_default();
        let symbols = FunctionTable::new(named.into_iter().map(|symbol| (symbol.address, symbol.size, symbol.name)));
        DebugFile { info, symbols }
    }

    /// Finds the debug information of a file in another file.
    fn separate(&mut self, path: &Path, links: &DebugLinks) -> Option<(PathBuf, Bytes)> {
        for place in separate_files(path, links) {
            let Some(bytes) = self.open(&place) else { continue };
            if belongs(bytes, links) {
                return Some((place, bytes));
            }
            self.refuse(&place, path);
        }
        self.ask(links.build_id.as_ref()?, path)
    }

    /// Asks debuginfod servers for the debug information of the file with this build id.
    fn ask(&mut self, id: &[u8], path: &Path) -> Option<(PathBuf, Bytes)> {
        let place = self.debuginfod.as_mut()?.find(id)?;
        let bytes = map(&place)?;
        if DebugLinks::read(bytes).build_id.as_deref() == Some(id) {
            return Some((place, bytes));
        }
        self.refuse(&place, path);
        None
    }

    fn refuse(&mut self, place: &Path, path: &Path) {
        let (place, path) = (place.display(), path.display());
        self.notes.push(format!("the debug information in {place} is of another build of {path}: it was not used"));
    }

    fn open(&self, path: &Path) -> Option<Bytes> {
        open(&self.root, path)
    }
}

/// The bytes of a file as the process with this root sees it, else as the recorder does.
fn open(root: &Path, path: &Path) -> Option<Bytes> {
    map(&root.join(path.strip_prefix("/").unwrap_or(path))).or_else(|| map(path))
}

/// Bytes that live as long as the recorder: debug information is needed to its end.
type Bytes = &'static [u8];

fn map(path: &Path) -> Option<Bytes> {
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|file| file.is_file()))?;
    // SAFETY: the file is only read. One that is cut off meanwhile ends the recorder as any library would that is: debug
    // information is installed in place of the whole file.
    unsafe { Mmap::map(&file) }.ok().map(leaked)
}

/// Reads the sections of debug information of a file.
fn sections(file: Bytes) -> Option<&'static DebugSections<'static>> {
    DebugSections::read(file).map(|sections| &*Box::leak(Box::new(sections)))
}

fn leaked(file: Mmap) -> Bytes {
    Box::leak(Box::new(file))
}

/// Where the debug information of a file may be, the surest first (gdb's manual, "Debugging Information in Separate
/// Files").
fn separate_files(path: &Path, links: &DebugLinks) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = links.build_id.iter().map(|id| by_build_id(id)).collect();
    if let (Some((link, _)), Some(folder)) = (&links.link, path.parent()) {
        let global = Path::new(DEBUG).join(folder.strip_prefix("/").unwrap_or(folder));
        places.extend([folder.join(link), folder.join(".debug").join(link), global.join(link)]);
    }
    // A link to the file itself leads nowhere.
    places.retain(|place| place != path);
    places
}

/// Where a supplementary file may be that `place` links to.
fn shared_files(place: &Path, link: &Path, id: &[u8]) -> Vec<PathBuf> {
    let beside = place.parent().unwrap_or(Path::new("/")).join(link);
    let by_name = link.file_name().map(|name| Path::new(DEBUG).join(".dwz").join(name));
    [Some(beside), by_name, Some(by_build_id(id))].into_iter().flatten().collect()
}

fn by_build_id(id: &[u8]) -> PathBuf {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (first, rest) = id.split_at(id.len().min(1));
    Path::new(DEBUG).join(".build-id").join(hex(first)).join(hex(rest) + ".debug")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether separate debug information is that of the file with these links: by the build id, else by the checksum.
fn belongs(debug: Bytes, links: &DebugLinks) -> bool {
    match (&links.build_id, DebugLinks::read(debug).build_id) {
        (Some(own), Some(id)) => *own == id,
        _ => links.link.as_ref().is_some_and(|&(_, checksum)| crc32fast::hash(debug) == checksum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_information_is_looked_for_where_gdb_looks_for_it() {
        let links = DebugLinks {
            build_id: Some(vec![0xab, 0x0c, 0xde]),
            link: Some(("libx.so.debug".into(), 7)),
            ..DebugLinks::default()
        };
        let found = separate_files(Path::new("/usr/lib/libx.so"), &links);
        let expected = [
            "/usr/lib/debug/.build-id/ab/0cde.debug",
            "/usr/lib/libx.so.debug",
            "/usr/lib/.debug/libx.so.debug",
            "/usr/lib/debug/usr/lib/libx.so.debug",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        let place = Path::new("/usr/lib/debug/.build-id/ab/0cde.debug");
        let shared = shared_files(place, Path::new("../../.dwz/x.debug"), &[1, 2]);
        assert_eq!(
            shared[1..],
            ["/usr/lib/debug/.dwz/x.debug", "/usr/lib/debug/.build-id/01/02.debug"].map(PathBuf::from)
        );
    }
}
