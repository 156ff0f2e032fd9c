//! The recorded program, and the facts of the recording.

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

impl Target {
    /// Name of the executable.
    pub fn program(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The facts of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// `trampoline`, `uprobe` or `sample`.
    pub engine: String,
    /// Knowledge of the engine about crossings.
    pub knows: Knows,
    /// `every`, `auto` or `none`.
    pub timing: String,
    /// Start, in nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// Duration in nanoseconds.
    pub duration_ns: u64,
    /// Cost to the program of counting one crossing, in nanoseconds.
    pub hook_ns_per_crossing: f64,
    /// Cost of one reading of the clock, in nanoseconds.
    pub clock_read_ns: f64,
    /// Crossings counted without their stack because a table was full.
    pub folded_stacks: u64,
    /// Callbacks from threads that had not come from Go.
    pub foreign_callbacks: u64,
    /// Processor time that one sample stands for; 0 if none were taken.
    pub sample_period_ns: u64,
    /// Whether blocked and preempted times were measured.
    pub off_cpu: bool,
    /// Processor time that the recorder spent on looks at threads that waited, in nanoseconds; none where it took none.
    pub looks_cost_ns: Option<u64>,
    /// Time for which the stack of every wait in C was seen, in nanoseconds. In the rest, threads that waited were looked at
    /// now and then.
    pub every_wait_ns: u64,
    /// Slow crossings whose blocked time is not known, because their events were dropped (buffer full).
    pub lost_events: u64,
    /// Samples and other perf records that were dropped (buffer full).
    pub lost_samples: u64,
    /// Knowledge from following threads and goroutines: Ps lost, migrations, locks and callers of callbacks.
    pub scheduler: Scheduler,
    /// Goroutines that were not kept apart.
    pub forgotten: Forgotten,
    /// Processors that the program could use.
    pub parallelism: Parallelism,
    /// The Go runtime's own count, where no crossings were counted: with the sample engine.
    pub num_cgo_call: Option<u64>,
    /// Number of recordings that it is the sum of; 0 for one that is no sum.
    pub recordings: u64,
    /// Number of processes that it tells apart ([`crate::Profile::processes`]); 0 for a recording of one process.
    pub processes: usize,
    /// Notes for the reader.
    pub notes: Vec<String>,
}

/// Processors that the program could use, and whether they were enough.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parallelism {
    /// Number of processors that it was allowed on; none if that is not known.
    pub processors: Option<u32>,
    /// Number of processors whose time its control groups could take; none without a quota.
    pub quota: Option<f64>,
    /// GOMAXPROCS, as it was last; none if that is not known.
    pub gomaxprocs: Option<u32>,
    /// Time for which its threads ran, in nanoseconds; none if switches were not seen.
    pub ran_ns: Option<u64>,
    /// Time for which its threads were preempted: they could have run, but had lost their processors.
    pub preempted_ns: Option<u64>,
}

impl Parallelism {
    /// Share of the time in which threads could have run for which they were preempted, if that is known.
    pub fn preempted_share(&self) -> Option<f64> {
        let (ran, preempted) = (self.ran_ns? as f64, self.preempted_ns? as f64);
        (ran + preempted > 0.0).then(|| preempted / (ran + preempted))
    }
}

/// Knowledge of an engine about crossings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knows {
    /// Whether they were counted; else there are only samples.
    pub counts: bool,
    /// Whether getting to C and back was timed; else only the waits of exits were.
    pub phases: bool,
}

impl Default for Knows {
    /// All is known.
    fn default() -> Self {
        Knows { counts: true, phases: true }
    }
}

impl Knows {
    /// Returns the knowledge of the engine of this name, for older files, which do not say it.
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

/// Parts of the Go scheduler's work that were seen.
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
    /// Whether crossings were counted; else there are only samples.
    pub fn counted(&self) -> bool {
        self.knows.counts
    }

    /// Whether getting to C and back was timed; else only the waits of exits were.
    pub fn phases_timed(&self) -> bool {
        self.knows.phases
    }
}
