//! What a recording knows.

use std::sync::Arc;

use crate::metrics::Stats;
use crate::scheduler::{Birth, Callback, Forgotten, Goroutine, Lock, Peak, Thread, Timeline};

/// A whole recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The program.
    pub target: Target,
    /// How it was recorded.
    pub recording: Recording,
    /// Functions, Go and C; a [`FunctionId`] is an index.
    pub functions: Vec<Function>,
    /// Code addresses with what they mean; a [`LocationId`] is an index.
    pub locations: Vec<Location>,
    /// What was counted.
    pub cells: Vec<Cell>,
    /// What threads were seen running.
    pub samples: Vec<SampledStack>,
    /// The program's threads, if they were watched.
    pub threads: Vec<Thread>,
    /// Threads that the runtime made.
    pub births: Vec<Birth>,
    /// When most threads were in C.
    pub peak: Option<Peak>,
    /// Goroutines that crossed.
    pub goroutines: Vec<Goroutine>,
    /// Callbacks from C.
    pub callbacks: Vec<Callback>,
    /// Where goroutines locked themselves to threads.
    pub locks: Vec<Lock>,
    /// What took long: much, and shared by profiles of one recording as it goes on.
    pub timeline: Arc<Timeline>,
}

/// Samples of processor time with one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampledStack {
    /// [`Cell::id`] of the crossing that was in C; none where C was not reached by a crossing, and in Go.
    pub cell: Option<u64>,
    /// The whole stack, innermost first: what C had called, then that of the cell.
    pub stack: Vec<LocationId>,
    /// How many of the locations lie within the cell's C function.
    pub inside: usize,
    /// The stack goes on beyond its frames.
    pub truncated: bool,
    /// How many; each stands for [`Recording::sample_period_ns`].
    pub samples: u64,
}

/// Index of a [`Function`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FunctionId(pub usize);

/// Index of a [`Location`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LocationId(pub usize);

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
        self.engine != "sample"
    }

    /// Getting to C and back was timed; else only how long exits waited.
    pub fn phases_timed(&self) -> bool {
        self.engine != "uprobe"
    }
}

/// On which side of the border a function is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Kind {
    /// Go.
    #[default]
    Go,
    /// `runtime.cgocall` or what stands in its place.
    Border,
    /// C.
    C,
}

/// A function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Function {
    /// Unique among the functions of its kind: a C function's own name, with its package where two share it.
    pub name: String,
    /// Which side it is on.
    pub kind: Kind,
    /// Source file, empty when unknown.
    pub file: String,
    /// For a C function: its own name.
    pub c_name: String,
    /// For a C function: import path of the Go package that calls it.
    pub package: String,
    /// For a C function: name of the symbol that Go calls, empty when stripped.
    pub symbol: String,
    /// For a C function of a shared library: the library's path, else empty.
    pub library: String,
    /// For a C function: how cgo's wrapper calls it, if there is one.
    pub wrapper: Option<Wrapper>,
    /// For a C function of the program's own file: its code uses thread-local storage.
    pub thread_local: bool,
}

impl Function {
    /// Name and package that are the same in every recording; [`Function::name`] has the package only where a second function
    /// has the same name.
    pub fn identity(&self) -> (&str, &str) {
        if self.c_name.is_empty() { (&self.name, "") } else { (&self.c_name, &self.package) }
    }

    /// Stands for a thread that C made, as the caller of all that it calls.
    pub fn of_thread(name: &str) -> Function {
        Function { name: format!("[thread {name}]"), kind: Kind::C, ..Function::default() }
    }

    /// Name of the function that stands for the recorder's hooks.
    pub const HOOKS: &str = "[cgoprof's hooks]";

    /// The thread that it stands for, if it is none of C's: no symbol has such a name.
    pub fn thread(&self) -> Option<&str> {
        let is_code = self.kind != Kind::C || !self.symbol.is_empty();
        self.name.strip_prefix("[thread ")?.strip_suffix(']').filter(|_| !is_code)
    }
}

/// What the code of cgo's wrapper for a C function tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wrapper {
    /// It has pointer arguments, and what they point to escapes to the heap: no `#cgo noescape`.
    pub escapes: bool,
    /// `#cgo nocallback`.
    pub nocallback: bool,
}

/// A code address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// As in the file.
    pub address: u64,
    /// What it stands for, inlined calls first.
    pub lines: Vec<Line>,
}

/// A line of code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Line {
    /// Its function.
    pub function: FunctionId,
    /// Line in the function's file, 0 when unknown.
    pub line: u32,
}

/// How C was reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Via {
    /// By `runtime.cgocall`: counted by `runtime.NumCgoCall`.
    #[default]
    Cgocall,
    /// By `asmcgocall`, called by the runtime itself.
    Runtime,
    /// By `asmcgocall`, called by a library that skips the scheduler.
    Direct,
}

/// Everything about the crossings that share a C function, Go stack, enclosing crossing and lock state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Same in every member of a file.
    pub id: u64,
    /// The C function.
    pub function: FunctionId,
    /// C function, border, Go frames; then the enclosing crossing's, if this one is made in a callback.
    pub stack: Vec<LocationId>,
    /// How C was reached.
    pub via: Via,
    /// The goroutine was locked to its thread by the user.
    pub locked: bool,
    /// The stack goes on beyond the frames kept.
    pub truncated: bool,
    /// Numbers.
    pub stats: Stats,
}

/// A sum over all crossings, estimated from the timed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Nanoseconds.
    pub sum: f64,
    /// Square of the standard error of the sum, as far as the errors of its parts are independent.
    pub variance: f64,
    /// How far off it may be by what all parts have in common.
    pub common: f64,
}

/// How a time is spread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Smallest and largest seen, if any was.
    pub extremes: Option<(f64, f64)>,
    /// Middle of a bucket in nanoseconds, and how many crossings fall into it; ascending.
    pub buckets: Vec<(f64, u64)>,
}

impl Estimate {
    /// Standard error of the sum.
    pub fn standard_error(&self) -> f64 {
        (self.variance.max(0.0) + self.common.powi(2)).sqrt()
    }
}

impl Estimate {
    /// What has come since, of a sum that has grown. What both were off by in common is off in the difference too.
    pub fn since(&self, before: &Estimate) -> Estimate {
        Estimate {
            sum: (self.sum - before.sum).max(0.0),
            variance: (self.variance - before.variance).max(0.0),
            common: (self.common - before.common).max(0.0),
        }
    }
}

impl std::ops::AddAssign for Estimate {
    fn add_assign(&mut self, other: Estimate) {
        self.sum += other.sum;
        self.variance += other.variance;
        self.common += other.common;
    }
}

/// How far apart the middles of one bucket may be at two times, as a share: they follow the clock's rate as it is known by
/// then, and what is taken off for the hooks. Buckets are 6 % apart at least.
const SAME: f64 = 0.02;

impl Distribution {
    /// What has come to each bucket since; nothing if they can't be told apart.
    pub fn since(&self, before: &Distribution) -> Distribution {
        let mut buckets = self.buckets.clone();
        let mut at = 0;
        for &(middle, count) in &before.buckets {
            while buckets.get(at).is_some_and(|bucket| bucket.0 < middle * (1.0 - SAME)) {
                at += 1;
            }
            match buckets.get_mut(at).filter(|bucket| bucket.0 <= middle * (1.0 + SAME)) {
                Some(bucket) => bucket.1 = bucket.1.saturating_sub(count),
                None => return Distribution::default(),
            }
        }
        buckets.retain(|&(_, count)| count > 0);
        let extremes = buckets.first().zip(buckets.last()).map(|(first, last)| (first.0, last.0));
        Distribution { extremes, buckets }
    }

    /// Adds another.
    pub fn merge(&mut self, other: &Distribution) {
        self.extremes = match (self.extremes, other.extremes) {
            (Some((low, high)), Some((a, b))) => Some((low.min(a), high.max(b))),
            (one, None) => one,
            (None, other) => other,
        };
        let mut merged = Vec::with_capacity(self.buckets.len().max(other.buckets.len()));
        let (mut ours, mut theirs) =
            (self.buckets.iter().copied().peekable(), other.buckets.iter().copied().peekable());
        loop {
            match (ours.peek(), theirs.peek()) {
                (Some(&(a, count)), Some(&(b, more))) if a == b => {
                    merged.push((a, count.saturating_add(more)));
                    ours.next();
                    theirs.next();
                }
                (Some(&(a, _)), Some(&(b, _))) => merged.extend(if a < b { ours.next() } else { theirs.next() }),
                (Some(_), None) => merged.extend(ours.next()),
                (None, Some(_)) => merged.extend(theirs.next()),
                (None, None) => break,
            }
        }
        self.buckets = merged;
    }

    /// The time that a share of the crossings does not exceed, within the width of a bucket (12.5 %).
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let (low, high) = self.extremes?;
        let total = self.buckets.iter().fold(0u64, |sum, &(_, count)| sum.saturating_add(count));
        let wanted = (share * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for &(middle, count) in &self.buckets {
            seen = u64::saturating_add(seen, count);
            if seen >= wanted {
                return Some(middle.clamp(low, high));
            }
        }
        None
    }
}

impl Stats {
    /// Crossings that the sums of times are of.
    pub fn measured_calls(&self) -> u64 {
        self.calls.saturating_sub(self.abandoned).saturating_sub(self.untimed)
    }

    /// Enter and exit together.
    pub fn overhead(&self) -> Estimate {
        let mut both = self.enter;
        both += self.exit;
        both
    }

    /// Everything from the Go caller's side.
    pub fn total(&self) -> Estimate {
        let mut all = self.overhead();
        all += self.c;
        all
    }

    /// C time without callbacks.
    pub fn c_self(&self) -> f64 {
        (self.c.sum - self.callback.sum).max(0.0)
    }

    /// Blocked time without that of crossings made in callbacks: what can be added up over crossings in each other.
    pub fn blocked_self(&self) -> f64 {
        (self.blocked - self.blocked_within).max(0.0)
    }

    /// Total without callbacks: what can be added up over crossings nested in each other.
    pub fn total_self(&self) -> f64 {
        self.overhead().sum + self.c_self()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(buckets: &[(f64, u64)]) -> Distribution {
        let extremes = buckets.first().zip(buckets.last()).map(|(first, last)| (first.0, last.0));
        Distribution { extremes, buckets: buckets.to_vec() }
    }

    #[test]
    fn distributions_merge_by_bucket() {
        let mut one = distribution(&[(1.0, 2), (3.0, 1)]);
        one.merge(&distribution(&[(2.0, 5), (3.0, 4)]));
        assert_eq!(one, distribution(&[(1.0, 2), (2.0, 5), (3.0, 5)]));
        one.merge(&Distribution::default());
        assert_eq!(one.buckets.len(), 3);
    }

    #[test]
    fn times_that_can_not_be_told_apart_are_not_shown() {
        let check = |now: &[(f64, u64)], before: &[(f64, u64)], left: &[(f64, u64)]| {
            assert_eq!(distribution(now).since(&distribution(before)), distribution(left), "{now:?} {before:?}");
        };
        check(&[(0.0, 5), (10.0, 3), (3e6, 9)], &[(0.0, 5), (3.0001e6, 4)], &[(10.0, 3), (3e6, 5)]);
        check(&[(10.0, 3)], &[(10.0, 3)], &[]);
        check(&[(10.0, 3)], &[], &[(10.0, 3)]);
        // The hooks' own time is known to be another now.
        check(&[(10.0, 3), (500.0, 3)], &[(20.0, 3)], &[]);
    }

    #[test]
    fn quantiles_of_a_distribution() {
        let times = distribution(&[(10.0, 90), (20.0, 9), (1000.0, 1)]);
        let check = |share, expected| assert_eq!(times.quantile(share), Some(expected), "{share}");
        check(0.5, 10.0);
        check(0.9, 10.0);
        check(0.91, 20.0);
        check(0.99, 20.0);
        check(1.0, 1000.0);
        assert_eq!(Distribution::default().quantile(0.5), None);
    }
}
