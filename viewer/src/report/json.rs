//! The report as JSON: the contract `cgoprof.report/1`, described in docs/report-json.md.
//!
//! What a recording did not measure is null, never a made-up zero.

use cgoprof_profile::{Distribution, Profile, Stats, Via};
use serde::Serialize;
use serde_json::{Map, Value};

use super::counters::counters;
use super::fields::{Frame, Spread, known};
use super::scheduler_json;
use crate::{analysis, scheduler};

/// The report of a profile, indented.
///
/// # Errors
/// None that a profile can cause.
pub fn write(profile: &Profile) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&Report::new(profile))
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    target: Target<'a>,
    recording: Recording<'a>,
    totals: Totals,
    functions: Vec<Function<'a>>,
    sites: Vec<Site<'a>>,
    stacks: Vec<Stack<'a>>,
    samples: Option<Vec<Sample<'a>>>,
    c_outside: Option<Vec<Outside<'a>>>,
    callbacks: Option<Vec<scheduler_json::Callback<'a>>>,
    threads: Option<Vec<scheduler_json::Thread<'a>>>,
    threads_made: Option<Vec<scheduler_json::Made<'a>>>,
    peak: Option<scheduler_json::Peak<'a>>,
    goroutines: Option<Vec<scheduler_json::Goroutine<'a>>>,
    goroutines_forgotten: Option<scheduler_json::Forgotten>,
    locks: Option<Vec<scheduler_json::Lock<'a>>>,
    locks_held: Option<Vec<scheduler_json::Held<'a>>>,
    timeline: Option<scheduler_json::Timeline>,
    advice: Option<Vec<scheduler_json::Advice<'a>>>,
}

#[derive(Serialize)]
struct Target<'a> {
    path: &'a str,
    args: &'a [String],
    pid: u32,
    go_version: &'a str,
    build_id: Option<&'a str>,
    arch: &'static str,
    pie: bool,
    stripped: bool,
    race: bool,
    cgo: bool,
}

#[derive(Serialize)]
struct Recording<'a> {
    engine: &'a str,
    timing: &'a str,
    start_unix_ns: u64,
    duration_ns: u64,
    hook_ns_per_crossing: f64,
    hooks_cpu_ns: Option<f64>,
    hooks_cpu_se_ns: Option<f64>,
    clock_read_ns: f64,
    sample_period_ns: Option<u64>,
    num_cgo_call: Option<u64>,
    lost: Lost,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Lost {
    events: Option<u64>,
    samples: Option<u64>,
    folded_stacks: u64,
}

#[derive(Serialize)]
struct Totals {
    crossings: Option<u64>,
    direct: Option<u64>,
    timed: u64,
    #[serde(flatten)]
    counters: Map<String, Value>,
    total_ns: Option<f64>,
    enter_ns: Option<f64>,
    c_ns: Option<f64>,
    exit_ns: Option<f64>,
    overhead_ns: Option<f64>,
    threads: Option<u64>,
    threads_created: Option<u64>,
    max_threads_in_c: Option<u64>,
    locked_crossings: Option<u64>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    package: &'a str,
    symbol: Option<&'a str>,
    library: Option<&'a str>,
    via: &'static str,
    calls: Option<u64>,
    timed: u64,
    #[serde(flatten)]
    counters: Map<String, Value>,
    total_ns: Option<f64>,
    total_se_ns: Option<f64>,
    enter_ns: Option<f64>,
    c_ns: Option<f64>,
    c_se_ns: Option<f64>,
    c_self_ns: Option<f64>,
    exit_ns: Option<f64>,
    overhead_ns: Option<f64>,
    overhead_se_ns: Option<f64>,
    cpu_ns: Option<f64>,
    cpu_se_ns: Option<f64>,
    blocked_ns: Option<f64>,
    preempted_ns: Option<f64>,
    c: Spread,
    overhead: Spread,
    threads: Option<u64>,
    unlocked_threads: Option<u64>,
    locked_calls: Option<u64>,
}

#[derive(Serialize)]
struct Site<'a> {
    function: &'a str,
    caller: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    calls: Option<u64>,
    #[serde(flatten)]
    counters: Map<String, Value>,
    total_ns: Option<f64>,
    c_ns: Option<f64>,
    overhead_ns: Option<f64>,
    cpu_ns: Option<f64>,
    blocked_ns: Option<f64>,
}

#[derive(Serialize)]
struct Stack<'a> {
    frames: Vec<Frame<'a>>,
    truncated: bool,
    function: &'a str,
    calls: Option<u64>,
    total_ns: Option<f64>,
    c_ns: Option<f64>,
    overhead_ns: Option<f64>,
    cpu_ns: Option<f64>,
}

#[derive(Serialize)]
struct Sample<'a> {
    frames: Vec<Frame<'a>>,
    truncated: bool,
    function: Option<&'a str>,
    inside: usize,
    samples: u64,
    cpu_ns: f64,
}

/// Processor time of C that no crossing has called.
#[derive(Serialize)]
struct Outside<'a> {
    thread: &'a str,
    library: Option<&'a str>,
    samples: u64,
    cpu_ns: f64,
    cpu_se_ns: f64,
}

impl<'a> Report<'a> {
    fn new(profile: &'a Profile) -> Self {
        let functions = analysis::by_function(profile);
        let recording = &profile.recording;
        let spread = scheduler::spread(profile);
        let locked = functions.iter().filter(|row| row.via == Via::Cgocall).map(|row| row.locked_calls).sum();
        Report {
            schema: "cgoprof.report/1",
            target: Target::new(profile),
            recording: Recording::new(profile),
            totals: Totals::new(profile, locked),
            functions: functions
                .into_iter()
                .map(|row| {
                    let spread = spread.get(&(row.id, row.via)).copied().unwrap_or_default();
                    Function::new(row, recording, spread)
                })
                .collect(),
            sites: analysis::by_site(profile).into_iter().map(|row| Site::new(row, recording)).collect(),
            stacks: analysis::by_stack(profile).into_iter().map(|row| Stack::new(row, recording)).collect(),
            samples: (profile.recording.sample_period_ns > 0)
                .then(|| analysis::by_sample(profile).into_iter().map(Sample::new).collect()),
            c_outside: (profile.recording.sample_period_ns > 0)
                .then(|| analysis::outside(profile).into_iter().map(Outside::new).collect()),
            callbacks: scheduler_json::callbacks(profile),
            threads: scheduler_json::threads(profile),
            threads_made: scheduler_json::threads_made(profile),
            peak: scheduler_json::peak(profile),
            goroutines: scheduler_json::goroutines(profile),
            goroutines_forgotten: scheduler_json::forgotten(profile),
            locks: scheduler_json::locks(profile),
            locks_held: scheduler_json::locks_held(profile),
            timeline: scheduler_json::timeline(profile),
            advice: scheduler_json::advice(profile),
        }
    }
}

impl<'a> Target<'a> {
    fn new(profile: &'a Profile) -> Self {
        let target = &profile.target;
        Target {
            path: &target.path,
            args: &target.args,
            pid: target.pid,
            go_version: &target.go_version,
            build_id: known(&target.build_id),
            arch: "x86_64",
            pie: target.pie,
            stripped: target.stripped,
            race: target.race,
            cgo: target.cgo,
        }
    }
}

impl<'a> Recording<'a> {
    fn new(profile: &'a Profile) -> Self {
        let recording = &profile.recording;
        let hooks = analysis::hooks(profile);
        Recording {
            engine: &recording.engine,
            timing: &recording.timing,
            start_unix_ns: recording.start_unix_ns,
            duration_ns: recording.duration_ns,
            hook_ns_per_crossing: recording.hook_ns_per_crossing,
            hooks_cpu_ns: hooks.map(|(hooks, _)| hooks.nanos),
            hooks_cpu_se_ns: hooks.map(|(hooks, _)| hooks.standard_error),
            clock_read_ns: recording.clock_read_ns,
            sample_period_ns: (recording.sample_period_ns > 0).then_some(recording.sample_period_ns),
            num_cgo_call: recording.num_cgo_call,
            lost: Lost {
                events: recording.off_cpu.then_some(recording.lost_events),
                samples: (recording.sample_period_ns > 0 || !recording.phases_timed())
                    .then_some(recording.lost_samples),
                folded_stacks: recording.folded_stacks,
            },
            notes: &recording.notes,
        }
    }
}

impl Totals {
    fn new(profile: &Profile, locked_crossings: u64) -> Self {
        let (crossings, direct) = analysis::totals(profile);
        let recording = &profile.recording;
        let timed = |nanos: f64| measured(&crossings, nanos);
        let counted = |count: u64| recording.counted().then_some(count);
        let (threads, seen) = (&profile.threads, recording.scheduler);
        // Earlier recordings don't say that threads were watched: the kernel named them.
        let were = seen.threads || threads.iter().any(|thread| !thread.name.is_empty());
        let watched = |count: usize| were.then_some(count as u64);
        let callbacks = crossings.callbacks + direct.callbacks + recording.foreign_callbacks;
        Totals {
            crossings: counted(crossings.calls).or(recording.num_cgo_call),
            direct: counted(direct.calls),
            timed: crossings.timed,
            counters: counters(&Stats { callbacks, ..crossings.clone() }, recording),
            total_ns: timed(crossings.total().sum),
            enter_ns: timed(crossings.enter.sum).filter(|_| recording.phases_timed()),
            c_ns: timed(crossings.c.sum),
            exit_ns: timed(crossings.exit.sum),
            overhead_ns: timed(crossings.overhead().sum),
            threads: watched(threads.len()),
            threads_created: watched(threads.iter().filter(|thread| thread.created_ns.is_some()).count()),
            max_threads_in_c: profile.peak.as_ref().map(|peak| peak.threads),
            locked_crossings: counted(locked_crossings),
        }
    }
}

impl<'a> Function<'a> {
    fn new(row: analysis::FunctionRow<'a>, recording: &cgoprof_profile::Recording, spread: scheduler::Spread) -> Self {
        let (stats, seen) = (&row.stats, recording.scheduler);
        let counted = |count: u64| recording.counted().then_some(count);
        let timed = |nanos: f64| measured(stats, nanos);
        // A direct crossing has a C phase only.
        let phases = |nanos: f64| timed(nanos).filter(|_| row.via == Via::Cgocall);
        Function {
            name: &row.function.name,
            package: &row.function.package,
            symbol: known(&row.function.symbol),
            library: known(&row.function.library),
            via: match row.via {
                Via::Cgocall => "cgocall",
                Via::Runtime => "runtime",
                Via::Direct => "direct",
            },
            calls: counted(stats.calls),
            timed: stats.timed,
            counters: counters(stats, recording),
            total_ns: timed(stats.total().sum),
            total_se_ns: timed(stats.total().standard_error()),
            enter_ns: phases(stats.enter.sum).filter(|_| recording.phases_timed()),
            c_ns: timed(stats.c.sum),
            c_se_ns: timed(stats.c.standard_error()),
            c_self_ns: timed(stats.c_self()),
            exit_ns: phases(stats.exit.sum),
            overhead_ns: phases(stats.overhead().sum),
            overhead_se_ns: phases(stats.overhead().standard_error()),
            cpu_ns: row.cpu.map(|cpu| cpu.nanos),
            cpu_se_ns: row.cpu.map(|cpu| cpu.standard_error),
            blocked_ns: timed(stats.blocked).filter(|_| recording.off_cpu),
            preempted_ns: timed(stats.preempted).filter(|_| recording.off_cpu),
            c: Spread::new(&stats.c_times),
            overhead: if recording.phases_timed() {
                Spread::new(&stats.overhead_times)
            } else {
                // Of the few that waited only.
                Spread::new(&Distribution::default())
            },
            threads: seen.migrations.then_some(spread.threads),
            unlocked_threads: seen.migrations.then_some(spread.unlocked_threads),
            locked_calls: counted(row.locked_calls),
        }
    }
}

impl<'a> Site<'a> {
    fn new(row: analysis::SiteRow<'a>, recording: &cgoprof_profile::Recording) -> Self {
        let stats = &row.stats;
        Site {
            function: &row.function.name,
            caller: row.site.map(|site| site.function),
            file: row.site.and_then(|site| known(site.file)),
            line: row.site.map(|site| site.line).filter(|&line| line > 0),
            calls: recording.counted().then_some(stats.calls),
            counters: counters(stats, recording),
            total_ns: measured(stats, stats.total().sum),
            c_ns: measured(stats, stats.c.sum),
            overhead_ns: measured(stats, stats.overhead().sum),
            cpu_ns: row.cpu.map(|cpu| cpu.nanos),
            blocked_ns: measured(stats, stats.blocked).filter(|_| recording.off_cpu),
        }
    }
}

impl<'a> Stack<'a> {
    fn new(row: analysis::StackRow<'a>, recording: &cgoprof_profile::Recording) -> Self {
        let stats = &row.stats;
        Stack {
            frames: row.frames.iter().map(Frame::new).collect(),
            truncated: row.truncated,
            function: &row.function.name,
            calls: recording.counted().then_some(stats.calls),
            total_ns: measured(stats, stats.total().sum),
            c_ns: measured(stats, stats.c.sum),
            overhead_ns: measured(stats, stats.overhead().sum),
            cpu_ns: row.cpu.map(|cpu| cpu.nanos),
        }
    }
}

impl<'a> Sample<'a> {
    fn new(row: analysis::SampleRow<'a>) -> Self {
        Sample {
            frames: row.frames.iter().map(Frame::new).collect(),
            truncated: row.truncated,
            function: row.function.map(|function| function.name.as_str()),
            inside: row.inside,
            samples: row.samples,
            cpu_ns: row.cpu.nanos,
        }
    }
}

impl<'a> Outside<'a> {
    fn new(row: analysis::OutsideRow<'a>) -> Self {
        Outside {
            thread: row.thread,
            library: known(row.library),
            samples: row.samples,
            cpu_ns: row.cpu.nanos,
            cpu_se_ns: row.cpu.standard_error,
        }
    }
}

fn measured(stats: &Stats, nanos: f64) -> Option<f64> {
    (stats.timed > 0).then_some(nanos)
}
