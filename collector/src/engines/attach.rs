//! How an engine gets to work on a program.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Pid;

use super::work::Engine;
use super::{EngineError, EngineKind, Timing, sample, trampoline, uprobe};
use crate::clock::Moment;
use crate::correlate::pump::Pump;
use crate::correlate::waits::WaitsMode;
use crate::goruntime::Target;
use crate::perf::Session;
use crate::process::auxv::load_bias;
use crate::process::maps::Mapping;
use crate::process::pause::Pause;
use crate::process::remote_syscall::{RemoteError, Stopped, Trap};

/// Options for an engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How often crossings are timed.
    pub(crate) timing: Timing,
    /// Maximum share of a bare call that timing may add.
    pub(crate) max_overhead: f64,
    /// Maximum Go frames per stack.
    pub(crate) stack_depth: usize,
    /// Maximum bytes of the program's memory for tables; none for a share of the memory that is free to it.
    pub(crate) max_memory: Option<u64>,
    /// Shortest C time of a slow crossing.
    pub(crate) slow: Duration,
    /// Samples per second of each thread's processor time; 0 for none.
    pub(crate) frequency: u32,
    /// Which waits in C are seen.
    pub(crate) waits: WaitsMode,
    /// Whether processes that leave the program wait until they are followed.
    pub(crate) follow: bool,
}

/// The program that is recorded.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Its Go code.
    pub(crate) target: &'a Target<'a>,
    /// The file with its Go code.
    pub(crate) file: &'a File,
    /// Path of the program's file.
    pub(crate) program: &'a Path,
    /// Path of the library that has the Go code, if it is not the program.
    pub(crate) library: Option<&'a Path>,
    /// That library was loaded while the recorder waited for it.
    pub(crate) awaited: bool,
    /// Options of the recording.
    pub(crate) settings: Settings,
}

impl Subject<'_> {
    /// Returns the path of the file with the Go code, for people.
    pub(crate) fn shown(&self) -> String {
        self.library.unwrap_or(self.program).display().to_string()
    }
}

/// State of the program when an engine attaches to it.
pub(crate) enum AttachPoint {
    /// A process that will become the program.
    BeforeExec(Pid),
    /// The program before it has done anything, under the recorder's ptrace.
    Stopped {
        /// Its process.
        pid: Pid,
        /// Access for acting in it, or why there is none.
        stopped: Result<Stopped, RemoteError>,
        /// How it has inherited SIGTRAP.
        trap: Trap,
        /// When the recorder began.
        began: Moment,
    },
    /// The running program with its threads.
    Running {
        /// Its process.
        pid: Pid,
        /// Difference between the addresses where its Go code is loaded and its stated addresses.
        bias: u64,
    },
}

impl AttachPoint {
    pub(crate) fn pid(&self) -> Pid {
        match self {
            AttachPoint::BeforeExec(pid) | AttachPoint::Stopped { pid, .. } | AttachPoint::Running { pid, .. } => *pid,
        }
    }
}

/// An engine that knows how it would work on a program.
pub(crate) trait Candidate {
    /// Which engine.
    fn kind(&self) -> EngineKind;

    /// Whether a program that is launched has to stop, under ptrace, before it does anything.
    fn needs_stop(&self) -> bool {
        false
    }

    /// Attaches to a program that has not begun, stands still or runs.
    ///
    /// # Errors
    /// See [`EngineError`]: the program is then as it was.
    fn attach(&self, subject: &Subject<'_>, at: &mut AttachPoint) -> Result<Box<dyn Attached>, EngineError>;
}

/// An engine that has attached to a program.
pub(crate) trait Attached {
    /// Returns the bias of a program that has just begun, and may have ended: the difference between the addresses
    /// where it was loaded and its stated addresses.
    fn bias(&mut self, pid: Pid, subject: &Subject<'_>) -> Option<u64> {
        load_bias(pid, subject.target.binary.entry())
    }

    /// Starts to work on the program. `begun` is when the program began to run or was let go.
    ///
    /// # Errors
    /// See [`EngineError`]: nothing is left in the program.
    fn begin(
        self: Box<Self>,
        pid: Pid,
        subject: &Subject<'_>,
        bias: u64,
        begun: Moment,
    ) -> Result<RunningEngine, EngineError>;
}

/// A program with an engine at work.
pub(crate) struct RunningEngine {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) pump: Pump,
    /// Difference between the addresses where its Go code is loaded and its stated addresses.
    pub(crate) bias: u64,
    pub(crate) mappings: Vec<Mapping>,
    /// When counting began.
    pub(crate) begun: Moment,
    /// How long the program was stopped, if it was.
    pub(crate) pause: Option<Pause>,
    /// Notes for the user.
    pub(crate) notes: Vec<String>,
}

/// Works out how an engine would work on a program.
///
/// # Errors
/// If the program's code is not as known.
pub(crate) fn candidate(kind: EngineKind, target: &Target<'_>) -> Result<Box<dyn Candidate>, EngineError> {
    match kind {
        EngineKind::Trampoline => trampoline::candidate(target),
        EngineKind::Uprobe => Ok(Box::new(uprobe::Probing)),
        EngineKind::Sample => Ok(Box::new(sample::Sampling)),
    }
}

/// Returns the bias of a program, also of one that has ended already: perf's records tell of its mappings.
pub(super) fn observed_bias(session: &mut Session, pid: Pid, subject: &Subject<'_>) -> Option<u64> {
    load_bias(pid, subject.target.binary.entry()).or_else(|| {
        let program = subject.program.canonicalize().ok()?;
        let mappings = session.mappings();
        let own = mappings.iter().filter(|mapping| mapping.executable && mapping.path == program);
        own.filter_map(|mapping| subject.target.binary.bias(mapping.range.start, mapping.offset)).next()
    })
}

/// Raises the recorder's limit of open files, because each event is a file. A program that the recorder starts has been
/// made before, and keeps its own limit.
pub(crate) fn allow_many_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
