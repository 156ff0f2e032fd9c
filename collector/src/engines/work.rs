//! An engine at work on a program.

use std::sync::Arc;

use cgoprof_profile::Scheduler;
use nix::sys::eventfd::EventFd;

use super::EngineKind;
use super::trampoline::Gate;
use crate::clock::{Moment, Monotonic, Timebase};
use crate::correlate::pump::Pump;
use crate::counts::calibration::Calibration;
use crate::counts::label_looks::SharedLooks;
use crate::counts::snapshot::{Snapshot, ThreadEvents};
use crate::loaded::LoadedGo;
use crate::process::maps::Mapping;
use crate::process::pause::Pause;
use crate::unwind::Border;

/// Capabilities of an engine: how much it knows of a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capabilities {
    /// Kind of the engine, for people.
    pub(crate) kind: EngineKind,
    /// Crossings are counted, in every Go module.
    pub(crate) counts: bool,
    /// Getting to C and back is timed; otherwise only the waits of exits are.
    pub(crate) phases: bool,
    /// Actions of the Go scheduler that are seen. The end of threads is seen by perf, if at all.
    pub(crate) scheduler: Scheduler,
    /// Counts come with perf's records. Some are missing where records are lost; all are there when all records are
    /// read.
    pub(crate) counts_by_records: bool,
    /// Plugins are reported by the engine as they are loaded.
    pub(crate) reports_plugins: bool,
}

/// An engine at work on one program. Methods for what an engine does not do keep their defaults.
pub(crate) trait Engine: Send {
    /// Returns what it knows of the program.
    fn capabilities(&self) -> Capabilities;

    /// Returns the clock that its times are read from.
    fn timebase(&self) -> Timebase;

    /// Returns the counts so far.
    fn snapshot(&self) -> Snapshot {
        Snapshot::default()
    }

    /// Returns the threads that the runtime made, and when most were in C.
    fn seen(&self) -> ThreadEvents {
        ThreadEvents::default()
    }

    /// Returns the labels that goroutines had in C, if the engine can read them.
    fn labels(&self) -> Option<SharedLooks> {
        None
    }

    /// Returns the time that the engine's own work adds to times, in ticks; none if it could not be measured.
    fn calibration(&self) -> Option<Calibration> {
        Some(Calibration::default())
    }

    /// Does the work that is due ten times a second. `reads_perf` tells whether perf shows the end of threads.
    fn poll(&mut self, reads_perf: bool) {
        let _ = reads_perf;
    }

    /// Returns notes on the recording up to now.
    fn notes(&self, now: Monotonic) -> Vec<String> {
        let _ = now;
        Vec::new()
    }

    /// Returns the gate at which processes leave the program, if the engine has one.
    fn gate(&self) -> Option<Arc<Gate>> {
        None
    }

    /// Returns the event that is written to when the program has loaded a library.
    fn loaded(&self) -> Option<&EventFd> {
        None
    }

    /// Returns the program's mappings, one list for each time that they were read since the last call.
    fn take_mappings(&self) -> Vec<Vec<Mapping>> {
        Vec::new()
    }

    /// Whether the process is no longer the program, judged by what the engine has there; none if that does not tell.
    fn is_gone(&self) -> Option<bool> {
        None
    }

    /// Returns the Go modules that the program has loaded, as far as the engine was told since the last call.
    fn take_reported(&mut self) -> Vec<ReportedModule> {
        Vec::new()
    }

    /// Starts to work on a further Go module. `was_before` tells whether the program had it before the recorder came.
    ///
    /// # Errors
    /// See [`AddError`]: then the engine is not at work there.
    fn add_module(&mut self, module: &LoadedGo, was_before: bool, pump: &Pump) -> Result<AddedModule, AddError>;

    /// Detaches from a program that keeps running, and returns how; none if nothing is left in it.
    fn detach(&mut self) -> Option<Result<Detached, DetachError>> {
        None
    }

    /// Stops counting.
    fn stop(&mut self) {}
}

/// A Go module that was reported to the engine.
pub(crate) struct ReportedModule {
    pub(crate) module: LoadedGo,
    /// It is recorded already, with the program.
    pub(crate) is_recorded: bool,
    /// Note for the user.
    pub(crate) note: Option<String>,
}

/// A module on which an engine is at work.
#[derive(Default)]
pub(crate) struct AddedModule {
    /// The border on the stack between it and C, if the unwinder must still be told.
    pub(crate) border: Option<Border>,
    /// How long the program was stopped, if it was.
    pub(crate) pause: Option<Pause>,
    /// Notes for the user.
    pub(crate) notes: Vec<String>,
}

/// Why an engine is not at work on a module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddError {
    /// The dynamic linker has not finished with it.
    #[error("{0}")]
    Loading(String),
    /// The engine can't work on it.
    #[error("{0}")]
    Refused(String),
}

/// How detaching from a program went.
#[derive(Debug)]
pub(crate) struct Detached {
    /// How long the program was stopped.
    pub(crate) pause: Pause,
    /// When counting ended.
    pub(crate) off: Option<Moment>,
    /// Note for the user.
    pub(crate) note: Option<&'static str>,
}

/// Why detaching from a program failed.
#[derive(Debug)]
pub(crate) enum DetachError {
    /// The program ended meanwhile, with this status.
    Ended(u8),
    /// The program is gone, or has become another.
    Lost,
    /// The system allows no further thread; it may allow one once the recorder's own have ended.
    NoThread(String),
    /// Something of the recorder's is still there.
    Stays(String),
}
