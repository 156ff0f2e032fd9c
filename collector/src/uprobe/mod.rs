//! The uprobe engine: the kernel stops each thread at a few instructions of the Go runtime and notes what it finds.
//!
//! Takes root, and thousands of times the trampolines' few nanoseconds a crossing; but the program's memory is not
//! written by us, it may forbid ptrace, and it may be running already.

mod cost;
mod crossings;
mod fetch;
pub(crate) mod tracefs;

use std::path::Path;

use nix::unistd::Pid;

use crate::perf::{PerfError, Session, TracedProbe, Wanted};
use crate::target::{Point, ProbePlan};
pub(crate) use cost::Cost;
pub(crate) use crossings::{Crossings, Landmarks};
use fetch::Fetch;
pub(crate) use tracefs::Definitions;
use tracefs::TracefsError;

/// Most frames that the kernel gives of a stack, the probe's own included (`kernel.perf_event_max_stack`).
const MOST_FRAMES: u16 = 127;

/// Why the engine can't be used.
#[derive(Debug, thiserror::Error)]
pub enum UprobeError {
    /// Probes can't be defined.
    #[error(transparent)]
    Tracefs(#[from] TracefsError),
    /// They can't be watched.
    #[error("{0}; to allow it: {way_out}", way_out = .0.way_out())]
    Perf(#[from] PerfError),
    /// Our own code.
    #[error("the cost of a probe can't be measured: {0}")]
    Program(std::io::Error),
}

impl UprobeError {
    /// What is in the way, without how to get past.
    pub(crate) fn why(&self) -> String {
        match self {
            UprobeError::Tracefs(error) => error.why(),
            UprobeError::Perf(error) => error.to_string(),
            UprobeError::Program(error) => error.to_string(),
        }
    }

    /// How to get past it.
    pub(crate) fn way_out(&self) -> &'static str {
        match self {
            UprobeError::Tracefs(error) => error.way_out(),
            UprobeError::Perf(error) => error.way_out(),
            UprobeError::Program(_) => "run as root",
        }
    }
}

/// Sets a probe on ourselves and comes by.
///
/// # Errors
/// If the engine can't be used here.
pub(crate) fn try_out() -> Result<(), UprobeError> {
    cost::measure(&Fetch::nothing(), &mut Definitions::new()?).map(|_| ())
}

/// Probes that are set, and the session that has their hits.
pub(crate) struct Probed {
    pub(crate) session: Session,
    pub(crate) cost: Cost,
    /// Kept as long as the session.
    pub(crate) definitions: Definitions,
}

/// Sets the probes of a program in a file and watches the given threads of it, and all they start.
///
/// # Errors
/// See [`UprobeError`]: then nothing is left behind.
pub(crate) fn set(
    pid: Pid,
    program: &Path,
    plan: &ProbePlan,
    wanted: Wanted,
    chosen: Chosen,
) -> Result<Probed, UprobeError> {
    let mut definitions = Definitions::new()?;
    let fetch = Fetch::new(plan);
    let cost = cost::measure(&fetch, &mut Definitions::new()?)?;
    let mut probes = Vec::new();
    for probe in plan.probes.iter().filter(|probe| chosen.timed || !only_for_times(probe.point)) {
        let name = format!("{:?}", probe.point).to_lowercase();
        let arguments = fetch.at(probe.point);
        let number = definitions.add(&name, program, probe.offset, &arguments)?;
        let frames = (probe.point == Point::Called).then_some(chosen.chain());
        probes.push(TracedProbe { point: probe.point, number, frames, fetches: !arguments.is_empty() });
    }
    let session = Session::new(pid, wanted, probes)?;
    Ok(Probed { session, cost, definitions })
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
        MOST_FRAMES.min(self.max_frames as u16 + 3)
    }
}

fn only_for_times(point: Point) -> bool {
    matches!(point, Point::Returned | Point::Resumed)
}
