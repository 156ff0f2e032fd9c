//! A recording from the program's start to the finished file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cgoprof_hook::layout::CellRef;
use cgoprof_profile::{Profile, Recording};
use cgoprof_symbols::Avma;
use memmap2::Mmap;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::assemble::{Clock, assemble};
use crate::assemble_samples::assemble_samples;
use crate::clock::{Moment, Rate};
use crate::output::Output;
use crate::perf::{Frequency, PerfError, Session};
use crate::process::launch::{LaunchError, find_program, launch};
use crate::sampling::{Sampler, Samples, Slow};
use crate::symbolize::{Symbolizer, tell_apart};
use crate::target::{Plan, Target, TargetError};
use crate::ticker::Ticker;
use crate::trampoline::calibrate::ticks;
use crate::trampoline::tables::Snapshot;
use crate::trampoline::{Calibration, InjectError, Injected, RemoteError, Settings, Tables, Timing, calibrate, inject};
use crate::unwind::Unwinder;

/// What to record and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Program and arguments.
    pub command: Vec<OsString>,
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

/// How a recording went.
#[derive(Debug)]
pub struct Outcome {
    /// The program's exit status, 128 + n for a signal.
    pub status: u8,
    /// The profile, if one was recorded.
    pub profile: Option<Profile>,
    /// Why none was recorded, or could not be written.
    pub problem: Option<Problem>,
}

/// What kept a recording from being made; the program ran all the same.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// ptrace is not allowed.
    #[error(
        "ptrace is not permitted here ({0}); allow it (container: --cap-add=SYS_PTRACE; seccomp: allow ptrace), or run as root"
    )]
    Untraced(Errno),
    /// The code is not as known.
    #[error("its Go runtime is not known to cgoprof: {0}; please report it with the output of `cgoprof inspect`")]
    Plan(#[from] crate::target::PlanError),
    /// The hooks could not be put in.
    #[error("the hooks could not be put in: {0}")]
    Inject(#[from] crate::trampoline::InjectError),
    /// The file could not be written.
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, std::io::Error),
}

/// Why the program was not even started.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It can't be.
    #[error(transparent)]
    Launch(#[from] LaunchError),
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

/// What a recording tells while it goes on.
pub trait Progress {
    /// Symbols of so many crossings' stacks are looked up.
    fn symbolizing(&self, stacks: usize);
    /// Done with that.
    fn symbolized(&self);
}

/// Starts a program, records it and writes the profile.
///
/// # Errors
/// If the program is not started. Once it runs, it runs to its end, recorded or not.
pub fn record(options: &Options, progress: &dyn Progress) -> Result<Outcome, RecordError> {
    let began = Moment::now();
    let program = find_program(&options.command[0])?;
    let shown = program.display().to_string();
    let file = File::open(&program).map_err(|error| RecordError::Unreadable(shown.clone(), error))?;
    // SAFETY: the kernel refuses writes to a program that runs; one that is cut off before that is not a target.
    let data = unsafe { Mmap::map(&file) }.map_err(|error| RecordError::Unreadable(shown.clone(), error))?;
    let target = Target::parse(&data).map_err(|error| RecordError::Target(shown, error))?;
    let plan = Plan::new(&target);
    let output = Output::open(&options.output).map_err(|error| RecordError::Output(options.output.clone(), error))?;

    let signals = Signals::block()?;
    let launched = match launch(&program, &options.command, &signals.mask_before) {
        Ok(launched) => launched,
        Err(error) => {
            output.discard();
            return Err(error.into());
        }
    };
    let pid = launched.pid;
    // Before it runs: its threads inherit it.
    let perf = Session::open(pid, Frequency(options.frequency));
    let slow = if perf.is_ok() {
        options.slow.as_nanos() as f64 * Rate::between(began, Moment::now()).ticks_per_ns
    } else {
        f64::INFINITY
    };
    let settings = Settings { max_frames: options.stack_depth, timing: options.timing, slow: slow as u64 };
    let hooked = match (launched.untraced, plan) {
        (Some(error), _) => Err(Problem::Untraced(error)),
        (None, Err(error)) => {
            let _ = nix::sys::ptrace::detach(pid, None);
            Err(error.into())
        }
        (None, Ok(plan)) => inject(pid, &target, &plan, settings).map_err(Problem::from),
    };
    let injected = match hooked {
        Ok(injected) => injected,
        Err(problem) => {
            output.discard();
            drop(perf);
            let status = match problem {
                Problem::Inject(InjectError::Remote(RemoteError::Ended(status))) => status,
                _ => signals.wait_for_end(pid)?,
            };
            return Ok(Outcome { status, profile: None, problem: Some(problem) });
        }
    };
    let session = Recorder::new(options, &program, &target, pid, injected, perf, output)?;
    session.run(&signals, progress)
}

/// The signals that a launcher must handle, as a file.
struct Signals {
    file: SignalFd,
    /// What was blocked before.
    mask_before: SigSet,
}

impl Signals {
    fn block() -> nix::Result<Signals> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        let mask_before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let file = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { file, mask_before })
    }

    /// Waits, then hands on what was meant for the program. Returns the signal that asks us to finish, if one does.
    ///
    /// The terminal sends its signals to the program itself; another process sends them only to us.
    fn wait_and_forward(&self, pid: Pid, timeout: Duration) -> Option<Signal> {
        use std::os::fd::AsFd as _;
        let mut ready = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
        let mut finish = None;
        while let Ok(Some(info)) = self.file.read_signal() {
            let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else { continue };
            if signal == Signal::SIGCHLD {
                continue;
            }
            if info.ssi_code <= 0 {
                let _ = kill(pid, signal);
            }
            if matches!(signal, Signal::SIGTERM | Signal::SIGHUP) {
                finish = Some(signal);
            }
        }
        finish
    }

    fn wait_for_end(&self, pid: Pid) -> nix::Result<u8> {
        loop {
            if let Some(status) = ended(pid)? {
                return Ok(status);
            }
            self.wait_and_forward(pid, Duration::from_secs(1));
        }
    }
}

/// The exit status of a program that has ended.
fn ended(pid: Pid) -> nix::Result<Option<u8>> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => Ok(Some(code as u8)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Ok(Some(128 + signal as i32 as u8)),
        Ok(_) => Ok(None),
        Err(Errno::EINTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How long after SIGTERM the program may take to end before the profile is finished without it.
const GRACE: Duration = Duration::from_secs(2);
/// How long the recorder waits for signals before it looks around again.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the growing file gets a member.
const MEMBER: Duration = Duration::from_secs(2);

/// A program that runs with hooks.
struct Recorder<'a, 'data> {
    options: &'a Options,
    pid: Pid,
    tables: Arc<Tables>,
    ticker: Ticker,
    sampler: Option<Sampler>,
    symbolizer: Symbolizer<'a, 'data>,
    profile: Profile,
    /// What is known from the start.
    notes: Vec<String>,
    /// None if the hooks could not be measured: then nothing is taken off.
    calibration: Option<Calibration>,
    started: Instant,
    started_ticks: u64,
    /// When it began, on both clocks.
    begun: Moment,
    output: Option<Output>,
    write_error: Option<std::io::Error>,
}

impl<'a, 'data> Recorder<'a, 'data> {
    fn new(
        options: &'a Options,
        program: &Path,
        target: &'a Target<'data>,
        pid: Pid,
        injected: Injected,
        perf: Result<Session, PerfError>,
        output: Output,
    ) -> nix::Result<Self> {
        let (started, started_ticks) = (Instant::now(), ticks());
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let tables = Arc::new(injected.tables);
        let bias = tables.bias();
        let ticker = Ticker::start(Arc::clone(&tables), pid, options.timing)?;
        let calibration = calibrate();
        let mut profile = Profile {
            target: target_facts(options, program, target, pid),
            recording: Recording {
                engine: "trampoline".into(),
                timing: options.timing.name().into(),
                start_unix_ns: since_epoch.as_nanos() as u64,
                ..Recording::default()
            },
            ..Profile::default()
        };
        let mut notes = Vec::new();
        let sampler = match perf {
            Err(error) => {
                notes.push(format!("{error}: no CPU and blocked times; to allow it: {}", error.way_out()));
                None
            }
            Ok(session) => {
                profile.recording.off_cpu = options.timing != Timing::None;
                profile.recording.sample_period_ns = Frequency(options.frequency).period();
                if !session.sees_kernel && options.frequency > 0 {
                    notes.push(
                        "samples leave out what happens in the kernel: seeing that takes root, or \
                         `sysctl kernel.perf_event_paranoid=1`"
                            .into(),
                    );
                }
                let mut unwinder = Unwinder::new(target.go_text(bias), injected.hooks);
                injected.mappings.iter().for_each(|mapping| unwinder.add_mapping(mapping));
                Some(Sampler::start(session, unwinder, ticker.events()))
            }
        };
        let mut symbolizer = Symbolizer::new(target, bias);
        symbolizer.set_mappings(&injected.mappings);
        Ok(Recorder {
            options,
            pid,
            symbolizer,
            sampler,
            notes,
            tables,
            ticker,
            profile,
            calibration,
            started,
            started_ticks,
            begun: Moment::now(),
            output: Some(output),
            write_error: None,
        })
    }

    fn run(mut self, signals: &Signals, progress: &dyn Progress) -> Result<Outcome, RecordError> {
        let mut status = None;
        let mut asked_to_finish: Option<(Signal, Instant)> = None;
        let mut last_member = Instant::now();
        loop {
            if let (Some(signal), None) = (signals.wait_and_forward(self.pid, PAUSE), asked_to_finish) {
                asked_to_finish = Some((signal, Instant::now()));
            }
            status = status.or(ended(self.pid)?);
            let over = self.options.duration.is_some_and(|duration| self.started.elapsed() >= duration)
                || asked_to_finish.is_some_and(|(_, since)| since.elapsed() >= GRACE);
            if status.is_some() || over {
                break;
            }
            self.tables.release_ended(self.pid);
            if last_member.elapsed() >= MEMBER {
                self.append();
                last_member = Instant::now();
            }
        }
        self.finish(progress);
        let problem = self.write_error.take().map(|error| Problem::Write(self.options.output.clone(), error));
        let status = match (status, asked_to_finish) {
            (Some(status), _) => status,
            (None, Some((signal, _))) => 128 + signal as i32 as u8,
            (None, None) => signals.wait_for_end(self.pid)?,
        };
        let Recorder { profile, .. } = self;
        Ok(Outcome { status, profile: Some(profile), problem })
    }

    fn ticks_per_ns(&self) -> f64 {
        let nanos = self.started.elapsed().as_nanos().max(1) as f64;
        (ticks() - self.started_ticks) as f64 / nanos
    }

    fn append(&mut self) {
        self.update();
        if let Some(output) = &mut self.output
            && let Err(error) = output.append(&self.profile)
        {
            self.write_error = Some(error);
            self.output = None;
        }
    }

    /// Brings the profile up to what the tables hold now.
    fn update(&mut self) {
        let samples = self.sampler.as_ref().map(Sampler::samples);
        let end = ticks();
        let snapshot = self.tables.snapshot();
        self.put_together(snapshot, samples, end);
    }

    /// Puts together what the tables and samples held at a time.
    fn put_together(&mut self, mut snapshot: Snapshot, samples: Option<Samples>, end: u64) {
        if let Some(sampler) = &self.sampler {
            self.symbolizer.set_mappings(&sampler.take_mappings());
        }
        for mappings in self.ticker.take_mappings() {
            self.symbolizer.set_mappings(&mappings);
        }
        let calibration = self.calibration.unwrap_or_default();
        let measured = self.options.timing != Timing::None;
        let clock = Clock { measured, ticks_per_ns: self.ticks_per_ns(), calibration, end };
        let recording = &mut self.profile.recording;
        recording.duration_ns = self.started.elapsed().as_nanos() as u64;
        let per_crossing = match self.options.timing {
            Timing::Every => calibration.timed_crossing,
            Timing::Auto | Timing::None => {
                let calls: u64 = snapshot.cells.iter().map(|cell| cell.shown.calls).sum();
                let timed: u64 = snapshot.cells.iter().map(|cell| cell.shown.timed).sum();
                let share = timed as f64 / calls.max(1) as f64;
                calibration.untimed_crossing * (1.0 - share) + calibration.timed_crossing * share
            }
        };
        recording.hook_ns_per_crossing = per_crossing / clock.ticks_per_ns;
        recording.clock_read_ns = calibration.clock_read / clock.ticks_per_ns;
        recording.folded_stacks = snapshot.folded;
        recording.foreign_callbacks = snapshot.foreign_callbacks;
        recording.notes = notes(&snapshot, self.options);
        recording.notes.extend_from_slice(&self.notes);
        if self.calibration.is_none() {
            recording.notes.push("the hooks' own time could not be measured: it is in the times".into());
        }
        let tables = self.tables.address();
        let rate = Rate::between(self.begun, Moment::now());
        let mut off = HashMap::new();
        if let (Some(sampler), Some(samples)) = (&self.sampler, &samples) {
            off = off_cpu(sampler, samples, &mut snapshot, tables, rate, end);
            if samples.lost > 0 {
                self.profile.recording.notes.push(format!(
                    "{} perf records found no room: there are fewer samples, and blocked times may be off",
                    samples.lost
                ));
            }
        }
        self.profile.recording.lost_events = snapshot.lost_events;
        let crossings = assemble(&mut self.profile, &snapshot, &mut self.symbolizer, clock, &off);
        if let Some(samples) = samples {
            assemble_samples(&mut self.profile, &samples, &crossings, &mut self.symbolizer, tables);
        }
    }

    fn finish(&mut self, progress: &dyn Progress) {
        // A program that goes on: what returns after this is not in the snapshot, so its events may come or not.
        let (end, snapshot) = (ticks(), self.tables.snapshot());
        self.ticker.stop();
        let samples = self.sampler.as_mut().map(|sampler| {
            sampler.stop();
            sampler.samples()
        });
        self.tables.relax();
        progress.symbolizing(snapshot.cells.len());
        self.put_together(snapshot, samples, end);
        tell_apart(&mut self.profile);
        progress.symbolized();
        if let Some(output) = self.output.take()
            && let Err(error) = output.finish(&self.profile)
        {
            self.write_error = Some(error);
        }
    }
}

/// The off-CPU times of the slow crossings of each cell, those still in C included; of these tells when their threads
/// ended.
fn off_cpu(
    sampler: &Sampler,
    samples: &Samples,
    snapshot: &mut Snapshot,
    tables: Avma,
    rate: Rate,
    end: u64,
) -> HashMap<CellRef, Slow> {
    let cell = |address: u64| CellRef((address.wrapping_sub(tables.0) / 64) as u32);
    let mut off: HashMap<CellRef, Slow> = samples.slow.iter().map(|(&address, &slow)| (cell(address), slow)).collect();
    for entry in &mut snapshot.in_flight {
        let (found, ended) = sampler.off(entry.tid, rate.monotonic(entry.called), rate.monotonic(end));
        entry.ended = ended.map(|ended| rate.ticks(ended));
        let sum = off.entry(entry.cell).or_default();
        sum.blocked += found.blocked as f64;
        sum.preempted += found.preempted as f64;
    }
    off
}

fn target_facts(options: &Options, program: &Path, target: &Target<'_>, pid: Pid) -> cgoprof_profile::Target {
    let absolute = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    cgoprof_profile::Target {
        path: absolute.to_string_lossy().into_owned(),
        args: options.command[1..].iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        pid: pid.as_raw() as u32,
        go_version: target.build.version_text.clone(),
        build_id: target.binary.build_id().unwrap_or_default(),
        pie: target.binary.is_position_independent(),
        stripped: !target.binary.has_symbol_table(),
        race: target.build.setting("-race") == Some("true"),
        cgo: target.build.setting("CGO_ENABLED") != Some("0"),
    }
}

fn notes(snapshot: &Snapshot, options: &Options) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |count: u64, text: String| {
        if count > 0 {
            notes.push(text);
        }
    };
    let in_flight = snapshot.in_flight.len() as u64;
    note(in_flight, format!("{in_flight} crossings were still in C at the end: their time so far is included"));
    note(snapshot.folded, format!("{} crossings are counted without their stack: the table was full", snapshot.folded));
    let overflow: u64 = snapshot.overflow.iter().map(|(_, calls)| calls).sum();
    note(
        overflow,
        format!("{overflow} crossings of threads beyond the table's size are counted without stack or time"),
    );
    let lost = snapshot.unattributed;
    note(lost, format!("{lost} crossings could be attributed to no C function"));
    let direct = snapshot.unattributed_direct;
    note(direct, format!("{direct} direct crossings were made without a goroutine: not in the tables"));
    note(snapshot.lost_events, format!("the blocked times of {} slow crossings are not known", snapshot.lost_events));
    note(u64::from(options.timing == Timing::None), "times were not measured (--timing none)".into());
    notes
}
