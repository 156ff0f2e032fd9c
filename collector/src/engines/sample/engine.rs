//! The sample engine at work.

use std::ops::Range;

use cgoprof_profile::Scheduler;
use cgoprof_symbols::{Avma, Svma};
use nix::unistd::Pid;

use super::GoStacks;
use crate::arch;
use crate::clock::{Moment, Monotonic, Timebase};
use crate::correlate::pump::{Feed, Pump};
use crate::correlate::source::Source;
use crate::engines::own_count::Counters;
use crate::engines::{
    AddError, AddedModule, AttachPoint, Attached, Candidate, Capabilities, Engine, EngineError, EngineKind,
    RunningEngine, Subject, allow_many_files, notes, observed_bias,
};
use crate::goruntime::SamplePlan;
use crate::loaded::LoadedGo;
use crate::perf::{Frequency, Sample, Session, Wanted};
use crate::process::maps;
use crate::process::own_threads::NoThread;
use crate::unwind::{Border, GoModule, Place, Unwinder};

/// The engine as a candidate.
pub(crate) struct Sampling;

/// Events that are open.
struct Sampled {
    session: Session,
    plan: SamplePlan,
    /// The program was running already.
    joined: bool,
    /// The process has become the program already.
    runs: bool,
}

/// The engine at work.
struct Samples;

impl Candidate for Sampling {
    fn kind(&self) -> EngineKind {
        EngineKind::Sample
    }

    fn attach(&self, subject: &Subject<'_>, at: &mut AttachPoint) -> Result<Box<dyn Attached>, EngineError> {
        allow_many_files();
        if subject.settings.frequency == 0 {
            return Err(EngineError::NoSamples);
        }
        let before_exec = matches!(at, AttachPoint::BeforeExec(_));
        let frequency = Frequency(subject.settings.frequency);
        let wanted = Wanted { frequency, kernel: true, only_samples: true, switches: false, before_exec };
        let mut session = Session::new(at.pid(), wanted, Vec::new())?;
        if before_exec {
            session.watch(at.pid())?
        } else {
            session.watch_all()?
        }
        let (plan, joined) = (arch::sample_plan(subject.target), matches!(at, AttachPoint::Running { .. }));
        Ok(Box::new(Sampled { session, plan, joined, runs: !before_exec }))
    }
}

impl Attached for Sampled {
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
        let Sampled { session, plan, joined, runs } = *self;
        let mappings = maps::read(pid).unwrap_or_default();
        let mut said: Vec<String> = subject.target.untested().into_iter().collect();
        said.extend(notes::unseen(subject.settings, &session));
        let loaded = |range: &Range<Svma>| range.start.loaded(bias)..range.end.loaded(bias);
        let go = subject.target.go_text(bias);
        let border = Border::Asmcgocall { code: loaded(&plan.asmcgocall), probes: Vec::new() };
        let mut unwinder = Unwinder::new(GoModule { go: go.clone(), border });
        mappings.iter().for_each(|mapping| unwinder.add_mapping(mapping));
        let counters = plan.offsets.and_then(|offsets| Counters::find(subject.target, offsets, bias));
        // A program that has just begun has counted nothing.
        let counted_before = counters.filter(|_| joined).and_then(|counters| counters.read(pid)).unwrap_or(0);
        let source = Box::new(GoStacks {
            pid,
            go,
            after_asmcgocall: plan.after_asmcgocall.map(|address| address.loaded(bias)),
            cgocallback: loaded(&plan.cgocallback),
            goexit: loaded(&plan.goexit),
            counters,
            counted_before,
        });
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
        Ok(RunningEngine { engine: Box::new(Samples), pump, bias, mappings, begun, pause: None, notes: said })
    }
}

impl Engine for Samples {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: EngineKind::Sample,
            counts: false,
            phases: false,
            scheduler: Scheduler::default(),
            counts_by_records: false,
            reports_plugins: false,
        }
    }

    fn timebase(&self) -> Timebase {
        Timebase::Kernel
    }

    fn add_module(&mut self, _: &LoadedGo, _: bool, _: &Pump) -> Result<AddedModule, AddError> {
        Ok(AddedModule::default())
    }
}

impl Source for GoStacks {
    fn called(&self, sample: &Sample<'_>, frame: Avma) -> Option<(Place, bool)> {
        let stack = self.of(sample, frame)?;
        let is_cut = self.is_cut(&stack);
        Some((Place::CalledFrom(stack), is_cut))
    }

    fn num_cgo_call(&self, now: Monotonic) -> Option<(u64, Monotonic)> {
        Some((self.counters.as_ref()?.read(self.pid)?.saturating_sub(self.counted_before), now))
    }
}
