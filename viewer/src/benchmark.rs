//! Go benchmarks: what each of their operations does at the border.
//!
//! The testing package runs a benchmark's function once with one operation (`run1`), and then with the number that it prints
//! (`launch`; src/testing/benchmark.go of Go 1.19 to 1.27). The stack of a crossing tells in which of the two it was made. A
//! function with `b.Loop` does all its operations in the first.

use std::collections::HashMap;

use cgoprof_profile::{Cell, Profile, Stats, Via};

use crate::analysis;

/// A line of results: `BenchmarkName-8   1000   1234 ns/op`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultLine {
    /// The whole name, with the processors behind it if there are several: `BenchmarkName/sub-8`.
    pub name: String,
    /// Number of operations.
    pub operations: u64,
}

/// Reads a line that a test binary prints.
pub fn result_line(line: &str) -> Option<ResultLine> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|name| name.starts_with("Benchmark"))?;
    let operations = words.next()?.parse().ok()?;
    // A value and its unit follow.
    words.next()?.parse::<f64>().ok()?;
    words.next()?;
    Some(ResultLine { name: name.to_owned(), operations })
}

/// Returns the part of a name that a pattern of `-test.bench` matches. The testing package adds the number of processors to a
/// name unless it is 1.
pub fn without_processors(name: &str, processors: usize) -> &str {
    let suffix = format!("-{processors}");
    name.strip_suffix(&suffix).filter(|_| processors > 1).unwrap_or(name)
}

/// Returns the pattern that matches one benchmark and no other.
pub fn pattern(name: &str, processors: usize) -> String {
    let elements =
        without_processors(name, processors).split('/').map(|element| format!("^{}$", regex::escape(element)));
    elements.collect::<Vec<_>>().join("/")
}

/// Crossings of a recording in which one benchmark ran, once, with a fixed number of operations.
pub struct Runs {
    operations: u64,
    sums: HashMap<Key, Stats>,
    is_timed: bool,
    has_phases: bool,
}

/// Where crossings were made: the part of the benchmark's life, and the functions and lines of their stack.
type Key = (Run, Vec<(String, u32)>);

/// Work of each operation at the border.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerOperation {
    /// Crossings.
    pub crossings: f64,
    /// Nanoseconds in C, without callbacks; none where nothing was timed.
    pub c_ns: Option<f64>,
    /// Nanoseconds of getting to C and back; none where that was not timed.
    pub border_ns: Option<f64>,
    /// Crossings of goroutines that the benchmark had started. The other numbers are without them: their run is not known.
    pub elsewhere: u64,
    /// Crossings whose stack was cut before it reached the benchmark. The other numbers are without them.
    pub cut: u64,
}

/// Part of a benchmark's life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Run {
    /// The run with one operation, or that of `b.Loop`.
    First,
    /// The run with the number of operations that is printed.
    Printed,
    /// `RunParallel`, of both runs.
    Parallel,
    /// Before all benchmarks: initialization, `TestMain`.
    Before,
    /// Goroutines that something else has started.
    Elsewhere,
    /// Stacks that are cut.
    Cut,
}

impl Runs {
    /// Returns the crossings of a recording, with the result that its benchmark has printed.
    pub fn of(profile: &Profile, result: &ResultLine) -> Runs {
        let mut sums: HashMap<Key, Stats> = HashMap::new();
        for cell in profile.cells.iter().filter(|cell| cell.via == Via::Cgocall) {
            let frames = analysis::frames(profile, &cell.stack);
            let names: Vec<&str> = frames.iter().map(|frame| frame.position.function).collect();
            let places = frames.iter().map(|frame| (frame.position.function.to_owned(), frame.position.line));
            sums.entry((run(cell, &names), places.collect())).or_default().add(&cell.stats);
        }
        Runs {
            operations: result.operations.max(1),
            sums,
            is_timed: profile.recording.timing != "none",
            has_phases: profile.recording.phases_timed(),
        }
    }

    /// Whether all crossings were made in the first run, by a function with `b.Loop` or by one that crosses only once. A
    /// recording with more operations tells which.
    pub fn are_in_the_first(&self) -> bool {
        let has = |wanted| self.sums.iter().any(|((run, _), sum)| *run == wanted && sum.calls > 0);
        !has(Run::Printed) && has(Run::First)
    }

    /// Returns what each operation did. Where all crossings are in the first run, `more` is the recording of the same
    /// benchmark with more operations: stacks with more crossings there are those of the loop.
    pub fn per_operation(&self, more: Option<&Runs>) -> PerOperation {
        let sum = |wanted: Run, is_meant: &dyn Fn(&Key, &Stats) -> bool| {
            let mut all = Stats::default();
            self.sums
                .iter()
                .filter(|(key, sum)| key.0 == wanted && is_meant(key, sum))
                .for_each(|(_, sum)| all.add(sum));
            all
        };
        let of = |run| sum(run, &|_, _| true);
        let grows = |key: &Key, sum: &Stats| {
            more.and_then(|more| more.sums.get(key)).is_some_and(|more| more.calls > sum.calls)
        };
        let looped = if self.are_in_the_first() { sum(Run::First, &grows) } else { Stats::default() };
        let (printed, parallel) = (of(Run::Printed), of(Run::Parallel));
        let operations = self.operations as f64;
        // The first run has one operation, and is the only one if one was asked for.
        let both = if self.operations > 1 { operations + 1.0 } else { 1.0 };
        let printed = if self.operations > 1 || printed.calls > 0 { printed } else { of(Run::First) };
        let each = |of: fn(&Stats) -> f64| (of(&printed) + of(&looped)) / operations + of(&parallel) / both;
        // Times are known of fewer crossings than there were where some were not timed.
        let whole = |stats: &Stats| stats.calls as f64 / stats.measured_calls().max(1) as f64;
        let scale = {
            let mut all = printed.clone();
            all.add(&looped);
            all.add(&parallel);
            whole(&all)
        };
        PerOperation {
            crossings: each(|stats| stats.calls as f64),
            c_ns: self.is_timed.then(|| each(Stats::c_self) * scale),
            border_ns: (self.is_timed && self.has_phases).then(|| each(|stats| stats.overhead().sum) * scale),
            elsewhere: of(Run::Elsewhere).calls,
            cut: of(Run::Cut).calls,
        }
    }
}

fn run(cell: &Cell, names: &[&str]) -> Run {
    let has = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    if has("testing.(*B).RunParallel") {
        Run::Parallel
    } else if let Some(run_n) = names.iter().position(|&name| name == "testing.(*B).runN") {
        let is_printed = names[run_n..].iter().any(|name| name.starts_with("testing.(*B).launch"));
        if is_printed { Run::Printed } else { Run::First }
    } else if has("main.main") || has("runtime.main") {
        Run::Before
    } else if cell.truncated {
        Run::Cut
    } else {
        Run::Elsewhere
    }
}

/// Returns the line of a benchmark for benchstat.
pub fn line(result: &ResultLine, found: &PerOperation) -> String {
    // Some crossings are rare: one in many operations.
    let digits = if found.crossings > 0.0 && found.crossings < 1.0 { 9 } else { 3 };
    let mut line = format!("{} {} {:.digits$} cgo-crossings/op", result.name, result.operations, found.crossings);
    for (nanos, unit) in [(found.c_ns, "cgo-ns/op"), (found.border_ns, "cgo-border-ns/op")] {
        if let Some(nanos) = nanos {
            line += &format!(" {nanos:.3} {unit}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Estimate, Function, FunctionId, Kind, Line, Location, LocationId};

    use super::*;

    #[test]
    fn lines_of_results_are_told_from_other_output() {
        let read = |line| result_line(line).map(|it| (it.name, it.operations));
        assert_eq!(read("BenchmarkA/b=1-8   \t  200\t  5.3 ns/op\t 0 B/op"), Some(("BenchmarkA/b=1-8".into(), 200)));
        for other in ["BenchmarkA", "BenchmarkA-8 fast", "ok  \tpkg 1.2s", "pkg: a/b", "BenchmarkA-8 7 logged"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_pattern_matches_one_benchmark() {
        assert_eq!(pattern("BenchmarkA-8", 8), "^BenchmarkA$");
        assert_eq!(pattern("BenchmarkA/n=1.5/x-2", 2), "^BenchmarkA$/^n=1\\.5$/^x$");
        assert_eq!(pattern("BenchmarkA/size-8", 1), "^BenchmarkA$/^size\\-8$", "with one processor nothing is added");
        assert_eq!(pattern("BenchmarkA/size-8-4", 4), "^BenchmarkA$/^size\\-8$");
    }

    /// A profile whose cells have these stacks, innermost first, with their crossings.
    fn profile(stacks: &[(&[&str], u64)]) -> Profile {
        let mut profile = Profile::default();
        profile.recording.timing = "every".into();
        for (at, (names, calls)) in stacks.iter().enumerate() {
            let mut stack = Vec::new();
            for name in *names {
                let function = FunctionId(profile.functions.len());
                profile.functions.push(Function { name: (*name).into(), kind: Kind::Go, ..Function::default() });
                stack.push(LocationId(profile.locations.len()));
                profile.locations.push(Location { lines: vec![Line { function, line: 1 }], ..Location::default() });
            }
            let c = Estimate { sum: *calls as f64 * 10.0, ..Estimate::default() };
            let stats = Stats { calls: *calls, timed: *calls, c, ..Stats::default() };
            profile.cells.push(Cell { id: at as u64, stack, stats, ..Cell::default() });
        }
        profile
    }

    const LAUNCH: [&str; 3] = ["p.BenchmarkA", "testing.(*B).runN", "testing.(*B).launch"];
    const FIRST: [&str; 3] = ["p.BenchmarkA", "testing.(*B).runN", "testing.(*B).run1.func1"];
    const PARALLEL: [&str; 2] = ["p.BenchmarkA.func1", "testing.(*B).RunParallel.func1"];
    const PART: [&str; 3] = ["p.BenchmarkA.func1", "testing.(*B).runN", "testing.(*B).run1.func1"];

    fn runs(operations: u64, stacks: &[(&[&str], u64)]) -> Runs {
        Runs::of(&profile(stacks), &ResultLine { name: "BenchmarkA-2".into(), operations })
    }

    #[test]
    fn the_run_with_the_printed_operations_counts() {
        let check = |stacks: &[(&[&str], u64)], crossings: f64, elsewhere: u64| {
            let found = runs(100, stacks).per_operation(None);
            assert_eq!((found.crossings, found.c_ns, found.elsewhere), (crossings, Some(crossings * 10.0), elsewhere));
        };
        check(&[(&LAUNCH, 300), (&FIRST, 5)], 3.0, 0);
        check(&[(&PARALLEL, 404), (&["p.init", "runtime.main"], 7)], 4.0, 0);
        check(&[(&LAUNCH, 100), (&["p.opener", "runtime.goexit"], 9)], 1.0, 9);
        assert_eq!(runs(1, &[(&FIRST, 5)]).per_operation(None).crossings, 5.0, "the first run is the only one");
    }

    #[test]
    fn a_loop_is_told_from_crossings_that_are_made_once() {
        let (fewer, more) = (runs(100, &[(&PART, 200), (&FIRST, 50)]), runs(200, &[(&PART, 400), (&FIRST, 50)]));
        assert!(fewer.are_in_the_first());
        assert_eq!(fewer.per_operation(Some(&more)).crossings, 2.0, "what is around the part is not its own");
        let once = runs(100, &[(&FIRST, 10)]);
        assert_eq!(once.per_operation(Some(&runs(200, &[(&FIRST, 10)]))).crossings, 0.0);
    }

    #[test]
    fn stacks_that_are_cut_are_told() {
        let mut cut = profile(&[(&["p.deep", "p.deep"], 7)]);
        cut.cells[0].truncated = true;
        let result = ResultLine { name: "BenchmarkA".into(), operations: 10 };
        let found = Runs::of(&cut, &result).per_operation(None);
        assert_eq!((found.cut, found.elsewhere, found.crossings), (7, 0, 0.0));
    }

    #[test]
    fn rare_crossings_are_not_rounded_away() {
        let result = ResultLine { name: "BenchmarkA".into(), operations: 10_000 };
        let found = PerOperation { crossings: 0.0001, ..PerOperation::default() };
        assert_eq!(line(&result, &found), "BenchmarkA 10000 0.000100000 cgo-crossings/op");
    }
}
