//! Debug information of the program and its libraries: where it is kept beside a file, and what it says of an address.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cgoprof_symbols::debug_info::{DebugInfo, DebugLinks, DebugSections, SourceFrame, Unreadable};
use cgoprof_symbols::demangle::demangle;
use cgoprof_symbols::{Svma, extra_symbols};
use memmap2::Mmap;
use nix::unistd::Pid;

use super::debuginfod::Debuginfod;
use super::function_table::FunctionTable;
use crate::process::maps::{Mapping, open_file};

/// Debug information by the file that it belongs to. Each file is read once, when one of its addresses is asked for.
pub(crate) struct DebugFiles {
    /// The root of the process's files, which may be another one than the recorder's; none if it can't be opened.
    root: Option<File>,
    /// Bytes of debug information that may still be read.
    left: RefCell<u64>,
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

/// Maximum bytes of debug information of all files together.
const LARGEST: u64 = 1 << 30;
/// Folder in which distributions keep debug information.
const DEBUG: &str = "/usr/lib/debug";

impl DebugFiles {
    /// Of a process's files. What is not there is asked of debuginfod servers for at most so long altogether, if at
    /// all.
    pub(crate) fn of(pid: Pid, debuginfod: Option<Duration>) -> DebugFiles {
        // The process may have ended when debug information is looked for.
        let root = File::options().read(true).custom_flags(libc::O_PATH).open(format!("/proc/{pid}/root")).ok();
        let (debuginfod, left) = (debuginfod.map(Debuginfod::new), RefCell::new(LARGEST));
        DebugFiles { root, left, debuginfod, read: HashMap::new(), notes: Vec::new() }
    }

    /// Returns the functions at an address that a mapped file states, the innermost inlined one first. Empty without
    /// debug information.
    pub(super) fn frames(&mut self, mapping: &Mapping, address: Svma) -> Vec<SourceFrame> {
        self.read(mapping);
        let info = self.read.get(&mapping.path).and_then(|file| file.info.as_ref());
        let split = |path: &Path| self.sections(&self.open(path)?).ok();
        info.map(|info| info.frames(address, &split)).unwrap_or_default()
    }

    /// Returns the name of the function at an address that only the file with the debug information has, demangled.
    pub(super) fn name(&mut self, mapping: &Mapping, address: Svma) -> Option<String> {
        self.read(mapping);
        self.read.get(&mapping.path)?.symbols.name_at(address).map(demangle)
    }

    /// Returns notes on debug information that could not be used, since the last call.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        let of_server = self.debuginfod.as_mut().and_then(Debuginfod::take_note);
        self.notes.extend(of_server);
        std::mem::take(&mut self.notes)
    }

    /// Reads the debug information of a mapped file, if that has not been done.
    fn read(&mut self, mapping: &Mapping) {
        if self.read.contains_key(&mapping.path) {
            return;
        }
        let found = self.find(&mapping.path, mapping.contents());
        self.read.insert(mapping.path.clone(), found.unwrap_or_default());
    }

    fn find(&mut self, path: &Path, file: Option<Mmap>) -> Option<DebugFile> {
        let file = file?;
        let links = DebugLinks::read(&file);
        let (place, debug) = if links.has_lines {
            (path.to_owned(), file)
        } else {
            // Servers may take their time, in which the file may be cut off.
            drop(file);
            self.separate(path, &links)?
        };
        let named = if links.has_lines { Vec::new() } else { extra_symbols::functions(&debug) };
        let symbols = FunctionTable::new(named.into_iter().map(|symbol| (symbol.address, symbol.size, symbol.name)));
        let (own, shared) = (self.sections(&debug), DebugLinks::read(&debug).supplementary);
        drop(debug);
        let read = own.and_then(|own| {
            let supplementary = shared.and_then(|(link, id)| self.supplementary(path, &place, &link, &id));
            let package = self.open(&with_suffix(path, ".dwp")).and_then(|file| self.sections(&file).ok());
            DebugInfo::new(own, supplementary, package).ok_or(Unreadable::Damaged)
        });
        match &read {
            Ok(_) | Err(Unreadable::None) => {}
            Err(why) => {
                self.notes.push(format!("the debug information in {} was not used: {why}", place.display()));
            }
        }
        Some(DebugFile { info: read.ok(), symbols })
    }

    /// Returns the sections of debug information of a file. They are kept to the recorder's end, because recorders of other
    /// processes read the same file.
    fn sections(&self, file: &[u8]) -> Result<&'static DebugSections, Unreadable> {
        static BY_BUILD_ID: Mutex<BTreeMap<(Vec<u8>, usize), &DebugSections>> = Mutex::new(BTreeMap::new());
        // A file and its debug information have the same build id.
        let key = DebugLinks::read(file).build_id.filter(|id| !id.is_empty()).map(|id| (id, file.len()));
        let known = || BY_BUILD_ID.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sections) = key.as_ref().and_then(|key| known().get(key).copied()) {
            return Ok(sections);
        }
        let sections: &'static _ = Box::leak(Box::new(DebugSections::read(file, &mut self.left.borrow_mut())?));
        if let Some(key) = key {
            known().insert(key, sections);
        }
        Ok(sections)
    }

    /// Finds the parts that the debug information of a file, which is at `place`, shares with others.
    fn supplementary(&mut self, path: &Path, place: &Path, link: &Path, id: &[u8]) -> Option<&'static DebugSections> {
        let is_it = |bytes: &Mmap| DebugLinks::read(bytes).build_id.as_deref() == Some(id);
        let places = shared_files(place, link, id);
        let found = places.into_iter().filter_map(|place| self.open(&place)).find(is_it);
        let file = found.or_else(|| self.ask(id, path).map(|(_, bytes)| bytes))?;
        self.sections(&file).ok()
    }

    /// Finds the debug information of a file in another file.
    fn separate(&mut self, path: &Path, links: &DebugLinks) -> Option<(PathBuf, Mmap)> {
        for place in separate_files(path, links) {
            let Some(bytes) = self.open(&place) else { continue };
            if belongs(&bytes, links) {
                return Some((place, bytes));
            }
            self.refuse(&place, path);
        }
        self.ask(links.build_id.as_ref()?, path)
    }

    /// Asks debuginfod servers for the debug information of the file with this build id.
    fn ask(&mut self, id: &[u8], path: &Path) -> Option<(PathBuf, Mmap)> {
        let place = self.debuginfod.as_mut()?.find(id)?;
        let bytes = map(&place)?;
        if DebugLinks::read(&bytes).build_id.as_deref() == Some(id) {
            return Some((place, bytes));
        }
        self.refuse(&place, path);
        None
    }

    fn refuse(&mut self, place: &Path, path: &Path) {
        let (place, path) = (place.display(), path.display());
        self.notes.push(format!("the debug information in {place} is of another build of {path}: it was not used"));
    }

    /// The bytes of a file as the process sees it, else as the recorder does.
    fn open(&self, path: &Path) -> Option<Mmap> {
        let of_process = self.root.as_ref().and_then(|root| {
            let root = PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()));
            map(&root.join(path.strip_prefix("/").unwrap_or(path)))
        });
        of_process.or_else(|| map(path))
    }
}

/// Maps a file for the time in which it is copied.
fn map(path: &Path) -> Option<Mmap> {
    let file = open_file(path)?;
    // SAFETY: what is needed is copied at once. A file that is cut off just then is the risk of every tool that maps files that
    // others may write.
    unsafe { Mmap::map(&file) }.ok()
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
fn belongs(debug: &[u8], links: &DebugLinks) -> bool {
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
