//! The uprobe engine at work.

use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cgoprof_profile::Scheduler;
use cgoprof_symbols::{Avma, Svma};
use nix::unistd::Pid;

use super::{Chosen, Crossings, Landmarks, Probes, UprobeError, set};
use crate::arch;
use crate::clock::{Moment, Monotonic, Timebase};
use crate::correlate::pump::{Feed, Pump};
use crate::correlate::source::Source;
use crate::correlate::waits::WaitsMode;
use crate::counts::calibration::Calibration;
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::SlowEvent;
use crate::counts::snapshot::{InCSnapshot, Snapshot, ThreadEvents};
use crate::engines::{
    AddError, AddedModule, AttachPoint, Attached, Candidate, Capabilities, Engine, EngineError, EngineKind,
    RunningEngine, Settings, Subject, Timing, allow_many_files, notes, observed_bias,
};
use crate::goruntime::{ProbePlan, Target};
use crate::loaded::LoadedGo;
use crate::perf::{Frequency, Hit, Sample, Session, Wanted};
use crate::process::maps;
use crate::process::memory;
use crate::process::own_threads::NoThread;
use crate::unwind::{Border, GoModule, Place, Unwinder};

/// The engine as a candidate.
pub(crate) struct Probing;

/// Probes that are set, and the plan that they follow.
struct Probed {
    session: Session,
    plan: ProbePlan,
    probes: Probes,
    /// The process has become the program already.
    runs: bool,
}

/// Crossings as they are counted, shared by the thread that reads hits and the threads that ask.
#[derive(Clone)]
struct Shared(Arc<Mutex<Crossings>>);

/// The engine at work.
struct Uprobes {
    pid: Pid,
    settings: Settings,
    crossings: Shared,
    probes: Probes,
    /// Why no further module gets probes: some probes of a failed module may be set under its number.
    failed: Option<String>,
}

impl Candidate for Probing {
    fn kind(&self) -> EngineKind {
        EngineKind::Uprobe
    }

    fn attach(&self, subject: &Subject<'_>, at: &mut AttachPoint) -> Result<Box<dyn Attached>, EngineError> {
        allow_many_files();
        let before_exec = matches!(at, AttachPoint::BeforeExec(_));
        let plan = arch::probe_plan(subject.target)?;
        if let AttachPoint::Running { pid, bias } = *at {
            check_unchanged(pid, bias, &plan)?;
        }
        let frequency = Frequency(subject.settings.frequency);
        let switches = subject.settings.waits != WaitsMode::Looks;
        let wanted = Wanted { frequency, kernel: true, only_samples: false, switches, before_exec };
        // This name works whatever characters the path has, and whatever it leads to by now.
        let program = format!("/proc/self/fd/{}", subject.file.as_raw_fd());
        let pid = at.pid();
        let watch = |session: &mut Session| if before_exec { session.watch(pid) } else { session.watch_all() };
        let set = set(pid, Path::new(&program), &plan, wanted, chosen(subject.settings), watch)?;
        Ok(Box::new(Probed { session: set.session, plan, probes: set.probes, runs: !before_exec }))
    }
}

impl Attached for Probed {
    fn bias(&mut self, pid: Pid, subject: &Subject<'_>) -> Option<u64> {
        observed_bias(&mut self.session, pid, subject)
    }

    fn begin(
        self: Box<Self>,
        pid: Pid,
        subject: &Subject<'_>,
        bias: u64,
        begun: Moment,
    ) -> Result<RunningEngine, EngineError> {
        let Probed { session, plan, probes, runs } = *self;
        let mappings = maps::read(pid).unwrap_or_default();
        let mut said: Vec<String> = subject.target.untested().into_iter().collect();
        said.extend(notes::unseen(subject.settings, &session));
        if subject.settings.timing != Timing::None {
            said.push(LEAVES_OUT.into());
        }
        let mut unwinder = Unwinder::new(go_module(subject.target, bias, &plan));
        mappings.iter().for_each(|mapping| unwinder.add_mapping(mapping));
        let crossings = Crossings::new(landmarks(&plan, bias, subject.settings, 0), probes.cost);
        let crossings = Shared(Arc::new(Mutex::new(crossings)));
        let source = Box::new(crossings.clone());
        let feed = Feed {
            session: Some(session),
            source,
            timebase: Timebase::Kernel,
            unwinder,
            runs,
            begun,
            waits: subject.settings.waits,
        };
        let pump = Pump::start(pid, feed).map_err(|without| NoThread::from(without.error))?;
        let engine = Box::new(Uprobes { pid, settings: subject.settings, crossings, probes, failed: None });
        Ok(RunningEngine { engine, pump, bias, mappings, begun, pause: None, notes: said })
    }
}

impl Engine for Uprobes {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: EngineKind::Uprobe,
            counts: true,
            phases: false,
            scheduler: Scheduler { migrations: true, ..Scheduler::default() },
            counts_by_records: true,
            reports_plugins: false,
        }
    }

    fn timebase(&self) -> Timebase {
        Timebase::Kernel
    }

    fn snapshot(&self) -> Snapshot {
        self.crossings.lock().snapshot()
    }

    fn seen(&self) -> ThreadEvents {
        self.crossings.lock().seen()
    }

    fn calibration(&self) -> Option<Calibration> {
        let cost = self.probes.cost;
        // Times have this subtracted already, as well as it is known.
        let (untimed_crossing, timed_crossing) = (cost.crossing(false), cost.crossing(true));
        Some(Calibration { untimed_crossing, timed_crossing, ..Calibration::default() })
    }

    fn add_module(&mut self, module: &LoadedGo, was_before: bool, pump: &Pump) -> Result<AddedModule, AddError> {
        if let Some(why) = &self.failed {
            return Err(AddError::Refused(why.clone()));
        }
        if let Err(error) = self.probe(module, pump) {
            if let EngineError::Uprobe(UprobeError::Perf(_)) = &error {
                self.failed = Some(error.to_string());
            }
            return Err(AddError::Refused(error.to_string()));
        }
        let name = module.name();
        let own = (!module.is_plugin()).then(|| notes::own_runtime(&name));
        let late = (!was_before).then(|| notes::before_recorder(&name));
        Ok(AddedModule { notes: own.into_iter().chain(late).collect(), ..AddedModule::default() })
    }
}

impl Uprobes {
    /// Sets probes in a Go module that the program has loaded.
    fn probe(&mut self, module: &LoadedGo, pump: &Pump) -> Result<(), EngineError> {
        let (plan, bias) = (arch::probe_plan(&module.target)?, module.bias);
        check_unchanged(self.pid, bias, &plan)?;
        let file = module.mapping.opened().ok_or(EngineError::Unreadable)?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let number = self.crossings.lock().modules();
        let runtime = if module.is_plugin() { 0 } else { number };
        let landmarks = landmarks(&plan, bias, self.settings, runtime);
        let go = go_module(&module.target, bias, &plan);
        let crossings = self.crossings.clone();
        // Hits of a module that is not known are left out.
        let know = move || crossings.lock().add_module(landmarks);
        let watch = |probes| pump.add_probes(go, probes, know);
        Ok(self.probes.add(Path::new(&path), &plan, chosen(self.settings), number, watch)?)
    }
}

/// Note on the parts that times leave out.
const LEAVES_OUT: &str = "engine uprobe: times leave out getting to C and back but for waits for a P: a probe takes \
                          longer than that";

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Crossings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Shared {
    fn take_slow_events(&mut self) -> Vec<SlowEvent> {
        self.lock().take_events()
    }

    fn take_looks(&mut self, complete: Monotonic) -> Vec<InCSnapshot> {
        self.lock().take_looks(complete)
    }

    fn hit(&mut self, hit: &Hit<'_>) {
        self.lock().add(hit);
    }

    fn lose_track(&mut self) {
        self.lock().lose_track();
    }

    fn thread_ended(&mut self, tid: u64, time: Monotonic) {
        self.lock().end(tid, time);
    }

    fn m(&self, tid: u64) -> Option<u64> {
        self.lock().m(tid)
    }

    fn called(&self, sample: &Sample<'_>, _: Avma) -> Option<(Place, bool)> {
        let cell: CellId = self.lock().in_flight(sample.tid)?;
        Some((Place::Crossing(cell), false))
    }

    fn in_c(&self) -> HashMap<u64, CellId> {
        self.lock().in_c()
    }

    fn must_keep_up(&self) -> bool {
        true
    }
}

fn go_module(target: &Target<'_>, bias: u64, plan: &ProbePlan) -> GoModule {
    let border = Border::Asmcgocall {
        code: loaded(&plan.asmcgocall, bias),
        probes: plan.probes.iter().map(|probe| probe.at.loaded(bias)).collect(),
    };
    GoModule { go: target.go_text(bias), border }
}

/// Refuses a program whose code was changed where probes are to be: the kernel would execute the file's instructions
/// there. A breakpoint of another probe is no such change.
fn check_unchanged(pid: Pid, bias: u64, plan: &ProbePlan) -> Result<(), EngineError> {
    for probe in &plan.probes {
        let mut found = vec![0; probe.original.len()];
        if memory::read(pid, probe.at.loaded(bias), &mut found) != Some(found.len()) {
            return Err(EngineError::Unreadable);
        }
        if found.starts_with(&arch::BREAKPOINT) {
            found[..arch::BREAKPOINT.len()].copy_from_slice(&probe.original[..arch::BREAKPOINT.len()]);
        }
        if found != probe.original {
            return Err(EngineError::Changed(probe.function.clone()));
        }
    }
    Ok(())
}

fn chosen(settings: Settings) -> Chosen {
    Chosen { timed: settings.timing != Timing::None, max_frames: settings.stack_depth }
}

fn loaded(range: &Range<Svma>, bias: u64) -> Range<Avma> {
    range.start.loaded(bias)..range.end.loaded(bias)
}

fn landmarks(plan: &ProbePlan, bias: u64, settings: Settings, runtime: usize) -> Landmarks {
    Landmarks {
        runtime,
        after_asmcgocall: plan.after_asmcgocall.loaded(bias),
        after_exitsyscall: plan.after_exitsyscall.loaded(bias),
        cgocallback: loaded(&plan.cgocallback, bias),
        goexit: loaded(&plan.goexit, bias),
        newm1: plan.newm1.iter().map(|range| loaded(range, bias)).collect(),
        purego: plan.purego.map(|function| function.loaded(bias)),
        has_frame: plan.asmcgocall_has_frame(),
        max_frames: settings.stack_depth,
        chain: chosen(settings).chain().into(),
        slow: settings.slow.as_nanos() as u64,
        timed: settings.timing != Timing::None,
    }
}
