//! Memory mappings of a process: `/proc/PID/maps`.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cgoprof_symbols::{Avma, FileOffset};
use memmap2::Mmap;
use nix::unistd::Pid;

use super::status;

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its addresses.
    pub range: Range<Avma>,
    /// Whether it may be executed.
    pub executable: bool,
    /// Offset of its beginning in its file.
    pub offset: FileOffset,
    /// Path of its file, or a name in brackets, or nothing.
    pub path: PathBuf,
    /// Its file, opened when the mapping was seen: a file that takes its place later is another.
    pub file: Opened,
}

/// A file, if it could be opened. All are equal: mappings differ by their other fields.
#[derive(Clone, Debug, Default)]
pub struct Opened(Option<Arc<File>>);

impl PartialEq for Opened {
    fn eq(&self, _: &Opened) -> bool {
        true
    }
}

impl Eq for Opened {}

impl From<File> for Opened {
    fn from(file: File) -> Opened {
        Opened(Some(Arc::new(file)))
    }
}

impl Mapping {
    /// Opens the file of executable memory as the process sees it. This does not block, whatever has taken the file's
    /// place meanwhile.
    pub(crate) fn open(&mut self, pid: Pid) {
        let Ok(inside) = self.path.strip_prefix("/") else { return };
        if !self.executable {
            return;
        }
        let of_process = PathBuf::from(format!("/proc/{pid}"));
        let found = if self.path.to_string_lossy().ends_with(DELETED) {
            // Root may open every mapped file, even if its name is gone. Others may open only the program's own file.
            let range = format!("map_files/{:x}-{:x}", self.range.start.0, self.range.end.0);
            let program = of_process.join("exe");
            let is_program = program.read_link().is_ok_and(|path| path == self.path);
            open_file(&of_process.join(range)).or_else(|| open_file(&program).filter(|_| is_program))
        } else {
            open_file(&of_process.join("root").join(inside)).or_else(|| open_file(&self.path))
        };
        self.file = Opened(found.map(Arc::new));
    }

    /// Returns the file itself, if it was opened.
    pub(crate) fn opened(&self) -> Option<File> {
        self.file.0.as_ref()?.try_clone().ok()
    }

    /// Maps the file, if it was opened. The map must not be kept: if the file is truncated meanwhile, reading it ends
    /// us.
    pub(crate) fn contents(&self) -> Option<Mmap> {
        let file = self.file.0.as_ref()?;
        if file.metadata().ok()?.len() > LARGEST {
            return None;
        }
        // SAFETY: callers copy what they read within milliseconds. A file that is truncated just then is the risk of
        // every tool that maps files that others may write.
        unsafe { Mmap::map(file.as_ref()) }.ok()
    }
}

/// Suffix that the kernel appends to the name of a deleted file.
const DELETED: &str = " (deleted)";
/// Largest file that is read.
const LARGEST: u64 = 1 << 30;

/// Reads the mappings of a process, by address.
///
/// # Errors
/// If the process is gone or not ours.
pub fn read(pid: Pid) -> std::io::Result<Vec<Mapping>> {
    let mut mappings = read_unopened(pid)?;
    mappings.iter_mut().for_each(|mapping| mapping.open(pid));
    Ok(mappings)
}

/// Reads the mappings without opening their files.
pub(crate) fn read_unopened(pid: Pid) -> std::io::Result<Vec<Mapping>> {
    let mut text = std::fs::read(format!("/proc/{pid}/maps"))?;
    if text.is_empty()
        && let Some(thread) = status::living_thread(pid)
    {
        text = std::fs::read(format!("/proc/{pid}/task/{thread}/maps"))?;
    }
    Ok(String::from_utf8_lossy(&text).lines().filter_map(parse).collect())
}

pub(super) fn parse(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let executable = fields.next()?.contains('x');
    let offset = FileOffset(hex(fields.next()?)?);
    let path = PathBuf::from(fields.nth(2).unwrap_or("").trim_start());
    let range = Avma(hex(start)?)..Avma(hex(end)?);
    Some(Mapping { range, executable, offset, path, file: Opened::default() })
}

/// Opens a regular file; nothing else, which opening might change or wait for.
pub(crate) fn open_file(path: &Path) -> Option<File> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    // Another file may have taken its place since.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

/// Returns a free place for some bytes, as near as possible below the given address, else the first from 1.5 GiB above it on. Each of its
/// bytes is within reach of a call from `below` to `above`.
///
/// Nothing below the program grows; the heap lies above it.
pub fn free_place(mappings: &[Mapping], below: Avma, above: Avma, size: u64) -> Option<Avma> {
    const LOWEST: u64 = 0x10000;
    const REACH: u64 = (1 << 31) - (64 << 20);
    let size = size.checked_next_multiple_of(4096)?;
    let mut top = below.0;
    for mapping in mappings.iter().rev().filter(|mapping| mapping.range.start < below) {
        if mapping.range.end.0.saturating_add(size) <= top {
            break;
        }
        top = mapping.range.start.0.min(top);
    }
    let place = top.checked_sub(size).filter(|&place| place >= LOWEST && above.0.abs_diff(place) < REACH);
    if let Some(place) = place {
        let taken = mappings.iter().any(|mapping| mapping.range.start.0 < place + size && place < mapping.range.end.0);
        if !taken {
            return Some(Avma(place));
        }
    }
    // The place is far above, clear of the heap's first gigabyte, yet within reach of a rel32.
    let mut place = below.0.checked_add((1 << 30) + (512 << 20))?.checked_next_multiple_of(4096)?;
    for mapping in mappings {
        if place.saturating_add(size) <= mapping.range.start.0 {
            break;
        }
        place = place.max(mapping.range.end.0);
    }
    (place.checked_add(size)? - below.0 < REACH).then_some(Avma(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: u64, end: u64) -> Mapping {
        let (range, path) = (Avma(start)..Avma(end), PathBuf::new());
        Mapping { range, executable: false, offset: FileOffset(0), path, file: Opened::default() }
    }

    #[test]
    fn lines_with_and_without_a_file() {
        let line = "00402000-0048a000 r-xp 00002000 fe:01 1837                             /tmp/a b";
        let found = parse(line).unwrap();
        assert_eq!(found.range, Avma(0x402000)..Avma(0x48a000));
        assert_eq!(found.offset, FileOffset(0x2000));
        assert_eq!(found.path, PathBuf::from("/tmp/a b"));
        assert!(found.executable);
        assert_eq!(parse("7ffd1000-7ffd2000 rw-p 00000000 00:00 0 ").unwrap().path, PathBuf::new());
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn places_below_above_and_nowhere() {
        let check = |mappings: &[Mapping], expected| {
            assert_eq!(free_place(mappings, Avma(0x400000), Avma(0x500000), 0x5000), expected);
        };
        check(&[mapping(0x400000, 0x500000)], Some(Avma(0x3fb000)));
        check(&[mapping(0x3fe000, 0x400000), mapping(0x400000, 0x500000)], Some(Avma(0x3f9000)));
        check(&[mapping(0x10000, 0x500000)], Some(Avma(0x60400000)));
        check(&[mapping(0x10000, 0x500000), mapping(0x60000000, 0x61000000)], Some(Avma(0x61000000)));
        check(&[mapping(0x10000, 0x90000000)], None);
    }
}
