//! Gets hooks into a program, when it is launched or while it runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::attach::{AttachError, HooksInPlace, join};
use super::calibrate;
use super::detach::undo_own;
use super::engine::Hooking;
use super::gate::Gate;
use super::inject::{HookSettings, InjectError, Placed, inject};
use super::label_reader::LabelReader;
use super::plugins::{PluginLoader, Plugins};
use super::policy::Budget;
use super::self_check::SelfCheck;
use super::source::HookEvents;
use super::table_set::TableSet;
use super::ticker::{SeenTo, Ticker};
use crate::arch;
use crate::clock::{Moment, Rate, Timebase};
use crate::correlate::pump::{Feed, Pump};
use crate::correlate::waits::WaitsMode;
use crate::engines::{
    AttachPoint, Attached, Candidate, EngineError, EngineKind, RunningEngine, Settings, Subject, allow_many_files,
    notes,
};
use crate::goruntime::plugin::{SharedFunctions, loads_plugins};
use crate::goruntime::{Image, Plan, Target};
use crate::perf::{Frequency, PerfError, Session, Wanted};
use crate::process::auxv::load_bias;
use crate::process::maps::{self, Mapping};
use crate::process::own_threads::NoThread;
use crate::process::pause::Pause;
use crate::process::remote_syscall::RemoteError;
use crate::unwind::{Border, GoModule, Unwinder};

/// Works out how hooks would get into a program.
///
/// # Errors
/// If its code has an unknown shape.
pub(crate) fn candidate(target: &Target<'_>) -> Result<Box<dyn Candidate>, EngineError> {
    Ok(Box::new(Planned(arch::plan(target)?)))
}

/// The engine as a candidate.
struct Planned(Plan);

/// Hooks that are in a program, and count.
struct Hooked {
    placed: Placed,
    mappings: Vec<Mapping>,
    session: Result<Session, PerfError>,
    /// When counting began, and how long the program was stopped for it, if it ran already.
    joined: Option<(Moment, Pause)>,
    notes: Vec<String>,
}

/// Time for which the rate of the clock is measured before it is needed.
const LEARNING: Duration = Duration::from_millis(5);
/// How long a library may take to be loaded.
const LOADING: Duration = Duration::from_secs(10);

impl Candidate for Planned {
    fn kind(&self) -> EngineKind {
        EngineKind::Trampoline
    }

    fn needs_stop(&self) -> bool {
        true
    }

    fn attach(&self, subject: &Subject<'_>, at: &mut AttachPoint) -> Result<Box<dyn Attached>, EngineError> {
        let hooked = match at {
            AttachPoint::BeforeExec(_) => return Err(EngineError::Untraced(nix::errno::Errno::EPERM)),
            &mut AttachPoint::Running { pid, bias } => self.join(subject, pid, bias)?,
            AttachPoint::Stopped { .. } => self.inject(subject, at)?,
        };
        Ok(Box::new(hooked))
    }
}

impl Planned {
    /// Puts hooks into a program that is stopped at its first instruction.
    fn inject(&self, subject: &Subject<'_>, at: &mut AttachPoint) -> Result<Hooked, EngineError> {
        let AttachPoint::Stopped { pid, stopped, trap, began } = at else {
            return Err(EngineError::Inject(InjectError::Auxv));
        };
        // The session watches the program before it runs, so that its threads inherit the events.
        let session = session(*pid, subject).and_then(|mut session| session.watch(*pid).map(|()| session));
        let settings = settings(subject.settings, true, Rate::between(*began, Moment::now()));
        let stopped = match stopped {
            Ok(stopped) => stopped,
            Err(error) => return Err(InjectError::from(std::mem::replace(error, RemoteError::Gone)).into()),
        };
        let target = subject.target;
        let image = load_bias(*pid, target.binary.entry()).map(|bias| Image { target, bias });
        let placed = image.ok_or(InjectError::Auxv).and_then(|image| inject(stopped, image, &self.0, settings));
        if let Err(error) = stopped.give_back_trap(*trap) {
            tracing::debug!("SIGTRAP is not as it was: {error}");
        }
        let (placed, mappings) = (placed?, maps::read(*pid).unwrap_or_default());
        Ok(Hooked { placed, mappings, session, joined: None, notes: Vec::from_iter(unseen_locks(&self.0)) })
    }

    /// Puts hooks into a program that runs.
    fn join(&self, subject: &Subject<'_>, pid: Pid, bias: u64) -> Result<Hooked, EngineError> {
        let (began, started) = (Moment::now(), Instant::now());
        allow_many_files();
        let session = session(pid, subject);
        std::thread::sleep(LEARNING);
        let settings = settings(subject.settings, false, Rate::between(began, Moment::now()));
        let image = Image { target: subject.target, bias };
        let mut joined = loop {
            match join(pid, image, &self.0, settings) {
                // Its loading takes milliseconds.
                Err(AttachError::Inject(InjectError::Loading)) if started.elapsed() < LOADING => {
                    std::thread::sleep(LEARNING);
                }
                joined => break joined?,
            }
        };
        // The session watches the threads only now: a thread whose switches are recorded takes longer to stop. It does
        // so before anything is counted.
        let session = session.and_then(|mut session| session.watch_all().map(|()| session));
        let began = joined.switch_on(pid, image, &self.0);
        let HooksInPlace { placed, mappings, pause, cleaned, .. } = joined;
        let (session, began) = match began {
            Ok(began) => (session, began),
            Err(error) => {
                // A thread whose switches are recorded takes longer to stop.
                drop(session);
                leave(pid, &placed);
                return Err(error.into());
            }
        };
        let mut said = Vec::from_iter(unseen_locks(&self.0));
        said.extend(subject.library.map(|library| format!("the Go code is that of {}", library.display())));
        if cleaned {
            said.push("what an earlier recorder had left in the program was removed first".into());
        }
        said.extend(begun_before(began.in_flight));
        Ok(Hooked { placed, mappings, session, joined: Some((began.at, pause)), notes: said })
    }
}

impl Attached for Hooked {
    fn bias(&mut self, _: Pid, _: &Subject<'_>) -> Option<u64> {
        Some(self.placed.tables.bias())
    }

    fn begin(
        self: Box<Self>,
        pid: Pid,
        subject: &Subject<'_>,
        bias: u64,
        begun: Moment,
    ) -> Result<RunningEngine, EngineError> {
        let tables = self.placed.tables.address();
        // Nothing else would remove the hooks.
        self.watch(pid, subject, bias, begun).inspect_err(|_| drop(undo_own(pid, tables)))
    }
}

impl Hooked {
    /// Starts to read the hooks' counts and, where that is permitted, perf's records.
    fn watch(
        self: Box<Self>,
        pid: Pid,
        subject: &Subject<'_>,
        bias: u64,
        begun: Moment,
    ) -> Result<RunningEngine, EngineError> {
        let Hooked { placed, mappings, session, joined, notes: mut said } = *self;
        let (target, settings) = (subject.target, subject.settings);
        said.extend(target.untested());
        let (returns, markers) = (placed.returns_from_c(), placed.tables.markers());
        let tables = TableSet::of(placed.tables);
        // Made first: when it is dropped, nobody waits there.
        let gate = Gate::new(pid, tables.first(), settings.follow).map_err(|error| {
            tables.first().close_gate();
            InjectError::Tables(error.into())
        })?;
        let gate = Arc::new(gate);
        let plugins = Plugins::default();
        let mut loader = PluginLoader::new(SharedFunctions::of(target, bias), Arc::clone(&plugins));
        if joined.is_some() && loads_plugins(target) {
            loader.take_loaded(pid).map_err(InjectError::Tables)?;
        }
        let border = Border::Hooks { code: placed.hooks, returns, markers };
        let events = HookEvents::new(tables.clone());
        let labels = LabelReader::of(pid, target);
        let seen_to = SeenTo { plugins: loader, gate: gate.clone() };
        let ticker = Ticker::start(tables.clone(), pid, settings.timing, placed.module, seen_to, labels, &events)
            .map_err(InjectError::Tables)?;
        let calibration = calibrate();
        ticker.set_budget(Budget::of(&calibration.unwrap_or_default(), settings.max_overhead));
        let session = session.map_err(|error| {
            said.push(format!("{error}: no CPU and blocked times; to allow it: {}", error.way_out()));
        });
        said.extend(session.iter().flat_map(|session| notes::unseen(settings, session)));
        let mut unwinder = Unwinder::new(GoModule { go: target.go_text(bias), border });
        mappings.iter().for_each(|mapping| unwinder.add_mapping(mapping));
        let (begun, pause) = joined.map_or((begun, None), |(begun, pause)| (begun, Some(pause)));
        let (session, source) = (session.ok(), Box::new(events));
        let feed =
            Feed { session, source, timebase: Timebase::Counter, unwinder, runs: true, begun, waits: settings.waits };
        let pump = Pump::start(pid, feed).unwrap_or_else(|without| {
            said.push(format!("no CPU and blocked times: {}", NoThread::from(without.error)));
            without.pump
        });
        let image = Image { target, bias };
        let mut check = SelfCheck::of(image, tables.first(), pause.is_some() && !subject.awaited);
        if subject.awaited {
            let file = subject.library.unwrap_or(subject.program);
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            said.extend(check.start_anew(pid).and_then(|missed| notes::missed(&name, missed)));
        }
        let engine =
            Box::new(Hooking { pid, settings, tables, ticker, gate, calibration, plugins, begun, checks: vec![check] });
        Ok(RunningEngine { engine, pump, bias, mappings, begun, pause, notes: said })
    }
}

/// Removes hooks from a program that nothing would remove later.
pub(super) fn leave(pid: Pid, placed: &Placed) {
    // A thread whose child waits there does not stop.
    placed.tables.close_gate();
    let _ = undo_own(pid, placed.tables.address());
}

/// Opens the perf session of a program with hooks.
fn session(pid: Pid, subject: &Subject<'_>) -> Result<Session, PerfError> {
    let frequency = Frequency(subject.settings.frequency);
    let switches = subject.settings.waits != WaitsMode::Looks;
    let wanted = Wanted { frequency, kernel: true, only_samples: false, switches, before_exec: false };
    Session::new(pid, wanted, Vec::new())
}

/// Returns the settings of the hooks. `rate` is that of their clock.
pub(super) fn settings(settings: Settings, starts: bool, rate: Rate) -> HookSettings {
    let slow = settings.slow.as_nanos() as f64 * rate.ticks_per_ns;
    HookSettings {
        max_frames: settings.stack_depth,
        timing: settings.timing,
        slow: slow as u64,
        max_memory: settings.max_memory,
        starts,
        follow: settings.follow,
    }
}

/// Returns a note on places without hooks where goroutines lock themselves to threads.
pub(super) fn unseen_locks(plan: &Plan) -> Option<String> {
    let places = plan.unseen_locks;
    (places > 0).then(|| {
        format!(
            "{places} places in the program lock goroutines to threads, or unlock them, in code of an unknown shape: \
             locks may be missing, or too long"
        )
    })
}

/// Returns a note on crossings that had begun when the hooks were switched on.
pub(super) fn begun_before(crossings: usize) -> Option<String> {
    (crossings > 0)
        .then(|| format!("about {crossings} crossings had begun when the recorder came: they are not counted"))
}
