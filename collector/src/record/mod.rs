//! A recording from the program's start to the finished file.

mod engine;
mod recorder;
mod signals;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cgoprof_profile::Profile;
use memmap2::Mmap;
use nix::errno::Errno;
use nix::unistd::Pid;

use engine::{Engine, Prepared, Whom};
pub use engine::{EngineError, EngineKind};
use recorder::{Recorder, Watched};
use signals::Signals;

use crate::clock::{Moment, Rate};
use crate::output::Output;
use crate::perf::{Frequency, PerfError, Session, Wanted};
use crate::process::auxv::load_bias;
use crate::process::launch::{LaunchError, Waiting, find_program, launch};
use crate::process::maps::{self, Mapping};
use crate::process::remote::Stopped;
use crate::process::status::{self, Unfit};
use crate::sampling::{Sampler, Source};
use crate::target::{Image, Plan, Target, TargetError};
use crate::ticker::Ticker;
use crate::trampoline::{self, InjectError, Joined, Placed, RemoteError, Settings, Timing, calibrate, inject};
use crate::unwind::{Border, Unwinder};

/// What to record and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub subject: Subject,
    /// What counts crossings; none for the first engine that works.
    pub engine: Option<EngineKind>,
    /// The profile's file.
    pub output: PathBuf,
    /// How often crossings are timed.
    pub timing: Timing,
    /// Frames kept of a stack.
    pub stack_depth: usize,
    /// C time from which on a crossing's blocked time is looked up.
    pub slow: Duration,
    /// Samples a second of each thread's processor time; 0 for none.
    pub frequency: u32,
    /// When to finish the profile, if not at the program's end.
    pub duration: Option<Duration>,
}

/// Which program is recorded.
#[derive(Clone, Debug)]
pub enum Subject {
    /// One that is started: the program and its arguments.
    Command(Vec<OsString>),
    /// One that runs.
    Process(Pid),
}

/// How a recording went.
#[derive(Debug)]
pub struct Outcome {
    /// The program's exit status, 128 + n for a signal; 0 for one that was running before.
    pub status: u8,
    /// The profile, if one was recorded.
    pub profile: Option<Profile>,
    /// Why none was recorded, or could not be written.
    pub problem: Option<Problem>,
}

/// What kept a recording from being made; the program ran all the same.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The engine that was asked for.
    #[error("engine {0}: {1}")]
    Engine(EngineKind, EngineError),
    /// All of them.
    #[error("no engine works here: {}", list(.0))]
    NoEngine(Vec<(EngineKind, EngineError)>),
    /// It ended too early.
    #[error("it had ended before it could be looked at")]
    Ended,
    /// The file could not be written.
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, std::io::Error),
}

fn list(refused: &[(EngineKind, EngineError)]) -> String {
    refused.iter().map(|(engine, error)| format!("{engine}: {error}")).collect::<Vec<_>>().join("; ")
}

/// Why the program was not even started, or joined.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It can't be.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// There is no such process, or it is not ours.
    #[error("cannot look at process {0}: {1}{way_out}", way_out = whose(.1))]
    Process(Pid, std::io::Error),
    /// It is nothing that can be recorded.
    #[error("cannot record process {0}: {1}")]
    Unfit(Pid, Unfit),
    /// No engine works for a process that runs.
    #[error("cannot record process {0}: {1}")]
    Join(Pid, Problem),
    /// It makes no crossings.
    #[error("cannot record {0}: {1}")]
    Target(String, TargetError),
    /// It can't be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(String, std::io::Error),
    /// The profile could not be written.
    #[error("cannot write {0}: {1}; choose another file with -o")]
    Output(PathBuf, std::io::Error),
    /// The system refused something.
    #[error("cannot watch the program: {0}")]
    System(#[from] Errno),
}

/// What to do about a process that can't be looked at.
fn whose(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::PermissionDenied { "; run as its user, or as root" } else { "" }
}

/// What a recording tells while it goes on.
pub trait Progress {
    /// A program that runs is being recorded from now on.
    fn joined(&self, pid: Pid, engine: EngineKind);
    /// Symbols of so many crossings' stacks are looked up.
    fn symbolizing(&self, stacks: usize);
    /// Done with that.
    fn symbolized(&self);
}

/// The program that is recorded, as a file.
struct Program<'a> {
    path: &'a Path,
    arguments: Vec<String>,
    file: &'a File,
    target: &'a Target<'a>,
}

/// Starts a program or joins one, records it and writes the profile.
///
/// # Errors
/// If the program is not started, or not joined. Once it runs, it runs to its end, recorded or not.
pub fn record(options: &Options, progress: &dyn Progress) -> Result<Outcome, RecordError> {
    let began = Moment::now();
    let (path, opened, arguments) = match &options.subject {
        Subject::Command(command) => {
            let path = find_program(&command[0])?;
            let opened = path.clone();
            (path, opened, command[1..].iter().map(|text| text.to_string_lossy().into_owned()).collect())
        }
        &Subject::Process(pid) => {
            let opened = PathBuf::from(format!("/proc/{pid}/exe"));
            let lost = |error| RecordError::Process(pid, error);
            status::check(pid).map_err(|unfit| RecordError::Unfit(pid, unfit))?;
            (opened.read_link().map_err(lost)?, opened, command_line(pid).map_err(lost)?)
        }
    };
    let shown = path.display().to_string();
    let file = File::open(&opened).map_err(|error| RecordError::Unreadable(shown.clone(), error))?;
    // SAFETY: the kernel refuses writes to a program that runs; one that is cut off before that is not a target.
    let data = unsafe { Mmap::map(&file) }.map_err(|error| RecordError::Unreadable(shown.clone(), error))?;
    let target = Target::parse(&data).map_err(|error| RecordError::Target(shown, error))?;
    let program = Program { path: &path, arguments, file: &file, target: &target };
    let output = Output::open(&options.output).map_err(|error| RecordError::Output(options.output.clone(), error))?;
    let signals = Signals::block()?;

    let (pid, watched) = match &options.subject {
        Subject::Command(command) => match start(options, &program, command, &signals, began) {
            Ok((pid, watched)) => (pid, watched),
            Err(error) => {
                output.discard();
                return Err(error);
            }
        },
        &Subject::Process(pid) => match join(options, &program, pid) {
            Ok(watched) => (pid, Ok(watched)),
            Err(problem) => {
                output.discard();
                return Err(RecordError::Join(pid, problem));
            }
        },
    };
    if let (Subject::Process(pid), Ok(watched)) = (&options.subject, &watched) {
        progress.joined(*pid, watched.engine.kind());
    }
    match watched {
        Ok(watched) => Recorder::new(options, &program, pid, watched, output).run(&signals, progress),
        Err(NotWatched { problem, ended }) => {
            output.discard();
            let status = match ended {
                Some(status) => status,
                None => signals.wait_for_end(pid)?,
            };
            Ok(Outcome { status, profile: None, problem: Some(problem) })
        }
    }
}

/// A program that has been started and is not recorded.
struct NotWatched {
    problem: Problem,
    /// Its status, if it has ended.
    ended: Option<u8>,
}

impl From<Problem> for NotWatched {
    fn from(problem: Problem) -> Self {
        NotWatched { problem, ended: None }
    }
}

/// The engines that were tried and can't be used.
struct Refused(Vec<(EngineKind, EngineError)>);

impl Refused {
    fn add(&mut self, engine: EngineKind, error: impl Into<EngineError>) {
        self.0.push((engine, error.into()));
    }

    fn problem(mut self) -> Problem {
        if self.0.len() == 1 {
            let (engine, error) = self.0.remove(0);
            return Problem::Engine(engine, error);
        }
        Problem::NoEngine(self.0)
    }

    /// What is to be said when another engine took their place.
    fn notes(&self, taken: EngineKind) -> Vec<String> {
        self.0
            .iter()
            .map(|(engine, error)| format!("recorded with engine {taken}, because {engine}: {error}"))
            .collect()
    }
}

/// Starts the program with the first engine that works.
fn start(
    options: &Options,
    program: &Program<'_>,
    command: &[OsString],
    signals: &Signals,
    began: Moment,
) -> Result<(Pid, Result<Watched, NotWatched>), RecordError> {
    let mut refused = Refused(Vec::new());
    let mut plan = None;
    if wanted(options, EngineKind::Trampoline) {
        match Plan::new(program.target) {
            Ok(found) => plan = Some(found),
            Err(error) => refused.add(EngineKind::Trampoline, error),
        }
    }
    let waiting = launch(program.path, command, &signals.mask_before, plan.is_some())?;
    let pid = waiting.pid;
    let plan = match (plan, waiting.traced) {
        (Some(plan), Some(Ok(()))) => plan,
        (planned, traced) => {
            if let (Some(_), Some(Err(error))) = (planned, traced) {
                refused.add(EngineKind::Trampoline, EngineError::Untraced(error));
            }
            let prepared = prepare(options, program, Whom::BeforeExec(pid), &mut refused);
            return go(options, program, waiting, prepared, refused).map(|watched| (pid, watched));
        }
    };
    waiting.go()?;
    let watched = hook(options, program, &plan, pid, began, refused);
    Ok((pid, watched))
}

fn wanted(options: &Options, kind: EngineKind) -> bool {
    options.engine.is_none_or(|engine| engine == kind)
}

/// Opens the events of the first of the kernel's engines that works.
fn prepare(
    options: &Options,
    program: &Program<'_>,
    whom: Whom,
    refused: &mut Refused,
) -> Option<(EngineKind, Prepared)> {
    for kind in [EngineKind::Uprobe, EngineKind::Sample].into_iter().filter(|&kind| wanted(options, kind)) {
        match Prepared::new(kind, whom, program.target, program.file, options) {
            Ok(prepared) => return Some((kind, prepared)),
            Err(error) => refused.add(kind, error),
        }
    }
    None
}

/// Has the process become the program, and reads what the events of an engine tell.
fn go(
    options: &Options,
    program: &Program<'_>,
    waiting: Waiting,
    prepared: Option<(EngineKind, Prepared)>,
    refused: Refused,
) -> Result<Result<Watched, NotWatched>, RecordError> {
    let (pid, begun) = (waiting.pid, Moment::now());
    waiting.go()?;
    let Some((kind, mut prepared)) = prepared else { return Ok(Err(refused.problem().into())) };
    let Some(bias) = prepared.bias(pid, program.path, program.target) else { return Ok(Err(Problem::Ended.into())) };
    Ok(Ok(read(options, program, pid, prepared, bias, (begun, refused.notes(kind)))))
}

fn read(
    options: &Options,
    program: &Program<'_>,
    pid: Pid,
    prepared: Prepared,
    bias: u64,
    (begun, mut notes): (Moment, Vec<String>),
) -> Watched {
    let mappings = maps::read(pid).unwrap_or_default();
    if options.frequency > 0 && !prepared.sees_kernel() {
        notes.push(WITHOUT_KERNEL.into());
    }
    let (engine, sampler) = prepared.start(pid, program.target, bias, &mappings, options);
    Watched { engine, sampler: Some(sampler), bias, mappings, begun, pause: None, notes }
}

const WITHOUT_KERNEL: &str = "samples leave out what happens in the kernel: seeing that takes root, or \
                              `sysctl kernel.perf_event_paranoid=1`";

/// Puts hooks into a program that stands at its first instruction, or else watches it with another engine.
fn hook(
    options: &Options,
    program: &Program<'_>,
    plan: &Plan,
    pid: Pid,
    began: Moment,
    mut refused: Refused,
) -> Result<Watched, NotWatched> {
    // Before it runs: its threads inherit it.
    let wanted =
        Wanted { frequency: Frequency(options.frequency), kernel: true, only_samples: false, before_exec: false };
    let session = Session::new(pid, wanted, Vec::new()).and_then(|mut session| session.watch(pid).map(|()| session));
    let settings = settings(options, Rate::between(began, Moment::now()));
    let mut stopped = match Stopped::launched(pid) {
        Ok(stopped) => stopped,
        Err(error) => {
            refused.add(EngineKind::Trampoline, InjectError::from(error));
            drop(session);
            let prepared = prepare(options, program, Whom::Stopped(pid), &mut refused);
            let bias = load_bias(pid, program.target).ok_or(Problem::Ended);
            let begun = Moment::now();
            let _ = nix::sys::ptrace::detach(pid, None);
            let Some((kind, prepared)) = prepared else { return Err(refused.problem().into()) };
            return Ok(read(options, program, pid, prepared, bias?, (begun, refused.notes(kind))));
        }
    };
    let image = load_bias(pid, program.target).map(|bias| Image { target: program.target, bias });
    let placed = image.ok_or(InjectError::Auxv).and_then(|image| inject(&mut stopped, image, plan, settings));
    match placed {
        Ok(placed) => {
            let (mappings, begun) = (maps::read(pid).unwrap_or_default(), Moment::now());
            stopped.release();
            let mut notes = refused.notes(EngineKind::Trampoline);
            notes.extend(unseen_unlocks(plan));
            let watched = watch_hooks(options, program, pid, (placed, mappings), session, (begun, None, notes));
            watched.map_err(|error| Problem::Engine(EngineKind::Trampoline, error).into())
        }
        Err(InjectError::Remote(RemoteError::Ended(status))) => {
            refused.add(EngineKind::Trampoline, InjectError::Remote(RemoteError::Ended(status)));
            Err(NotWatched { problem: refused.problem(), ended: Some(status) })
        }
        Err(error) => {
            refused.add(EngineKind::Trampoline, error);
            drop(session);
            let prepared = prepare(options, program, Whom::Stopped(pid), &mut refused);
            let bias = load_bias(pid, program.target).ok_or(Problem::Ended);
            let begun = Moment::now();
            stopped.release();
            let Some((kind, prepared)) = prepared else { return Err(refused.problem().into()) };
            Ok(read(options, program, pid, prepared, bias?, (begun, refused.notes(kind))))
        }
    }
}

/// Reads what the hooks count and what perf tells beside them, if it may.
fn watch_hooks(
    options: &Options,
    program: &Program<'_>,
    pid: Pid,
    (injected, mappings): (Placed, Vec<Mapping>),
    session: Result<Session, PerfError>,
    (begun, pause, mut notes): (Moment, Option<Duration>, Vec<String>),
) -> Result<Watched, EngineError> {
    let tables = Arc::new(injected.tables);
    let (bias, address) = (tables.bias(), tables.address());
    let ticker =
        Ticker::start(Arc::clone(&tables), pid, options.timing).map_err(|error| InjectError::Tables(error.into()))?;
    let (events, looks) = (ticker.events(), ticker.looks());
    let engine = Engine::Trampoline { tables, ticker, calibration: calibrate() };
    let sampler = match session {
        Err(error) => {
            notes.push(format!("{error}: no CPU and blocked times; to allow it: {}", error.way_out()));
            None
        }
        Ok(session) => {
            if options.frequency > 0 && !session.sees_kernel() {
                notes.push(WITHOUT_KERNEL.into());
            }
            let border = Border::Hooks { code: injected.hooks, tables: address };
            let mut unwinder = Unwinder::new(program.target.go_text(bias), border);
            mappings.iter().for_each(|mapping| unwinder.add_mapping(mapping));
            let source = Source::Hooks { events, looks, tables: address };
            Some(Sampler::start(session, pid, unwinder, source, engine.timebase()))
        }
    };
    Ok(Watched { engine, sampler, bias, mappings, begun, pause, notes })
}

fn unseen_unlocks(plan: &Plan) -> Option<String> {
    let places = plan.unseen_unlocks;
    (places > 0).then(|| {
        format!(
            "{places} places of the program unlock goroutines from their threads unseen: locks may have been shorter"
        )
    })
}

/// Watches a program that runs with the first engine that can.
fn join(options: &Options, program: &Program<'_>, pid: Pid) -> Result<Watched, Problem> {
    let mut refused = Refused(Vec::new());
    let bias = load_bias(pid, program.target).ok_or(Problem::Ended)?;
    if wanted(options, EngineKind::Trampoline) {
        match join_with_hooks(options, program, pid, bias) {
            Ok(watched) => return Ok(watched),
            Err(error) => refused.add(EngineKind::Trampoline, error),
        }
    }
    let Some((kind, prepared)) = prepare(options, program, Whom::Running(pid), &mut refused) else {
        return Err(refused.problem());
    };
    Ok(read(options, program, pid, prepared, bias, (Moment::now(), refused.notes(kind))))
}

fn join_with_hooks(options: &Options, program: &Program<'_>, pid: Pid, bias: u64) -> Result<Watched, EngineError> {
    let plan = Plan::new(program.target)?;
    let began = Moment::now();
    engine::allow_many_files();
    let wanted =
        Wanted { frequency: Frequency(options.frequency), kernel: true, only_samples: false, before_exec: false };
    let session = Session::new(pid, wanted, Vec::new()).and_then(|mut session| session.watch_all().map(|()| session));
    std::thread::sleep(LEARNING);
    let settings = settings(options, Rate::between(began, Moment::now()));
    let image = Image { target: program.target, bias };
    let Joined { placed, mappings, pause, in_flight, since, cleaned } = trampoline::join(pid, image, &plan, settings)?;
    let mut notes = Vec::from_iter(unseen_unlocks(&plan));
    if cleaned {
        notes.push("what an earlier recorder had left in the program was removed first".into());
    }
    if in_flight > 0 {
        notes.push(format!("{in_flight} crossings had begun when the recorder came: they are not counted"));
    }
    watch_hooks(options, program, pid, (placed, mappings), session, (since, Some(pause), notes))
}

/// How long the rate of the clock is learned before it is needed.
const LEARNING: Duration = Duration::from_millis(5);

/// What the hooks are told.
fn settings(options: &Options, rate: Rate) -> Settings {
    let slow = options.slow.as_nanos() as f64 * rate.ticks_per_ns;
    Settings { max_frames: options.stack_depth, timing: options.timing, slow: slow as u64 }
}

/// The arguments of a process that runs.
fn command_line(pid: Pid) -> std::io::Result<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let words = bytes.strip_suffix(b"\0").unwrap_or(&bytes).split(|&byte| byte == 0).skip(1);
    Ok(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}
