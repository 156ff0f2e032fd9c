//! A recording from the program's start to the finished file.

mod children;
pub mod control;
mod facts;
mod followed;
mod follower;
mod gates;
mod go_image;
mod joined;
mod launched;
mod modules;
mod news;
mod notes;
pub mod output;
pub mod output_name;
mod parallelism;
mod process_files;
mod recorder;
mod refused;
mod session;
mod steal;
mod stop_source;
mod tie;

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cgoprof_profile::Profile;
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use children::record_with_children;
use followed::follow;
use follower::is_go_command;
use go_image::GoImage;
use joined::join;
use launched::{NotRecorded, NotStarted, start};
use recorder::LeavesOnPanic;
use session::{Attached, Session};
use stop_source::{Signals, StopSource};
use tie::Tie;

use crate::clock::Moment;
pub use crate::correlate::waits::WaitsMode;
pub use crate::engines::{EngineError, EngineKind};
use crate::engines::{Settings, Subject as EngineSubject, Timing};
use crate::goruntime::{Target, TargetError};
use crate::process::end;
use crate::process::file_privileges::{self, Privileged};
use crate::process::inherited_signals;
use crate::process::launch::{LaunchError, Streams, exec_in_place, find_program};
use crate::process::own_threads::{self, NoThread};
use crate::process::proc_mount::{self, ForeignProc};
use crate::process::remote_syscall::RemoteError;
use crate::process::status::{self, Unfit};
use output::{Output, Unwritten};
use output_name::{NameParts, OutputName};

/// Options of a recording: the program, and how it is recorded.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub subject: Subject,
    /// The engine that counts crossings; none for the first one that works.
    pub engine: Option<EngineKind>,
    /// The profile's file; none to write no file.
    pub output: Option<OutputName>,
    /// Standard streams of a started program; none for the recorder's own.
    pub streams: Option<Arc<Streams>>,
    /// How often crossings are timed.
    pub timing: Timing,
    /// Share of a bare call that timing may add to a function's crossings on average, with [`Timing::Auto`].
    pub max_overhead: f64,
    /// Maximum Go frames per stack.
    pub stack_depth: usize,
    /// Maximum bytes of the hooks' tables in the program's memory; none for a share of the memory available to it.
    pub max_memory: Option<u64>,
    /// Minimum C time of a crossing for which blocked time is looked up.
    pub slow: Duration,
    /// Samples per second of each thread's processor time; 0 for none.
    pub frequency: u32,
    /// Which waits in C are seen.
    pub waits: WaitsMode,
    /// Time after which the profile is finished; none for the program's end.
    pub duration: Option<Duration>,
    /// Maximum time in which debuginfod servers are asked for debug information that is not on this machine; none to
    /// ask none.
    pub debuginfod: Option<Duration>,
    /// Whether the program must not run if it can't be recorded.
    pub require: bool,
    /// Whether the programs are recorded that a command starts which has nothing to record itself.
    pub follow: bool,
    /// Whether each process gets its own file, even if the names are equal.
    pub per_process: bool,
    /// Time for which the program runs before it is recorded; none to record it from its start.
    pub start_after: Option<Duration>,
    /// Whether the recording takes commands ([`control`]).
    pub control: bool,
    /// Receiver of each program's profile while it grows.
    pub subscriber: Option<Arc<dyn Subscriber>>,
}

/// Receives the profiles of recorded programs while they grow. It is called by the thread that records, so it must not take
/// long.
pub trait Subscriber: std::fmt::Debug + Send + Sync {
    /// Time between two calls for one program.
    fn interval(&self) -> Duration;
    /// Receives all that was recorded of a program so far. `is_complete` tells that nothing will be added to it. After a pause,
    /// another recording of the program begins, with a start of its own.
    fn receive(&self, profile: &Profile, is_complete: bool);
}

/// The program to record.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A program to start: its name and its arguments.
    Command(Vec<OsString>),
    /// A program that is already running.
    Process(Pid),
}

/// Result of a recording.
#[derive(Debug)]
pub struct Outcome {
    /// The program's exit status, 128 + n for a signal; 0 for one that was running before.
    pub status: u8,
    /// The profile, if one was recorded.
    pub profile: Option<Profile>,
    /// Why no profile was recorded, or why it could not be written.
    pub problem: Option<Problem>,
    /// The profile's file, if there is one.
    pub file: Option<PathBuf>,
    /// Whether the program keeps running, unrecorded.
    pub goes_on: bool,
    /// How many programs were recorded that the program started; none if they were not followed.
    pub followed: Option<usize>,
}

impl Outcome {
    fn unrecorded(status: u8, problem: Problem) -> Outcome {
        Outcome { status, profile: None, problem: Some(problem), file: None, goes_on: false, followed: None }
    }
}

/// Why a recording was not made or not written. The program ran all the same.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// An engine failed, and no other is tried.
    #[error("engine {0}: {1}")]
    Engine(EngineKind, EngineError),
    /// The program's file may be executed but not read.
    #[error("its file can't be read: {0}")]
    Unreadable(std::io::Error),
    /// The program has nothing to record.
    #[error(transparent)]
    Target(TargetError),
    /// All engines failed.
    #[error("no engine works here: {}", list(.0))]
    NoEngine(Vec<(EngineKind, EngineError)>),
    /// The system refuses the threads that the recorder needs.
    #[error(transparent)]
    Threads(#[from] NoThread),
    /// `/proc` is missing or that of another PID namespace, so processes can't be told apart.
    #[error(transparent)]
    Proc(#[from] ForeignProc),
    /// The program's file grants privileges that a traced program does not get.
    #[error(transparent)]
    Privileged(#[from] Privileged),
    /// The program was lost during the attach.
    #[error(transparent)]
    Lost(RemoteError),
    /// The program ended too early.
    #[error("it ended before it could be recorded")]
    Ended,
    /// The recording was to begin later.
    #[error("the recording ended before it began")]
    NotBegun,
    /// The process has become another program.
    #[error("the process runs another program by now")]
    Another,
    /// The file could not be written.
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, Unwritten),
    /// Another program's profile goes to this file, which is no regular one.
    #[error("{shown} takes one profile, and that of another program goes there; use a folder with -o", shown = named(.0))]
    OneProfile(PathBuf),
    /// The profiles of several processes could not be combined. They remain in these files.
    #[error("cannot write {shown}: {1}; the profiles of single processes are in {list}", shown = named(.0), list = paths(.2))]
    NotCombined(PathBuf, Unwritten, Vec<PathBuf>),
    /// The program has nothing to record, and what it starts is not recorded either, for the second reason.
    #[error("{0}; what it starts can't be followed: {1}")]
    Unfollowed(Box<Problem>, Box<Problem>),
    /// ptrace is refused.
    #[error("ptrace: {0}")]
    Untraced(Errno),
    /// What the program starts is recorded, not what it does itself.
    #[error("it is the go command")]
    GoCommand,
}

/// Returns the name of a file for people.
fn named(path: &Path) -> String {
    if path.as_os_str() == output::STANDARD_OUTPUT { "standard output".to_owned() } else { path.display().to_string() }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn list(refused: &[(EngineKind, EngineError)]) -> String {
    refused.iter().map(|(engine, error)| format!("{engine}: {error}")).collect::<Vec<_>>().join("; ")
}

/// Why the program was not started, or not attached to.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The program can't be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The process does not exist, or may not be looked at.
    #[error("cannot look at process {0}: {1}{way_out}", way_out = whose(.1))]
    Process(Pid, std::io::Error),
    /// The process can't be recorded as it is.
    #[error("cannot record process {0}: {1}")]
    Unfit(Pid, Unfit),
    /// The wait for Go code in the process was ended.
    #[error("process {0} has loaded no Go code")]
    NothingLoaded(Pid),
    /// A running process can't be attached to.
    #[error("cannot record process {0}: {1}")]
    Join(Pid, Problem),
    /// The file has no crossings, or none that can be recorded.
    #[error("cannot record {0}: {1}")]
    Target(String, TargetError),
    /// The program must not run unrecorded, and can't be recorded.
    #[error("cannot record {0}: {1}")]
    Required(String, Problem),
    /// The program's file can't be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(String, std::io::Error),
    /// The profile could not be written.
    #[error("cannot write {0}: {1}")]
    Output(PathBuf, std::io::Error),
    /// A recorder beside others has panicked.
    #[error("its recorder failed; that is a fault of cgoprof: please report what was printed")]
    Panicked,
    /// The system refused something.
    #[error("cannot watch the program: {0}")]
    System(#[from] Errno),
}

/// Returns the way out where a process can't be looked at.
fn whose(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied if nix::unistd::geteuid().is_root() => {
            "; root needs CAP_SYS_PTRACE for that (container: --cap-add=SYS_PTRACE)"
        }
        std::io::ErrorKind::PermissionDenied => "; run as its user, or as root",
        _ => "",
    }
}

/// A profile file of one or several processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// Its path.
    pub file: PathBuf,
    /// Number of the processes.
    pub processes: usize,
}

/// Receives the events of a recording while it runs.
pub trait Progress {
    /// A running program has no Go code yet. The recorder waits until it loads some.
    fn waiting(&self, pid: Pid, program: &Path);
    /// The recording of a running program has begun.
    fn joined(&self, pid: Pid, engine: EngineKind);
    /// A program is about to start that can't be recorded from its start.
    fn not_recorded(&self, _: &Problem) {}
    /// A program that a command started has been recorded.
    fn recorded(&self, _program: &Path, _: Pid, _: Result<Outcome, RecordError>) {}
    /// Time passes. Called ten times a second and more while a program runs, and not while its symbols are looked up.
    fn passes(&self) {}
    /// A file has been written, with the profiles of programs that a command started.
    fn written(&self, _: &SharedFile, _: Option<&Problem>) {}
    /// A program that a command started is not recorded.
    fn passed_over(&self, _program: &Path, _: Pid, _: &Problem) {}
    /// The lookup of symbols begins, for the stacks of this many cells.
    fn symbolizing(&self, stacks: usize);
    /// The lookup of symbols has ended.
    fn symbolized(&self);
    /// Whether [`Progress::so_far`] is to be called.
    fn looks_on(&self) -> bool {
        false
    }
    /// The profile recorded so far. Called ten times a second, less often if a profile takes long to assemble.
    fn so_far(&self, _: Profile) {}
}

/// Identity of a file: its device and inode.
type Identity = (u64, u64);

fn identity(file: std::io::Result<std::fs::Metadata>) -> Option<Identity> {
    let file = file.ok()?;
    Some((file.dev(), file.ino()))
}

/// The program that is recorded, as a file.
struct Program<'a> {
    image: &'a GoImage,
    target: &'a Target<'a>,
}

/// Starts a program or attaches to one, records it and writes the profile.
///
/// # Errors
/// If the program is not started, or not attached to. Once it runs, it runs to its end, recorded or not.
pub fn record(options: &Options, progress: &dyn Progress) -> Result<Outcome, RecordError> {
    let began = Moment::now();
    let signals = Signals::block()?;
    record_as(options, StopSource::Signals(&signals), &signals.mask_before, progress, began)
}

/// Like [`record`], but ends when `finish` is set, whatever signals come. A program that it started is then ended.
/// `mask` is the signal mask of a started program.
///
/// # Errors
/// See [`record`].
pub fn watch(
    options: &Options,
    finish: &AtomicBool,
    mask: &SigSet,
    progress: &dyn Progress,
) -> Result<Outcome, RecordError> {
    record_as(options, StopSource::Flag(finish), mask, progress, Moment::now())
}

fn record_as(
    options: &Options,
    stop: StopSource<'_>,
    mask: &SigSet,
    progress: &dyn Progress,
    began: Moment,
) -> Result<Outcome, RecordError> {
    inherited_signals::take_over();
    match &options.subject {
        Subject::Command(command) => record_command(options, command, (stop, mask), progress, began),
        &Subject::Process(pid) => {
            let recorded = record_process(options, pid, stop, progress);
            if matches!(recorded, Err(RecordError::Join(_, Problem::Proc(_)))) {
                return recorded;
            }
            // If the process has ended, that is the cause of any failure, except of the profile's file.
            recorded.map_err(|error| match status::check(pid) {
                _ if matches!(error, RecordError::Output(..)) => error,
                Err(unfit @ (Unfit::None | Unfit::Zombie | Unfit::Ending)) => RecordError::Unfit(pid, unfit),
                _ => error,
            })
        }
    }
}

fn record_command(
    options: &Options,
    command: &[OsString],
    (stop, mask): (StopSource<'_>, &SigSet),
    progress: &dyn Progress,
    began: Moment,
) -> Result<Outcome, RecordError> {
    let path = find_program(&command[0])?;
    let unrecorded = |problem: Problem| {
        let waiting = match launched::untouched(options, &path, command, mask) {
            Err(RecordError::Launch(LaunchError::System(Errno::EAGAIN))) if options.streams.is_none() => {
                progress.not_recorded(&problem);
                return Err(exec_in_place(&path, command, mask).into());
            }
            waiting => waiting?,
        };
        if options.follow && matches!(problem, Problem::Target(_) | Problem::Unreadable(_) | Problem::GoCommand) {
            return follow(options, waiting, stop, progress, problem);
        }
        let pid = waiting.pid;
        waiting.go()?;
        Ok(Outcome::unrecorded(stop.wait_for_end(pid)?, problem))
    };
    match proc_mount::check() {
        Err(error) if options.require => return Err(RecordError::Required(path.display().to_string(), error.into())),
        Err(error) => return unrecorded(error.into()),
        Ok(()) => {}
    }
    match file_privileges::check(&path) {
        Err(error) if options.require => return Err(RecordError::Required(path.display().to_string(), error.into())),
        Err(error) => {
            let problem = Problem::from(error);
            progress.not_recorded(&problem);
            return unrecorded(problem);
        }
        Ok(()) => {}
    }
    let image = match GoImage::command(&path, command) {
        Err(RecordError::Unreadable(_, error)) if !options.require => return unrecorded(Problem::Unreadable(error)),
        image => image?,
    };
    let target = match image.parsed() {
        Err(error) if !options.require => return unrecorded(Problem::Target(error)),
        target => target.map_err(|error| RecordError::Target(image.shown(), error))?,
    };
    if options.follow && !options.require && is_go_command(&target) {
        return unrecorded(Problem::GoCommand);
    }
    let program = Program { image: &image, target: &target };
    // Its process is not known yet.
    let parts = NameParts::of(&program.image.program, Pid::this());
    let output = open(options, &parts)?;
    let renamed = |output: Option<Output>, pid: Pid| {
        output.zip(options.output.as_ref()).map(|(output, name)| {
            let parts = NameParts { pid, ..parts.clone() };
            output.moved_to(&name.path(&parts, Path::is_dir))
        })
    };
    if options.start_after.is_some() {
        let waiting = launched::untouched(options, &path, command, mask)?;
        let pid = waiting.pid;
        waiting.go()?;
        let tie = Tie::Child(end::descriptor(pid));
        return Session::new(options, &program, (pid, tie), renamed(output, pid)).record(None, stop, progress);
    }
    let (pid, watched) = match start(options, &program, command, mask, began) {
        Ok(started) => started,
        Err(error) => {
            output.into_iter().for_each(Output::discard);
            return match error {
                NotStarted::Record(error) => Err(error),
                NotStarted::Launch(error) => Err(error.into()),
                NotStarted::NoRoom(error) if options.require => Err(RecordError::Required(image.shown(), error.into())),
                // The caller has a screen to show the problem on.
                NotStarted::NoRoom(error) if options.streams.is_some() => unrecorded(error.into()),
                NotStarted::NoRoom(error) => {
                    progress.not_recorded(&error.into());
                    Err(exec_in_place(&path, command, mask).into())
                }
            };
        }
    };
    let output = renamed(output, pid);
    match watched {
        Ok(watched) => {
            let attached = Attached { engine: watched, ran_already: false };
            let session = Session::new(options, &program, (pid, Tie::Child(end::descriptor(pid))), output);
            match stop {
                StopSource::Signals(signals) if attached.engine.engine.gate().is_some_and(|gate| gate.is_open()) => {
                    record_with_children(session, attached, signals, progress)
                }
                _ => session.record(Some(attached), stop, progress),
            }
        }
        Err(NotRecorded { problem, ended }) => {
            output.into_iter().for_each(Output::discard);
            let status = match ended {
                Some(status) => status,
                None => stop.wait_for_end(pid)?,
            };
            Ok(Outcome::unrecorded(status, problem))
        }
    }
}

/// Threads that a recording runs at the same time, beside the main thread: ticker, pump, tracer.
const THREADS: usize = 3;

fn record_process(
    options: &Options,
    pid: Pid,
    stop: StopSource<'_>,
    progress: &dyn Progress,
) -> Result<Outcome, RecordError> {
    proc_mount::check().map_err(|error| RecordError::Join(pid, error.into()))?;
    own_threads::check_room(THREADS).map_err(|error| RecordError::Join(pid, error.into()))?;
    let image = GoImage::process(pid, stop, |program| progress.waiting(pid, program))?;
    let image = image.ok_or(RecordError::NothingLoaded(pid))?;
    let target = image.target()?;
    let program = Program { image: &image, target: &target };
    let output = open(options, &NameParts::of(&program.image.program, pid))?;
    let _left_in_any_case = LeavesOnPanic(pid);
    let session = |output| Session::new(options, &program, (pid, Tie::Joined(end::descriptor(pid))), output);
    if options.start_after.is_some() {
        return session(output).record(None, stop, progress);
    }
    match join(options, &program, pid) {
        Ok(engine) => session(output).record(Some(Attached { engine, ran_already: true }), stop, progress),
        Err(problem) => {
            output.into_iter().for_each(Output::discard);
            Err(RecordError::Join(pid, problem))
        }
    }
}

fn open(options: &Options, parts: &NameParts) -> Result<Option<Output>, RecordError> {
    let Some(name) = &options.output else { return Ok(None) };
    let path = name.path(parts, Path::is_dir);
    Output::open(&path).map(Some).map_err(|error| RecordError::Output(path, error))
}

/// Returns the facts of a recording that engines need.
fn subject<'a>(options: &Options, program: &Program<'a>) -> EngineSubject<'a> {
    let image = program.image;
    EngineSubject {
        target: program.target,
        file: &image.file,
        program: &image.program,
        library: image.go_library.as_ref().map(|library| library.path.as_path()),
        awaited: image.awaited,
        settings: Settings {
            timing: options.timing,
            max_overhead: options.max_overhead,
            stack_depth: options.stack_depth,
            max_memory: options.max_memory,
            slow: options.slow,
            frequency: options.frequency,
            waits: options.waits,
            follow: options.follow
                && !options.require
                && options.start_after.is_none()
                && matches!(options.subject, Subject::Command(_)),
        },
    }
}

/// Converts the error of an engine that could not begin into the reason why there is no recording.
fn not_begun(kind: EngineKind, error: EngineError) -> Problem {
    match error {
        EngineError::Threads(error) => Problem::Threads(error),
        error => Problem::Engine(kind, error),
    }
}
