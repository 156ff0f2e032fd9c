//! The program, and the facts of a recording of it.

use crate::scheduler::Forgotten;

/// The recorded program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// Path of the executable.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Process id.
    pub pid: u32,
    /// As the linker wrote it.
    pub go_version: String,
    /// Processor architecture, as Rust names it.
    pub arch: String,
    /// GNU build id in hexadecimal, empty if there is none.
    pub build_id: String,
    /// Position-independent.
    pub pie: bool,
    /// Without symbol table.
    pub stripped: bool,
    /// Built with the race detector.
    pub race: bool,
    /// Built with `CGO_ENABLED=1`.
    pub cgo: bool,
}

/// The facts of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// `trampoline`, `uprobe` or `sample`.
    pub engine: String,
    /// What the engine knows of crossings.
    pub knows: Knows,
    /// `every`, `auto` or `none`.
    pub timing: String,
    /// When it began, since 1970.
    pub start_unix_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// What counting one crossing cost the program, in nanoseconds.
    pub hook_ns_per_crossing: f64,
    /// What one reading of the clock costs.
    pub clock_read_ns: f64,
    /// Crossings counted without their stack because a table was full.
    pub folded_stacks: u64,
    /// Callbacks from threads that had not come from Go.
    pub foreign_callbacks: u64,
    /// Processor time that one sample stands for; 0 if none were taken.
    pub sample_period_ns: u64,
    /// Blocked and preempted times were measured.
    pub off_cpu: bool,
    /// Slow crossings whose blocked time is not known, because their events found no room.
    pub lost_events: u64,
    /// Samples and other perf records that found no room.
    pub lost_samples: u64,
    /// Threads and goroutines were followed: Ps lost, migrations, locks and who calls back are known.
    pub scheduler: Scheduler,
    /// Goroutines that were not kept apart.
    pub forgotten: Forgotten,
    /// What the Go runtime itself counted, where no crossings were: of the sample engine.
    pub num_cgo_call: Option<u64>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// What an engine knows of crossings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knows {
    /// They were counted; else there are only samples.
    pub counts: bool,
    /// Getting to C and back was timed; else only how long exits waited.
    pub phases: bool,
}

impl Default for Knows {
    /// All.
    fn default() -> Self {
        Knows { counts: true, phases: true }
    }
}

impl Knows {
    /// What the engine of this name knew before files said it.
    pub(crate) fn of_engine(name: &str) -> Knows {
        Knows { counts: name != "sample", phases: name != "uprobe" }
    }

    pub(crate) fn bits(self) -> u32 {
        u32::from(self.counts) | u32::from(self.phases) << 1
    }

    pub(crate) fn from_bits(bits: u32) -> Knows {
        Knows { counts: bits & 1 != 0, phases: bits & 2 != 0 }
    }
}

/// What was seen of the Go scheduler's doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduler {
    /// Crossings by thread and goroutine, and migrations.
    pub migrations: bool,
    /// Ps lost in C.
    pub ps: bool,
    /// Callbacks by their Go function, with phases.
    pub callbacks: bool,
    /// `LockOSThread` and `UnlockOSThread`.
    pub locks: bool,
    /// Threads that came and went.
    pub threads: bool,
}

impl Recording {
    /// Crossings were counted; else there are only samples.
    pub fn counted(&self) -> bool {
        self.knows.counts
    }

    /// Getting to C and back was timed; else only how long exits waited.
    pub fn phases_timed(&self) -> bool {
        self.knows.phases
    }
}
