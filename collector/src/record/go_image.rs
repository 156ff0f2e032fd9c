//! Location of a recording's Go code: the program itself, or a library that a process has loaded.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cgoprof_symbols::{Avma, FileOffset};
use memmap2::Mmap;
use nix::unistd::Pid;

use super::stop_source::StopSource;
use super::{Identity, RecordError, identity};
use crate::goruntime::plugin::is_plugin;
use crate::goruntime::{Target, TargetError};
use crate::process::auxv::load_bias;
use crate::process::maps::{self, Mapping};
use crate::process::status::{self, Unfit};

/// The file with the Go code, and the program that it is in.
pub(super) struct GoImage {
    /// The program.
    pub(super) program: PathBuf,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// The program's file.
    pub(super) identity: Option<Identity>,
    /// The library with the Go code; none if the program itself has it.
    pub(super) go_library: Option<Library>,
    /// Whether the library was loaded while the recorder waited for it.
    pub(super) awaited: bool,
    /// The file with the Go code: the program's or the library's.
    pub(super) file: File,
    pub(super) data: Mmap,
}

/// A library with Go code.
pub(super) struct Library {
    pub(super) path: PathBuf,
    /// Address at which its code is mapped, and position of the code in the file.
    code: (Avma, FileOffset),
}

/// Time between two checks whether a process has loaded Go code.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

impl GoImage {
    /// Returns the image of the program that a command starts.
    pub(super) fn command(path: &Path, command: &[std::ffi::OsString]) -> Result<GoImage, RecordError> {
        let arguments = command[1..].iter().map(|text| text.to_string_lossy().into_owned()).collect();
        GoImage::own(path.to_owned(), path, arguments)
    }

    /// Returns the Go code of a process: in its program, or else in the first of its libraries that has some. If there
    /// is none yet, calls `waiting` and waits until there is some. Returns none if `stop` ends the wait.
    pub(super) fn process(
        pid: Pid,
        stop: StopSource<'_>,
        waiting: impl FnOnce(&Path),
    ) -> Result<Option<GoImage>, RecordError> {
        status::check(pid).map_err(|unfit| RecordError::Unfit(pid, unfit))?;
        let (mut waiting, mut seen) = (Some(waiting), HashSet::new());
        let mut program = GoImage::program_of(pid)?;
        loop {
            // The caller finds other errors when it parses the program again.
            if !matches!(Target::parse(&program.data), Err(TargetError::NotGo)) {
                return Ok(Some(program));
            }
            let mappings = maps::read_unopened(pid).map_err(|error| RecordError::Process(pid, error))?;
            if mappings.is_empty() {
                return Err(RecordError::Unfit(pid, Unfit::None));
            }
            for mut mapping in mappings.into_iter().filter(|mapping| mapping.executable) {
                if !seen.insert((mapping.range.start, mapping.path.clone())) {
                    continue;
                }
                mapping.open(pid);
                if mapping.opened().is_some_and(|file| identity(file.metadata()) == program.identity) {
                    continue;
                }
                if let Some((file, data)) = with_go_code(&mapping) {
                    let code = (mapping.range.start, mapping.offset);
                    let go_library = Some(Library { path: mapping.path, code });
                    let awaited = waiting.is_none();
                    return Ok(Some(GoImage { go_library, awaited, file, data, ..program }));
                }
            }
            if let Some(waiting) = waiting.take() {
                waiting(&program.program);
            }
            if stop.wait(None, &[], BETWEEN_LOOKS).is_some() {
                return Ok(None);
            }
            if identity(std::fs::metadata(status::program(pid))) != program.identity {
                program = GoImage::program_of(pid)?;
                seen.clear();
            }
        }
    }

    /// Returns the image of the program that a process runs.
    pub(super) fn program_of(pid: Pid) -> Result<GoImage, RecordError> {
        let opened = status::program(pid);
        // These files exist as long as the process has memory, even where they can't be read.
        let lost = |error: std::io::Error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => RecordError::Unfit(pid, Unfit::Ending),
            _ => RecordError::Process(pid, error),
        };
        let program = opened.read_link().map_err(lost)?;
        let arguments = command_line(pid).map_err(lost)?;
        match GoImage::own(program, &opened, arguments) {
            Err(RecordError::Unreadable(_, error)) if error.raw_os_error() == Some(libc::ENOENT) => Err(lost(error)),
            image => image,
        }
    }

    fn own(program: PathBuf, opened: &Path, arguments: Vec<String>) -> Result<GoImage, RecordError> {
        let shown = program.display().to_string();
        let file = File::open(opened).map_err(|error| RecordError::Unreadable(shown.clone(), error))?;
        // SAFETY: the kernel refuses writes to a running program. A program that is cut off before it runs is not a
        // target.
        let data = unsafe { Mmap::map(&file) }.map_err(|error| RecordError::Unreadable(shown, error))?;
        let identity = identity(file.metadata());
        Ok(GoImage { program, arguments, identity, go_library: None, awaited: false, file, data })
    }

    /// Parses the Go code.
    pub(super) fn parsed(&self) -> Result<Target<'_>, TargetError> {
        Target::parse(&self.data)
    }

    /// Parses the Go code. The error is the reason why there is no recording.
    pub(super) fn target(&self) -> Result<Target<'_>, RecordError> {
        self.parsed().map_err(|error| RecordError::Target(self.shown(), error))
    }

    /// Returns the path of the file with the Go code.
    pub(super) fn go_file(&self) -> &Path {
        self.go_library.as_ref().map_or(&self.program, |library| &library.path)
    }

    /// Returns the path of the file with the Go code, as text for messages.
    pub(super) fn shown(&self) -> String {
        self.go_file().display().to_string()
    }

    /// Returns the distance from the Go code's stated addresses to those in a process; none if it is not known.
    pub(super) fn bias(&self, pid: Pid, target: &Target<'_>) -> Option<u64> {
        match &self.go_library {
            Some(library) => target.binary.bias(library.code.0, library.code.1),
            None => load_bias(pid, target.binary.entry()),
        }
    }
}

/// Returns a mapped file if it has a Go runtime of its own. A plugin only has the code of the program's runtime.
fn with_go_code(mapping: &Mapping) -> Option<(File, Mmap)> {
    let data = mapping.contents()?;
    match Target::parse(&data) {
        Err(TargetError::NotGo | TargetError::Binary(_)) => None,
        Ok(target) if is_plugin(&target) => None,
        _ => Some((mapping.opened()?, data)),
    }
}

/// Returns the arguments of a running process.
fn command_line(pid: Pid) -> std::io::Result<Vec<String>> {
    let thread = status::living_thread(pid).unwrap_or(pid);
    let bytes = std::fs::read(format!("/proc/{pid}/task/{thread}/cmdline"))?;
    let words = bytes.strip_suffix(b"\0").unwrap_or(&bytes).split(|&byte| byte == 0).skip(1);
    Ok(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}
