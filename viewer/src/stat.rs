//! What runs of a command did at the border, in a few lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cgoprof_profile::{Profile, Stats};
use serde_json::{Value, json};

use crate::analysis;
use crate::diff::quantity::Quantity;
use crate::measured::Measured;
use crate::scheduler;
use crate::units::{count, percent, printable, time};

/// Functions that are listed.
const FUNCTIONS: usize = 5;

/// The profiles of one run: of the command's program, or of all programs that it started.
pub type Run = Vec<Profile>;

/// A number of each run.
#[derive(Clone, Debug)]
struct Counter {
    key: &'static str,
    label: &'static str,
    kind: Kind,
    runs: Vec<Measured>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Count,
    /// Nanoseconds that add up over threads.
    Time,
    /// Nanoseconds of the run itself.
    Elapsed,
}

/// Returns the statistics as text. `command` is what was run.
pub fn text(command: &str, runs: &[Run]) -> String {
    let counters = counters(runs);
    let elapsed = Quantity::of(&each(runs, |run| Some(Measured { value: elapsed(run), error: 0.0 })));
    let mut text = format!("\n Crossings of '{}'", printable(command));
    if runs.len() > 1 {
        let _ = write!(text, " ({} runs)", count(runs.len() as u64));
    }
    text.push_str(":\n\n");
    for counter in &counters {
        let quantity = Quantity::of(&counter.runs);
        let value = match counter.kind {
            Kind::Count => count(quantity.value.round() as u64),
            Kind::Time | Kind::Elapsed => time(quantity.value),
        };
        let beside = match counter.kind {
            Kind::Count if elapsed.value > 0.0 => rate(quantity.value / elapsed.value * 1e9),
            Kind::Time if elapsed.value > 0.0 => format!("{} of the run", percent(quantity.value / elapsed.value)),
            _ => String::new(),
        };
        let line = format!("{value:>17}  {:<38} {beside:<18} {}", counter.label, error(quantity));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let functions = functions(runs);
    if !functions.is_empty() {
        text.push_str("\n most time or, where none was measured, most crossings:\n\n");
        for (name, total, calls) in functions.iter().take(FUNCTIONS) {
            let shown = if total.value > 0.0 { time(total.value) } else { String::new() };
            let calls = crate::units::calls(calls.value.round() as u64);
            let line = format!("{shown:>17}  {:<38} {calls:<18} {}", printable(name), error(*total));
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    let notes: Vec<&String> = runs.iter().flatten().flat_map(|profile| &profile.recording.notes).collect();
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    notes.iter().for_each(|note| *told.entry(note.as_str()).or_default() += 1);
    if !told.is_empty() {
        text.push('\n');
    }
    for (note, times) in told {
        let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
        let _ = writeln!(text, " note: {}{times}", printable(note));
    }
    text.push('\n');
    text
}

/// Returns the statistics as JSON: `cgoprof.stat/1`.
///
/// # Errors
/// None that profiles can cause.
pub fn json(command: &[String], runs: &[Run]) -> Result<String, serde_json::Error> {
    let of = |quantity: Quantity, runs: &[Measured]| json!({ "mean": quantity.value, "se": quantity.error, "runs": runs.iter().map(|run| run.value).collect::<Vec<_>>() });
    let counters: serde_json::Map<String, Value> = counters(runs)
        .into_iter()
        .map(|counter| {
            let unit = if counter.kind == Kind::Count { "" } else { "_ns" };
            (format!("{}{unit}", counter.key), of(Quantity::of(&counter.runs), &counter.runs))
        })
        .collect();
    let functions: Vec<Value> = functions(runs)
        .into_iter()
        .map(|(name, total, calls)| {
            json!({ "name": name, "total_ns": total.value, "total_se_ns": total.error, "calls": calls.value, "calls_se": calls.error })
        })
        .collect();
    let programs: Vec<usize> = runs.iter().map(Vec::len).collect();
    serde_json::to_string_pretty(&json!({
        "schema": "cgoprof.stat/1",
        "command": command,
        "programs": programs,
        "counters": counters,
        "functions": functions,
    }))
}

/// Returns the counters that all profiles know, those that are 0 in all runs left out but for the number of crossings.
fn counters(runs: &[Run]) -> Vec<Counter> {
    let sum = |of: fn(&Profile) -> Option<Measured>| {
        each(runs, |run| {
            let mut sum = Measured::default();
            for profile in run {
                let part = of(profile)?;
                sum = Measured { value: sum.value + part.value, error: sum.error.hypot(part.error) };
            }
            Some(sum)
        })
    };
    let counter = |key, label, kind, of| Counter { key, label, kind, runs: sum(of) };
    let all = [
        counter("crossings", "crossings", Kind::Count, |profile| counted(profile, |stats| stats.calls)),
        counter("direct", "direct crossings", Kind::Count, |profile| {
            profile.recording.counted().then(|| Measured::count(analysis::totals(profile).1.calls))
        }),
        counter("callbacks", "callbacks into Go", Kind::Count, |profile| counted(profile, |stats| stats.callbacks)),
        counter("c", "in C", Kind::Time, |profile| {
            timed(profile, |stats| Measured { value: stats.c_self(), error: stats.c.standard_error() })
        }),
        counter("overhead", "getting to C and back", Kind::Time, |profile| {
            timed(profile, |stats| stats.overhead().into()).filter(|_| profile.recording.phases_timed())
        }),
        counter("blocked", "blocked in C", Kind::Time, |profile| {
            off_cpu(profile, |stats| Measured { value: stats.blocked_self(), error: 0.0 })
        }),
        counter("preempted", "preempted in C", Kind::Time, |profile| {
            off_cpu(profile, |stats| Measured { value: stats.preempted, error: 0.0 })
        }),
        counter("p_lost", "Ps lost in C", Kind::Count, |profile| {
            counted(profile, |stats| stats.p_lost).filter(|_| profile.recording.scheduler.ps)
        }),
        counter("p_wait", "waiting for a P", Kind::Time, |profile| {
            let wait = timed(profile, |stats| Measured { value: stats.p_wait, error: 0.0 });
            wait.filter(|_| profile.recording.scheduler.ps)
        }),
        counter("migrations", "migrations of goroutines", Kind::Count, |profile| {
            counted(profile, |stats| stats.migrations).filter(|_| profile.recording.scheduler.migrations)
        }),
        counter("threads", "threads", Kind::Count, |profile| {
            let all_are_seen = profile.recording.scheduler.threads;
            all_are_seen.then(|| Measured::count(profile.threads.len() as u64))
        }),
        counter("threads_made_for_c", "threads made while others were in C", Kind::Count, |profile| {
            let births = scheduler::births(profile);
            let made = births.iter().filter(|row| !row.why.is_usual() && row.birth.in_c > 0).count();
            profile.recording.counted().then(|| Measured::count(made as u64))
        }),
        Counter {
            key: "elapsed",
            label: "elapsed",
            kind: Kind::Elapsed,
            runs: each(runs, |run| Some(Measured { value: elapsed(run), error: 0.0 })),
        },
    ];
    let says_something =
        |counter: &Counter| counter.key == "crossings" || counter.runs.iter().any(|run| run.value > 0.0);
    all.into_iter().filter(|counter| !counter.runs.is_empty()).filter(says_something).collect()
}

/// Returns a number of each run; none at all where a run does not know it.
fn each(runs: &[Run], of: impl Fn(&Run) -> Option<Measured>) -> Vec<Measured> {
    runs.iter().map(of).collect::<Option<Vec<_>>>().unwrap_or_default()
}

fn counted(profile: &Profile, of: fn(&Stats) -> u64) -> Option<Measured> {
    profile.recording.counted().then(|| Measured::count(of(&analysis::totals(profile).0)))
}

fn timed(profile: &Profile, of: fn(&Stats) -> Measured) -> Option<Measured> {
    let known = profile.recording.counted() && profile.recording.timing != "none";
    known.then(|| of(&analysis::totals(profile).0))
}

fn off_cpu(profile: &Profile, of: fn(&Stats) -> Measured) -> Option<Measured> {
    profile.recording.off_cpu.then(|| of(&analysis::totals(profile).0))
}

/// Returns the nanoseconds from the first recording's start to the last one's end.
fn elapsed(run: &Run) -> f64 {
    let begun = run.iter().map(|profile| profile.recording.start_unix_ns).min().unwrap_or(0);
    let end = |profile: &Profile| profile.recording.start_unix_ns.saturating_add(profile.recording.duration_ns);
    run.iter().map(end).max().unwrap_or(0).saturating_sub(begun) as f64
}

/// Returns the C functions with their total and calls, those with the largest total first.
fn functions(runs: &[Run]) -> Vec<(String, Quantity, Quantity)> {
    let sums = |run: &Run| {
        let mut sums: BTreeMap<String, Stats> = BTreeMap::new();
        for cell in run.iter().flat_map(|profile| profile.cells.iter().map(move |cell| (profile, cell))) {
            let (profile, cell) = cell;
            sums.entry(profile.functions[cell.function.0].name.clone()).or_default().add(&cell.stats);
        }
        sums
    };
    let sums: Vec<_> = runs.iter().map(sums).collect();
    let mut names: Vec<&String> = sums.iter().flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
    let row = |name: &String| {
        let of = |of: fn(&Stats) -> Measured| {
            Quantity::of(&sums.iter().map(|run| run.get(name).map_or_else(Measured::default, of)).collect::<Vec<_>>())
        };
        let total = of(|stats| Measured { value: stats.total_self(), error: stats.total().standard_error() });
        (name.clone(), total, of(|stats| Measured::count(stats.calls)))
    };
    let mut rows: Vec<_> = names.into_iter().map(row).collect();
    rows.sort_by(|one, other| {
        let by_total = other.1.value.total_cmp(&one.1.value);
        by_total.then(other.2.value.total_cmp(&one.2.value)).then_with(|| one.0.cmp(&other.0))
    });
    rows
}

fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.1} /s"),
    }
}

/// Returns the standard error as a share, where it is worth showing.
fn error(quantity: Quantity) -> String {
    let share = quantity.error / quantity.value;
    if share.is_finite() && share > 0.0005 { format!("\u{b1}{}", percent(share)) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Cell, Estimate, Function, FunctionId, Kind as Side};

    use super::*;

    fn profile(calls: u64, c: f64, start: u64) -> Profile {
        let mut profile = Profile {
            functions: vec![Function { name: "work".into(), kind: Side::C, ..Function::default() }],
            cells: vec![Cell {
                function: FunctionId(0),
                stats: Stats { calls, timed: calls, c: Estimate { sum: c, ..Estimate::default() }, ..Stats::default() },
                ..Cell::default()
            }],
            ..Profile::default()
        };
        profile.recording.knows.counts = true;
        profile.recording.knows.phases = true;
        profile.recording.timing = "auto".into();
        profile.recording.start_unix_ns = start;
        profile.recording.duration_ns = 2_000_000_000;
        profile
    }

    fn counters_of(runs: &[Run]) -> BTreeMap<String, Value> {
        let json: Value = serde_json::from_str(&json(&["app".into()], runs).expect("JSON")).expect("JSON");
        json["counters"].as_object().expect("counters").clone().into_iter().collect()
    }

    #[test]
    fn programs_of_a_run_add_up_and_runs_vary() {
        let second = 1_000_000_000;
        let first = vec![profile(100, 1e9, 0), profile(10, 1e8, second)];
        let other = vec![profile(100, 2e9, 5 * second), profile(10, 2e8, 6 * second)];
        let found = counters_of(&[first, other]);
        assert_eq!(found["crossings"]["mean"], 110.0);
        assert_eq!((found["crossings"]["se"].clone(), found["elapsed_ns"]["mean"].clone()), (0.0.into(), 3e9.into()));
        assert_eq!(found["c_ns"]["runs"], json!([1.1e9, 2.2e9]));
        assert!((found["c_ns"]["se"].as_f64().expect("an error") - 0.55e9).abs() < 1.0, "{found:?}");
    }

    #[test]
    fn the_text_has_rates_shares_and_errors() {
        let text = text("app --its", &[vec![profile(3000, 1e9, 0)], vec![profile(5000, 1e9, 9)]]);
        for expected in
            ["'app --its' (2 runs)", "4,000  crossings", "2.0 k/s", "50.0 % of the run", "\u{b1}25.0 %", "work"]
        {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!text.contains("callbacks"), "{text}");
    }

    #[test]
    fn what_a_run_does_not_know_is_left_out() {
        let mut untimed = profile(10, 0.0, 0);
        untimed.recording.timing = "none".into();
        let found = counters_of(&[vec![profile(10, 1e9, 0)], vec![untimed]]);
        assert!(found.contains_key("crossings") && !found.contains_key("c_ns"), "{found:?}");
    }
}
