//! The uprobe engine: the kernel stops each thread at a few instructions of the Go runtime and notes what it finds.
//!
//! Takes root, and thousands of times the trampolines' few nanoseconds a crossing; but the program's memory is not
//! written by us, it may forbid ptrace, and it may be running already.

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

/// Most frames that the kernel gives of a stack, the probe's own included.
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
    /// They can't be watched.
    #[error("{0}; to allow it: {way_out}", way_out = .0.way_out())]
    Perf(#[from] PerfError),
    /// They are set and never hit.
    #[error("probes can be set here, but none is ever hit")]
    Silent,
    /// Our own code.
    #[error("the cost of a probe can't be measured: {0}")]
    Own(std::io::Error),
}

impl UprobeError {
    /// What is in the way, without how to get past.
    pub(crate) fn why(&self) -> String {
        match self {
            UprobeError::Tracefs(error) => error.why(),
            UprobeError::Perf(error) => error.to_string(),
            UprobeError::Own(_) | UprobeError::Silent => self.to_string(),
        }
    }

    /// How to get past it.
    pub(crate) fn way_out(&self) -> &'static str {
        match self {
            UprobeError::Tracefs(error) => error.way_out(),
            UprobeError::Perf(error) => error.way_out(),
            UprobeError::Own(_) | UprobeError::Silent => "use another engine",
        }
    }
}

/// Sets a probe on ourselves and comes by.
///
/// # Errors
/// If the engine can't be used here.
pub(crate) fn try_out() -> Result<(), UprobeError> {
    Stage::set(&Fetch::nothing())?.measure().map(|_| ())
}

/// Probes that are set, and the session that has their hits.
pub(crate) struct Probed {
    pub(crate) session: Session,
    pub(crate) probes: Probes,
}

/// What goes with the probes of a program. To be dropped after their session: that removes them.
pub(crate) struct Probes {
    pub(crate) cost: Cost,
    /// Of each module.
    definitions: Vec<Definitions>,
    /// Removes the probes on ourselves.
    clearing: Option<JoinHandle<()>>,
}

impl Probes {
    /// Defines the probes of a further Go module in a file, which `watch` opens.
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

/// Defines the probes of a program in a file, for `watch` to open in the threads that it knows.
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
    // Only now, and out of the way: the kernel removes probes slowly, and sets none meanwhile.
    let mut stage = Stage::set(&Fetch::new(plan))?;
    let cost = stage.measure()?;
    // Where there is no thread for that, it is dropped here.
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

/// What is asked of the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    /// Whether crossings are timed.
    pub(crate) timed: bool,
    /// Most frames kept of a stack.
    pub(crate) max_frames: usize,
}

impl Chosen {
    /// How much of a stack is asked of the kernel: the probe itself, `asmcgocall`'s caller, and one to see that there is
    /// more.
    pub(crate) fn chain(self) -> u16 {
        most_frames().min(self.max_frames as u16 + 3)
    }
}

fn only_for_times(point: Point) -> bool {
    matches!(point, Point::Returned | Point::Resumed)
}
