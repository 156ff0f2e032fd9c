//! The trampoline engine at work.

use std::sync::{Arc, PoisonError};

use cgoprof_profile::Scheduler;
use nix::sys::eventfd::EventFd;
use nix::unistd::Pid;

use super::attach::{AttachError, join};
use super::candidate::{begun_before, leave, settings, unseen_locks};
use super::detach::{UndoError, Undone, undo_own};
use super::gate::Gate;
use super::inject::{HookSettings, InjectError, Placed};
use super::plugins::Plugins;
use super::self_check::SelfCheck;
use super::table_set::TableSet;
use super::ticker::Ticker;
use crate::arch;
use crate::clock::{Moment, Monotonic, Rate, Timebase, ticks};
use crate::correlate::pump::Pump;
use crate::counts::calibration::Calibration;
use crate::counts::label_looks::SharedLooks;
use crate::counts::snapshot::{Snapshot, ThreadEvents};
use crate::engines::{
    AddError, AddedModule, Capabilities, DetachError, Detached, Engine, EngineError, EngineKind, ReportedModule,
    Settings, notes,
};
use crate::loaded::LoadedGo;
use crate::process::maps::Mapping;
use crate::process::pause::Pause;
use crate::process::remote_syscall::RemoteError;
use crate::process::status;
use crate::process::stopped_process::StopError;
use crate::unwind::Border;

/// The engine at work.
pub(super) struct Hooking {
    pub(super) pid: Pid,
    pub(super) settings: Settings,
    pub(super) tables: TableSet,
    pub(super) ticker: Ticker,
    pub(super) gate: Arc<Gate>,
    /// The hooks' cost; none if it could not be measured. Then nothing is subtracted.
    pub(super) calibration: Option<Calibration>,
    /// Go plugins that the program has loaded.
    pub(super) plugins: Plugins,
    /// When counting began.
    pub(super) begun: Moment,
    /// Comparisons of the hooks' counts with the runtimes' own.
    pub(super) checks: Vec<SelfCheck>,
}

/// A further Go module whose hooks count already.
struct HookedModule {
    placed: Placed,
    /// How long the program was stopped.
    pause: Pause,
    notes: Vec<String>,
}

impl Engine for Hooking {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: EngineKind::Trampoline,
            counts: true,
            phases: true,
            scheduler: Scheduler { migrations: true, ps: true, callbacks: true, locks: true, threads: false },
            counts_by_records: false,
            reports_plugins: true,
        }
    }

    fn timebase(&self) -> Timebase {
        Timebase::Counter
    }

    fn snapshot(&self) -> Snapshot {
        self.tables.snapshot()
    }

    fn seen(&self) -> ThreadEvents {
        self.ticker.seen()
    }

    fn labels(&self) -> Option<SharedLooks> {
        self.ticker.labels()
    }

    fn calibration(&self) -> Option<Calibration> {
        self.calibration
    }

    fn poll(&mut self, reads_perf: bool) {
        if !reads_perf {
            self.tables.end_locks(ticks());
        }
        self.tables.release_ended(self.pid);
        let now = Moment::now().monotonic;
        self.checks.iter_mut().for_each(|check| check.look(self.pid, now));
    }

    fn notes(&self, now: Monotonic) -> Vec<String> {
        self.checks.iter().filter_map(|check| check.note(now)).collect()
    }

    fn gate(&self) -> Option<Arc<Gate>> {
        Some(self.gate.clone())
    }

    fn loaded(&self) -> Option<&EventFd> {
        Some(self.ticker.loaded())
    }

    fn take_mappings(&self) -> Vec<Vec<Mapping>> {
        self.ticker.take_mappings()
    }

    fn is_gone(&self) -> Option<bool> {
        Some(self.tables.first().are_gone(self.pid) && status::living_thread(self.pid).is_some())
    }

    fn take_reported(&mut self) -> Vec<ReportedModule> {
        let plugins = std::mem::take(&mut *self.plugins.lock().unwrap_or_else(PoisonError::into_inner));
        let reported = plugins.into_iter().map(|plugin| {
            let name = plugin.loaded.name();
            let note = format!("thread locks by goroutines of {name}, a Go plugin, are not recorded");
            let note = Some(note).filter(|_| plugin.redirected && plugin.locks_threads);
            ReportedModule { module: plugin.loaded, is_recorded: plugin.redirected, note }
        });
        reported.collect()
    }

    fn add_module(&mut self, module: &LoadedGo, was_before: bool, _: &Pump) -> Result<AddedModule, AddError> {
        let rate = Rate::between(self.begun, self.timebase().now());
        let name = module.name();
        let hooked = self.hook(module, rate).map_err(|error| match error {
            EngineError::Join(AttachError::Inject(InjectError::Loading)) => AddError::Loading(error.to_string()),
            error => AddError::Refused(error.to_string()),
        })?;
        let (address, returns) = (hooked.placed.tables.address(), hooked.placed.returns_from_c());
        let Some(own) = self.tables.add(hooked.placed.tables, module.is_plugin()) else {
            let _ = undo_own(self.pid, address);
            return Err(AddError::Refused("too many modules are recorded already".into()));
        };
        let mut said = Vec::new();
        let shares_first = module.is_plugin() && !self.checks.is_empty();
        if shares_first {
            self.checks[0].add(own.clone());
        } else {
            said.push(notes::own_runtime(&name) + ALSO_TIMED);
            self.checks.push(SelfCheck::of_library(module, own.clone(), was_before));
        }
        let check = if shares_first { self.checks.first_mut() } else { self.checks.last_mut() };
        match check.and_then(|check| check.start_anew(self.pid)) {
            _ if was_before => {}
            Some(missed) => said.extend(notes::missed(&name, missed)),
            None => said.push(notes::before_recorder(&name)),
        }
        said.extend(hooked.notes.into_iter().map(|note| format!("{name}: {note}")));
        let border = Border::Hooks { code: hooked.placed.hooks, returns, markers: own.markers() };
        Ok(AddedModule { border: Some(border), pause: Some(hooked.pause), notes: said })
    }

    fn detach(&mut self) -> Option<Result<Detached, DetachError>> {
        Some(self.take_out().map(detached).map_err(|error| why_not(self.pid, &error)))
    }

    fn stop(&mut self) {
        self.gate.close();
        self.ticker.stop();
    }
}

/// Addition to the note on a library with a runtime of its own.
const ALSO_TIMED: &str = "; the time of its crossings is also in that of crossings that called it";

impl Hooking {
    /// Puts hooks into a further Go module of the program. `rate` is that of the hooks' clock.
    fn hook(&self, module: &LoadedGo, rate: Rate) -> Result<HookedModule, EngineError> {
        let (pid, image) = (self.pid, module.image());
        let plan = arch::plan(image.target)?.without_waits();
        let settings: HookSettings = settings(self.settings, false, rate);
        let mut joined = join(pid, image, &plan, settings)?;
        let began = joined.switch_on(pid, image, &plan).inspect_err(|_| leave(pid, &joined.placed))?;
        let notes = unseen_locks(&plan).into_iter().chain(begun_before(began.in_flight)).collect();
        Ok(HookedModule { placed: joined.placed, pause: joined.pause, notes })
    }

    /// Removes the hooks of all modules from a program that keeps running.
    fn take_out(&self) -> Result<Undone, UndoError> {
        self.ticker.add_no_module();
        // A thread whose child waits there does not stop.
        self.gate.close();
        let (mut all, mut failed) = (Undone::default(), None);
        // The first module's hooks are removed last, because redirected functions of plugins lead there.
        for of_module in self.tables.all().iter().rev() {
            match undo_own(self.pid, of_module.address()) {
                Ok(undone) => all.add(undone),
                Err(error) => {
                    // The hooks stay, as cheap as possible.
                    of_module.relax();
                    failed = failed.or(Some(error));
                }
            }
        }
        failed.map_or(Ok(all), Err)
    }
}

fn detached(undone: Undone) -> Detached {
    const KEPT: &str = "a thread may still return to the hooks from C: their code stays mapped, and does nothing";
    const GONE: &str = "the hooks were gone before the end: taken out by somebody, or the program had begun anew; what \
                        came then is not counted";
    let note = if undone.found == 0 { Some(GONE) } else { Some(KEPT).filter(|_| undone.kept > 0) };
    Detached { pause: undone.pause, off: undone.off, note }
}

fn why_not(pid: Pid, error: &UndoError) -> DetachError {
    let stays = || format!("the hooks are still in the program: {error}; remove them: cgoprof detach {pid}");
    match error {
        UndoError::Freeze(StopError::Remote(RemoteError::Ended(status))) => DetachError::Ended(*status),
        UndoError::Freeze(StopError::Remote(error)) if error.is_final() => DetachError::Lost,
        UndoError::Freeze(StopError::Threads(_)) => DetachError::NoThread(stays()),
        _ => DetachError::Stays(stays()),
    }
}
