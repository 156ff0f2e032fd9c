//! The engines of a recording: which are tried, what each is to the rest.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use cgoprof_profile::Scheduler;
use cgoprof_symbols::Svma;
use nix::errno::Errno;
use nix::sys::eventfd::EventFd;
use nix::unistd::Pid;

use super::Options;
use crate::arch;
use crate::clock::Timebase;
use crate::goruntime::{PlanError, ProbePlan, SamplePlan, Target};
use crate::loaded::LoadedGo;
use crate::perf::{Frequency, PerfError, Session, Wanted};
use crate::process::auxv::load_bias;
use crate::process::maps::Mapping;
use crate::process::memory;
use crate::process::own_threads::NoThread;
use crate::sample::{Counters, GoStacks};
use crate::sampling::{Sampler, Source};
use crate::snapshot::Seen;
use crate::snapshot::Snapshot;
use crate::ticker::Ticker;
use crate::trampoline::{Calibration, InjectError, JoinError, TableSet, Timing, UndoError, Undone, undo_own};
use crate::unwind::{Border, GoModule, Unwinder};
use crate::uprobe::{self, Chosen, Crossings, Landmarks, Probes, UprobeError};

/// What counts crossings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineKind {
    /// Hooks in the program.
    Trampoline,
    /// Breakpoints of the kernel.
    Uprobe,
    /// Samples alone.
    Sample,
}

impl EngineKind {
    /// All, the best first.
    pub const ALL: [EngineKind; 3] = [EngineKind::Trampoline, EngineKind::Uprobe, EngineKind::Sample];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Trampoline => "trampoline",
            EngineKind::Uprobe => "uprobe",
            EngineKind::Sample => "sample",
        }
    }
}

impl EngineKind {
    /// What it sees of the Go scheduler's doing.
    pub(super) fn sees(self) -> Scheduler {
        let hooks = self == EngineKind::Trampoline;
        Scheduler { migrations: self != EngineKind::Sample, ps: hooks, callbacks: hooks, locks: hooks, threads: false }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Why an engine can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// ptrace is not allowed.
    #[error(
        "ptrace is not permitted here ({0}); allow it (container: --cap-add=SYS_PTRACE; seccomp: allow ptrace), or run as root"
    )]
    Untraced(Errno),
    /// The program that runs could not be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The code is not as known.
    #[error("its code is not as expected: {0}; please report it with the output of `cgoprof inspect`")]
    Plan(#[from] PlanError),
    /// The hooks could not be put in.
    #[error("the hooks could not be put in: {0}")]
    Inject(#[from] InjectError),
    /// The probes could not be set.
    #[error(transparent)]
    Uprobe(#[from] UprobeError),
    /// No perf events.
    #[error("{0}; to allow it: {way_out}", way_out = .0.way_out())]
    Perf(#[from] PerfError),
    /// Hooks are in it.
    #[error("{0} is not in memory as in the file: is another recorder at work on it?")]
    Changed(String),
    /// Nothing may read it.
    #[error("its memory can't be read; run as root, with CAP_SYS_PTRACE in a container")]
    Unreadable,
    /// We need some of our own.
    #[error(transparent)]
    Threads(#[from] NoThread),
    /// Samples, or no samples.
    #[error("it is nothing but samples: leave out --no-samples")]
    NoSamples,
}

/// An engine at work.
pub(super) enum Engine {
    Trampoline {
        tables: TableSet,
        ticker: Ticker,
        /// None if the hooks could not be measured: then nothing is taken off.
        calibration: Option<Calibration>,
    },
    Uprobe(Probes),
    Sample,
}

impl Engine {
    pub(super) fn kind(&self) -> EngineKind {
        match self {
            Engine::Trampoline { .. } => EngineKind::Trampoline,
            Engine::Uprobe(_) => EngineKind::Uprobe,
            Engine::Sample => EngineKind::Sample,
        }
    }

    pub(super) fn timebase(&self) -> Timebase {
        match self {
            Engine::Trampoline { .. } => Timebase::Counter,
            Engine::Uprobe(_) | Engine::Sample => Timebase::Kernel,
        }
    }

    /// What has been counted so far.
    pub(super) fn snapshot(&self, sampler: Option<&Sampler>) -> Snapshot {
        match self {
            Engine::Trampoline { tables, .. } => tables.snapshot(),
            Engine::Uprobe(_) => sampler.and_then(Sampler::crossings).unwrap_or_default(),
            Engine::Sample => Snapshot::default(),
        }
    }

    /// What the engine's own work adds to times, in ticks; none if that could not be measured.
    pub(super) fn calibration(&self) -> Option<Calibration> {
        match self {
            Engine::Trampoline { calibration, .. } => *calibration,
            Engine::Uprobe(Probes { cost, .. }) => Some(Calibration {
                // Taken off already, as well as it is known.
                untimed_crossing: cost.crossing(false),
                timed_crossing: cost.crossing(true),
                ..Calibration::default()
            }),
            Engine::Sample => Some(Calibration::default()),
        }
    }

    /// Takes its hooks out of a program that goes on. Returns how it was left.
    pub(super) fn leave(&self, pid: Pid) -> Option<Result<Undone, UndoError>> {
        let Engine::Trampoline { tables, ticker, .. } = self else { return None };
        ticker.add_no_module();
        let (mut all, mut failed) = (Undone::default(), None);
        // The first module's last: what a plugin redirects leads there.
        for of_module in tables.all().iter().rev() {
            match undo_own(pid, of_module.address()) {
                Ok(undone) => all.add(undone),
                Err(error) => {
                    // They stay, as cheap as they get.
                    of_module.relax();
                    failed = failed.or(Some(error));
                }
            }
        }
        Some(failed.map_or(Ok(all), Err))
    }

    /// Written to when the program has loaded a library.
    pub(super) fn loaded(&self) -> Option<&EventFd> {
        match self {
            Engine::Trampoline { ticker, .. } => Some(ticker.loaded()),
            Engine::Uprobe(_) | Engine::Sample => None,
        }
    }

    /// Counts no more.
    pub(super) fn stop(&mut self) {
        if let Engine::Trampoline { ticker, .. } = self {
            ticker.stop();
        }
    }

    /// Threads that the runtime made, and when most were in C.
    pub(super) fn seen(&self, sampler: Option<&Sampler>) -> Seen {
        match self {
            Engine::Trampoline { ticker, .. } => ticker.seen(),
            Engine::Uprobe(_) => sampler.and_then(Sampler::seen).unwrap_or_default(),
            Engine::Sample => Seen::default(),
        }
    }

    /// What is mapped into the program whenever that was looked at since the last call.
    pub(super) fn take_mappings(&self) -> Vec<Vec<Mapping>> {
        match self {
            Engine::Trampoline { ticker, .. } => ticker.take_mappings(),
            Engine::Uprobe(_) | Engine::Sample => Vec::new(),
        }
    }
}

/// An engine of the kernel's, its events open, for a program that may not have begun.
pub(super) struct Prepared {
    session: Session,
    planned: Planned,
    /// The program runs already.
    joined: bool,
    /// The process has become the program already.
    runs: bool,
}

/// What it knows of the program.
enum Planned {
    Uprobe(Box<ProbePlan>, Probes),
    Sample(SamplePlan),
}

impl Prepared {
    /// Opens the events of an engine that needs nothing of the program but to be there. `file` is the program's.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub(super) fn new(
        kind: EngineKind,
        whom: Whom,
        target: &Target<'_>,
        file: &File,
        options: &Options,
    ) -> Result<Prepared, EngineError> {
        allow_many_files();
        let wanted = Wanted {
            frequency: Frequency(options.frequency),
            kernel: true,
            only_samples: kind == EngineKind::Sample,
            before_exec: whom == Whom::BeforeExec(whom.pid()),
        };
        let watch = |session: &mut Session| match whom {
            Whom::BeforeExec(pid) => session.watch(pid),
            Whom::Stopped(_) | Whom::Running(..) => session.watch_all(),
        };
        let (session, planned) = if kind == EngineKind::Uprobe {
            let plan = arch::probe_plan(target)?;
            if let Whom::Running(pid, bias) = whom {
                check_unchanged(pid, bias, &plan)?;
            }
            // A name that is good whatever is in the path, and whatever the path leads to by now.
            let program = format!("/proc/self/fd/{}", file.as_raw_fd());
            let set = uprobe::set(whom.pid(), Path::new(&program), &plan, wanted, chosen(options), watch)?;
            (set.session, Planned::Uprobe(Box::new(plan), set.probes))
        } else if options.frequency == 0 {
            return Err(EngineError::NoSamples);
        } else {
            let mut session = Session::new(whom.pid(), wanted, Vec::new())?;
            watch(&mut session)?;
            (session, Planned::Sample(arch::sample_plan(target)))
        };
        let (joined, runs) = (matches!(whom, Whom::Running(..)), !matches!(whom, Whom::BeforeExec(_)));
        Ok(Prepared { session, planned, joined, runs })
    }

    /// Starts to read, now that it is known where the program is.
    ///
    /// # Errors
    /// If the system has no thread for us.
    pub(super) fn start(
        self,
        pid: Pid,
        target: &Target<'_>,
        bias: u64,
        mappings: &[Mapping],
        options: &Options,
    ) -> std::io::Result<(Engine, Sampler)> {
        let Prepared { session, planned, joined, runs } = self;
        let loaded = |address: Svma| address.loaded(bias);
        let range = |range: &Range<Svma>| loaded(range.start)..loaded(range.end);
        let go = target.go_text(bias);
        let (asmcgocall, probes) = match &planned {
            Planned::Uprobe(plan, _) => (&plan.asmcgocall, plan.probes.iter().map(|probe| loaded(probe.at)).collect()),
            Planned::Sample(plan) => (&plan.asmcgocall, Vec::new()),
        };
        let border = Border::Asmcgocall { code: range(asmcgocall), probes };
        let mut unwinder = Unwinder::new(GoModule { go: go.clone(), border });
        mappings.iter().for_each(|mapping| unwinder.add_mapping(mapping));
        let (engine, source) = match planned {
            Planned::Uprobe(plan, probes) => {
                let crossings = Box::new(Crossings::new(landmarks(&plan, bias, options, 0), probes.cost));
                (Engine::Uprobe(probes), Source::Probes(crossings))
            }
            Planned::Sample(plan) => {
                let counters = plan.offsets.and_then(|offsets| Counters::find(target, offsets, bias));
                // A program that has just begun has counted nothing.
                let counted_before = counters.filter(|_| joined).and_then(|counters| counters.read(pid)).unwrap_or(0);
                (
                    Engine::Sample,
                    Source::GoStacks(GoStacks {
                        pid,
                        go,
                        after_asmcgocall: plan.after_asmcgocall.map(loaded),
                        cgocallback: range(&plan.cgocallback),
                        goexit: range(&plan.goexit),
                        counters,
                        counted_before,
                    }),
                )
            }
        };
        let sampler = Sampler::start(session, pid, unwinder, source, engine.timebase(), runs)?;
        Ok((engine, sampler))
    }

    /// How far from its stated addresses a program was loaded that may have ended by now.
    pub(super) fn bias(&mut self, pid: Pid, program: &Path, target: &Target<'_>) -> Option<u64> {
        if let Some(bias) = load_bias(pid, target) {
            return Some(bias);
        }
        let program = program.canonicalize().ok()?;
        let mappings = self.session.mappings();
        let own = mappings.iter().filter(|mapping| mapping.executable && mapping.path == program);
        own.filter_map(|mapping| target.binary.bias(mapping.range.start, mapping.offset)).next()
    }

    /// Whether samples are taken in the kernel too.
    pub(super) fn sees_kernel(&self) -> bool {
        self.session.sees_kernel()
    }
}

/// Sets probes in a Go module that a recorded program has loaded.
///
/// # Errors
/// See [`EngineError`].
pub(super) fn probe_module(
    probes: &mut Probes,
    sampler: &Sampler,
    module: &LoadedGo,
    pid: Pid,
    options: &Options,
) -> Result<(), EngineError> {
    let (plan, bias) = (arch::probe_plan(&module.target)?, module.bias);
    check_unchanged(pid, bias, &plan)?;
    let file = module.mapping.opened().ok_or(EngineError::Unreadable)?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let number = sampler.probed_modules();
    let runtime = if module.is_plugin() { 0 } else { number };
    let (loaded, asmcgocall) = (|address: Svma| address.loaded(bias), &plan.asmcgocall);
    let border = Border::Asmcgocall {
        code: loaded(asmcgocall.start)..loaded(asmcgocall.end),
        probes: plan.probes.iter().map(|probe| loaded(probe.at)).collect(),
    };
    let go = GoModule { go: module.target.go_text(bias), border };
    let landmarks = landmarks(&plan, bias, options, runtime);
    let watch = |probes| sampler.add_probes(go, probes, landmarks);
    Ok(probes.add(Path::new(&path), &plan, chosen(options), number, watch)?)
}

/// Each event is a file. The program, if we start it, has been made before and keeps its own limit.
pub(super) fn allow_many_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Refuses a program in which something else has been patched where probes are to be: the kernel would carry out what
/// the file has there. Another probe is no such thing.
fn check_unchanged(pid: Pid, bias: u64, plan: &ProbePlan) -> Result<(), EngineError> {
    const BREAKPOINT: u8 = 0xcc;
    for probe in &plan.probes {
        let mut found = vec![0; probe.original.len()];
        if memory::read(pid, probe.at.loaded(bias), &mut found) != Some(found.len()) {
            return Err(EngineError::Unreadable);
        }
        if found[0] == BREAKPOINT {
            found[0] = probe.original[0];
        }
        if found != probe.original {
            return Err(EngineError::Changed(probe.function.clone()));
        }
    }
    Ok(())
}

/// The program as an engine of the kernel's finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    /// A process that will become the program.
    BeforeExec(Pid),
    /// The program before it has done anything.
    Stopped(Pid),
    /// The program, with its threads, and how far from its stated addresses its Go code is loaded.
    Running(Pid, u64),
}

impl Whom {
    pub(super) fn pid(self) -> Pid {
        match self {
            Whom::BeforeExec(pid) | Whom::Stopped(pid) | Whom::Running(pid, _) => pid,
        }
    }
}

fn chosen(options: &Options) -> Chosen {
    Chosen { timed: options.timing != Timing::None, max_frames: options.stack_depth }
}

fn landmarks(plan: &ProbePlan, bias: u64, options: &Options, runtime: usize) -> Landmarks {
    let loaded = |address: Svma| address.loaded(bias);
    Landmarks {
        runtime,
        after_asmcgocall: loaded(plan.after_asmcgocall),
        after_exitsyscall: loaded(plan.after_exitsyscall),
        cgocallback: loaded(plan.cgocallback.start)..loaded(plan.cgocallback.end),
        goexit: loaded(plan.goexit.start)..loaded(plan.goexit.end),
        newm1: plan.newm1.iter().map(|range| loaded(range.start)..loaded(range.end)).collect(),
        purego: plan.purego.map(loaded),
        has_frame: plan.asmcgocall_has_frame(),
        max_frames: options.stack_depth,
        chain: chosen(options).chain().into(),
        slow: options.slow.as_nanos() as u64,
        timed: options.timing != Timing::None,
    }
}
