//! The uprobe engine: the kernel stops each thread at a few instructions of the Go runtime, and notes registers and
//! memory.
//!
//! It needs root, and takes thousands of times the trampolines' few nanoseconds a crossing. But the recorder does not
//! write the program's memory, and the program may forbid ptrace and may be running already.

mod cost;
mod crossings;
mod engine;
mod fetch;
mod schedule;
pub(crate) mod tracefs;

use std::path::Path;
use std::thread::JoinHandle;

use nix::unistd::Pid;

use crate::goruntime::{Point, ProbePlan};
use crate::perf::{PerfError, Session, TracedProbe, Wanted};
use cost::{Cost, Stage};
use crossings::{Crossings, Landmarks};
pub(crate) use engine::Probing;
use fetch::Fetch;
use tracefs::{Definitions, TracefsError};

/// Returns the maximum number of frames that the kernel gives of a stack, the probe's own included.
fn most_frames() -> u16 {
    const USUAL: u16 = 127;
    let allowed = std::fs::read_to_string("/proc/sys/kernel/perf_event_max_stack").unwrap_or_default();
    allowed.trim().parse().unwrap_or(USUAL).min(USUAL)
}

/// Why the engine can't be used.
#[derive(Debug, thiserror::Error)]
pub enum UprobeError {
    /// Probes can't be defined.
    #[error(transparent)]
    Tracefs(#[from] TracefsError),
    /// Perf can't watch them.
    #[error("{0}; to allow it: {way_out}", way_out = .0.way_out())]
    Perf(#[from] PerfError),
    /// They are set and never hit.
    #[error("probes can be set here, but none is ever hit")]
    Silent,
    /// The recorder's own code, on which the cost is measured, can't be found.
    #[error("the cost of a probe can't be measured: {0}")]
    Own(std::io::Error),
}

impl UprobeError {
    /// Returns the cause, without the way out.
    pub(crate) fn why(&self) -> String {
        match self {
            UprobeError::Tracefs(error) => error.why(),
            UprobeError::Perf(error) => error.to_string(),
            UprobeError::Own(_) | UprobeError::Silent => self.to_string(),
        }
    }

    /// Returns what the user can do about it.
    pub(crate) fn way_out(&self) -> &'static str {
        match self {
            UprobeError::Tracefs(error) => error.way_out(),
            UprobeError::Perf(error) => error.way_out(),
            UprobeError::Own(_) | UprobeError::Silent => "use another engine",
        }
    }
}

/// Sets probes on the recorder itself and passes them.
///
/// # Errors
/// If the engine can't be used here.
pub(crate) fn try_out() -> Result<(), UprobeError> {
    Stage::set(&Fetch::nothing())?.measure().map(|_| ())
}

/// Probes that are set, and the session that receives their hits.
pub(crate) struct Probed {
    pub(crate) session: Session,
    pub(crate) probes: Probes,
}

/// Data of a program's probes. It must be dropped after their session: that removes them.
pub(crate) struct Probes {
    pub(crate) cost: Cost,
    /// Definitions of each module.
    definitions: Vec<Definitions>,
    /// Thread that removes the probes on the recorder itself.
    clearing: Option<JoinHandle<()>>,
}

impl Probes {
    /// Defines the probes of a further Go module in a file. `watch` opens them.
    ///
    /// # Errors
    /// See [`UprobeError`]. Probes that are set by then stay to the end.
    pub(crate) fn add(
        &mut self,
        file: &Path,
        plan: &ProbePlan,
        chosen: Chosen,
        module: usize,
        watch: impl FnOnce(Vec<TracedProbe>) -> Result<(), PerfError>,
    ) -> Result<(), UprobeError> {
        let mut definitions = Definitions::new()?;
        let probes = define(&mut definitions, file, plan, chosen, module)?;
        self.definitions.push(definitions);
        Ok(watch(probes)?)
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        if let Some(clearing) = self.clearing.take() {
            let _ = clearing.join();
        }
    }
}

/// Defines the probes of a program in a file. `watch` opens them in the threads that it knows.
///
/// # Errors
/// See [`UprobeError`]: then nothing is left behind.
pub(crate) fn set(
    pid: Pid,
    program: &Path,
    plan: &ProbePlan,
    wanted: Wanted,
    chosen: Chosen,
    watch: impl FnOnce(&mut Session) -> Result<(), PerfError>,
) -> Result<Probed, UprobeError> {
    let mut definitions = Definitions::new()?;
    let probes = define(&mut definitions, program, plan, chosen, 0)?;
    let mut session = Session::new(pid, wanted, probes)?;
    watch(&mut session)?;
    // This comes last, and another thread drops it: the kernel removes probes slowly, and sets none meanwhile.
    let mut stage = Stage::set(&Fetch::new(plan))?;
    let cost = stage.measure()?;
    // If no thread can be started for that, the stage is dropped here.
    let clearing = std::thread::Builder::new().spawn(move || drop(stage)).ok();
    Ok(Probed { session, probes: Probes { cost, definitions: vec![definitions], clearing } })
}

fn define(
    definitions: &mut Definitions,
    file: &Path,
    plan: &ProbePlan,
    chosen: Chosen,
    module: usize,
) -> Result<Vec<TracedProbe>, TracefsError> {
    let (fetch, mut probes) = (Fetch::new(plan), Vec::new());
    for probe in plan.probes.iter().filter(|probe| chosen.timed || !only_for_times(probe.point)) {
        let (name, arguments) = (format!("{:?}", probe.point).to_lowercase(), fetch.at(probe.point));
        let number = definitions.add(&name, file, probe.offset, &arguments)?;
        let frames = (probe.point == Point::Called).then_some(chosen.chain());
        probes.push(TracedProbe { point: probe.point, module, number, frames, fetches: !arguments.is_empty() });
    }
    Ok(probes)
}

/// Options of the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    /// Whether crossings are timed.
    pub(crate) timed: bool,
    /// Maximum frames kept of a stack.
    pub(crate) max_frames: usize,
}

impl Chosen {
    /// Number of words that the kernel is asked for of a stack: besides the frames, the probe itself, `asmcgocall`'s
    /// caller, and one to see that there is more.
    pub(crate) fn chain(self) -> u16 {
        most_frames().min(self.max_frames as u16 + 3)
    }
}

fn only_for_times(point: Point) -> bool {
    matches!(point, Point::Returned | Point::Resumed)
}
