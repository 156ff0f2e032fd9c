//! What an operation of a Go benchmark does at the border.
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

/// Returns the part of a name that a pattern of `-test.bench` matches: without the processors, which follow where there
/// are several.
pub fn without_processors(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((before, processors)) if processors.parse::<u32>().is_ok_and(|count| count > 1) => before,
        _ => name,
    }
}

/// Returns the pattern that matches one benchmark and no other.
pub fn pattern(name: &str) -> String {
    let elements = without_processors(name).split('/').map(|element| format!("^{}$", regex::escape(element)));
    elements.collect::<Vec<_>>().join("/")
}

/// What a benchmark did at the border.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PerOperation {
    /// Crossings.
    pub crossings: f64,
    /// Nanoseconds in C, without callbacks; none where nothing was timed.
    pub c_ns: Option<f64>,
    /// Nanoseconds of getting to C and back; none where that was not timed.
    pub border_ns: Option<f64>,
    /// Crossings that goroutines made which the benchmark had started. They are not in the other numbers, because it is not
    /// known in which run they were made.
    pub elsewhere: u64,
}

/// Where in a benchmark's life a crossing was made.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Run {
    /// In the run with one operation, or that of `b.Loop`.
    First,
    /// In the run with the number of operations that is printed.
    Printed,
    /// In `RunParallel`, of both runs.
    Parallel,
    /// In what comes before: the benchmark around it, `TestMain`.
    Before,
    /// In a goroutine that something else has started.
    Elsewhere,
}

/// Returns what each operation of a benchmark did, of a recording in which only this benchmark ran, once, with a fixed number
/// of operations.
pub fn per_operation(profile: &Profile, result: &ResultLine) -> PerOperation {
    let mut sums: HashMap<Run, Stats> = HashMap::new();
    for cell in profile.cells.iter().filter(|cell| cell.via == Via::Cgocall) {
        sums.entry(run(profile, cell, &result.name)).or_default().add(&cell.stats);
    }
    let sum = |run| sums.get(&run).cloned().unwrap_or_default();
    let (first, printed, parallel) = (sum(Run::First), sum(Run::Printed), sum(Run::Parallel));
    let operations = result.operations.max(1) as f64;
    // The first run has one operation, and is the only one if that is what was asked for.
    let all = if result.operations > 1 { operations + 1.0 } else { 1.0 };
    let measured = if printed.calls > 0 { printed } else { first };
    let timed = profile.recording.timing != "none";
    let each = |of: fn(&Stats) -> f64| of(&measured) / operations + of(&parallel) / all;
    PerOperation {
        crossings: each(|stats| stats.calls as f64),
        c_ns: timed.then(|| each(Stats::c_self)),
        border_ns: (timed && profile.recording.phases_timed()).then(|| each(|stats| stats.overhead().sum)),
        elsewhere: sum(Run::Elsewhere).calls,
    }
}

fn run(profile: &Profile, cell: &Cell, name: &str) -> Run {
    let frames = analysis::frames(profile, &cell.stack);
    let names: Vec<&str> = frames.iter().map(|frame| frame.position.function).collect();
    if names.iter().any(|name| name.starts_with("testing.(*B).RunParallel")) {
        return Run::Parallel;
    }
    let Some(run_n) = names.iter().position(|&name| name == "testing.(*B).runN") else {
        let is_main = names.iter().any(|&name| name == "main.main" || name == "runtime.main");
        return if is_main { Run::Before } else { Run::Elsewhere };
    };
    // Of a benchmark with parts, the function around them is the one that bears the first part of the name.
    let top = without_processors(name).split('/').next().unwrap_or_default();
    let function = run_n.checked_sub(1).map_or("", |at| names[at]);
    let is_around = name.contains('/') && function.rsplit('.').next() == Some(top);
    match names[run_n..].iter().any(|name| name.starts_with("testing.(*B).launch")) {
        _ if is_around => Run::Before,
        true => Run::Printed,
        false => Run::First,
    }
}

/// Returns the line of a benchmark for benchstat.
pub fn line(result: &ResultLine, found: &PerOperation) -> String {
    let mut line = format!("{} {} {:.3} cgo-crossings/op", result.name, result.operations, found.crossings);
    for (nanos, unit) in [(found.c_ns, "cgo-ns/op"), (found.border_ns, "cgo-border-ns/op")] {
        if let Some(nanos) = nanos {
            line += &format!(" {nanos:.2} {unit}");
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
        assert_eq!(pattern("BenchmarkA-8"), "^BenchmarkA$");
        assert_eq!(pattern("BenchmarkA/n=1.5/x-1"), "^BenchmarkA$/^n=1\\.5$/^x\\-1$");
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

    #[test]
    fn the_run_with_the_printed_operations_counts() {
        const LAUNCH: [&str; 3] = ["p.BenchmarkA", "testing.(*B).runN", "testing.(*B).launch"];
        const FIRST: [&str; 3] = ["p.BenchmarkA", "testing.(*B).runN", "testing.(*B).run1.func1"];
        const PARALLEL: [&str; 2] = ["p.BenchmarkA.func1", "testing.(*B).RunParallel.func1"];
        let check = |name: &str, stacks: &[(&[&str], u64)], crossings: f64, elsewhere: u64| {
            let found = per_operation(&profile(stacks), &ResultLine { name: name.into(), operations: 100 });
            assert_eq!((found.crossings, found.c_ns, found.elsewhere), (crossings, Some(crossings * 10.0), elsewhere));
        };
        check("BenchmarkA-2", &[(&LAUNCH, 300), (&FIRST, 5)], 3.0, 0);
        check("BenchmarkA", &[(&FIRST, 200)], 2.0, 0);
        check("BenchmarkA", &[(&PARALLEL, 404), (&["p.init", "runtime.main"], 7)], 4.0, 0);
        check("BenchmarkA", &[(&LAUNCH, 100), (&["p.opener", "runtime.goexit"], 9)], 1.0, 9);
        let part = ["p.BenchmarkA.func1", "testing.(*B).runN", "testing.(*B).run1.func1"];
        check("BenchmarkA/part-2", &[(&part, 200), (&FIRST, 50)], 2.0, 0);
    }
}
