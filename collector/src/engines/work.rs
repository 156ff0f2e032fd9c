//! An engine at work on a program.

use cgoprof_profile::Scheduler;
use nix::sys::eventfd::EventFd;

use super::EngineKind;
use crate::clock::{Moment, Monotonic, Timebase};
use crate::correlate::pump::Pump;
use crate::counts::calibration::Calibration;
use crate::counts::snapshot::{Seen, Snapshot};
use crate::loaded::LoadedGo;
use crate::process::maps::Mapping;
use crate::process::pause::Pause;
use crate::unwind::Border;

/// What an engine knows of a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capabilities {
    /// Which engine it is, for people.
    pub(crate) kind: EngineKind,
    /// Crossings are counted, in every Go module.
    pub(crate) counts: bool,
    /// Getting to C and back is timed; else only how long exits waited.
    pub(crate) phases: bool,
    /// What is seen of the Go scheduler's doing. The end of threads is seen by perf, if at all.
    pub(crate) scheduler: Scheduler,
    /// Counts come with perf's records: some are missing where records are lost, and all are there when all records are read.
    pub(crate) counts_by_records: bool,
    /// Plugins are reported by the engine as they are loaded.
    pub(crate) reports_plugins: bool,
}

/// An engine at work on one program. What an engine does not do it leaves as it is here.
pub(crate) trait Engine {
    /// What it knows of the program.
    fn capabilities(&self) -> Capabilities;

    /// What its times are read from.
    fn timebase(&self) -> Timebase;

    /// What has been counted so far.
    fn snapshot(&self) -> Snapshot {
        Snapshot::default()
    }

    /// Threads that the runtime made, and when most were in C.
    fn seen(&self) -> Seen {
        Seen::default()
    }

    /// What the engine's own work adds to times, in ticks; none if that could not be measured.
    fn calibration(&self) -> Option<Calibration> {
        Some(Calibration::default())
    }

    /// Does what is to be done ten times a second. `reads_perf` tells whether the end of threads is seen otherwise.
    fn poll(&mut self, reads_perf: bool) {
        let _ = reads_perf;
    }

    /// What is to be said of the recording up to now.
    fn notes(&self, now: Monotonic) -> Vec<String> {
        let _ = now;
        Vec::new()
    }

    /// Written to when the program has loaded a library.
    fn loaded(&self) -> Option<&EventFd> {
        None
    }

    /// What was mapped into the program whenever that was looked at since the last call.
    fn take_mappings(&self) -> Vec<Vec<Mapping>> {
        Vec::new()
    }

    /// Whether a process is not the program any more, by what the engine has there; none if that does not tell.
    fn is_gone(&self) -> Option<bool> {
        None
    }

    /// Go modules that the program has loaded, as far as the engine was told since the last call.
    fn take_reported(&mut self) -> Vec<ReportedModule> {
        Vec::new()
    }

    /// Gets to work on a further Go module. `was_before` tells whether the program had it before the recorder came.
    ///
    /// # Errors
    /// See [`AddError`]: then the engine is not at work there.
    fn add_module(&mut self, module: &LoadedGo, was_before: bool, pump: &Pump) -> Result<AddedModule, AddError>;

    /// Leaves a program that goes on; none if nothing is left in it. Returns how it was left.
    fn detach(&mut self) -> Option<Result<Detached, DetachError>> {
        None
    }

    /// Counts no more.
    fn stop(&mut self) {}
}

/// A Go module that the engine was told of.
pub(crate) struct ReportedModule {
    pub(crate) module: LoadedGo,
    /// It is recorded already, with the program.
    pub(crate) is_recorded: bool,
    /// What is to be said.
    pub(crate) note: Option<String>,
}

/// A module on which an engine is at work.
#[derive(Default)]
pub(crate) struct AddedModule {
    /// What is on the stack between it and C, if the unwinder is still to be told.
    pub(crate) border: Option<Border>,
    /// How long the program stood still, if it did.
    pub(crate) pause: Option<Pause>,
    /// What is to be said.
    pub(crate) notes: Vec<String>,
}

/// Why an engine is not at work on a module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddError {
    /// The dynamic linker has not finished with it.
    #[error("{0}")]
    Loading(String),
    /// It can't be.
    #[error("{0}")]
    Refused(String),
}

/// How a program was left.
#[derive(Debug)]
pub(crate) struct Detached {
    /// How long it stood still.
    pub(crate) pause: Pause,
    /// When counting ended.
    pub(crate) off: Option<Moment>,
    /// What is to be said.
    pub(crate) note: Option<&'static str>,
}

/// Why a program could not be left.
#[derive(Debug)]
pub(crate) enum DetachError {
    /// It ended meanwhile, with this status.
    Ended(u8),
    /// It is not there any more, or has become another.
    Lost,
    /// The system has no thread for us: it may have one when our own have ended.
    NoThread(String),
    /// Something of ours is still there.
    Stays(String),
}
