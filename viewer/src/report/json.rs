//! The report as JSON: the contract `cgoprof.report/1`, described in docs/report-json.md.
//!
//! What a recording did not measure is null, never a made-up zero.

use cgoprof_profile::{Goroutine, Lock, Profile, Stats, Via};
use serde::Serialize;
use serde_json::{Map, Value};

use super::counters::counters;
use super::rows::Rows;
use super::scheduler_json;
use super::slowest_json::{self, Slowest};
use crate::analysis::{self, StackRow};
use crate::blocked;
use crate::scheduler;
use crate::tables::advice::AdviceRow;
use crate::tables::callbacks::CallbackRow;
use crate::tables::functions::FunctionRow;
use crate::tables::inside::{Group, InsideRow};
use crate::tables::packages::PackageRow;
use crate::tables::processes::ProcessRow;
use crate::tables::sites::SiteRow;
use crate::tables::threads::ThreadRow;
use crate::tables::{
    Birth, Column, Frame, advice, callbacks, functions, inside, known, packages, processes, sites, stacks, threads,
};

/// The report of a profile, indented.
///
/// # Errors
/// None that a profile can cause.
pub fn write(profile: &Profile) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&Report::new(profile, &stacks::columns()))
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    target: Target<'a>,
    recording: Recording<'a>,
    totals: Totals,
    functions: Rows<'a, FunctionRow>,
    sites: Rows<'a, SiteRow>,
    stacks: Rows<'a, StackRow<'a>>,
    samples: Option<Vec<Sample<'a>>>,
    c_outside: Option<Vec<Outside<'a>>>,
    blocked: Option<Vec<Blocked<'a>>>,
    slowest: Option<Vec<Slowest<'a>>>,
    packages: Rows<'a, PackageRow>,
    c_functions: Option<Rows<'a, InsideRow>>,
    c_lines: Option<Rows<'a, InsideRow>>,
    c_libraries: Option<Rows<'a, InsideRow>>,
    callbacks: Option<Rows<'a, CallbackRow>>,
    processes: Option<Rows<'a, ProcessRow>>,
    threads: Option<Rows<'a, ThreadRow>>,
    threads_made: Option<Vec<Birth<'a>>>,
    peak: Option<scheduler_json::Peak<'a>>,
    goroutines: Option<Rows<'a, Goroutine>>,
    goroutines_forgotten: Option<scheduler_json::Forgotten>,
    locks: Option<Rows<'a, Lock>>,
    locks_held: Option<Vec<scheduler_json::Held<'a>>>,
    timeline: Option<scheduler_json::Timeline>,
    advice: Option<Rows<'a, AdviceRow>>,
}

#[derive(Serialize)]
struct Target<'a> {
    path: &'a str,
    args: &'a [String],
    pid: u32,
    go_version: &'a str,
    build_id: Option<&'a str>,
    arch: &'a str,
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
    looks_cost_ns: Option<u64>,
    every_wait_ns: Option<u64>,
    num_cgo_call: Option<u64>,
    processors: Option<u32>,
    processor_quota: Option<f64>,
    gomaxprocs: Option<u32>,
    threads_ran_ns: Option<u64>,
    threads_preempted_ns: Option<u64>,
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
struct Sample<'a> {
    frames: Vec<Frame<'a>>,
    truncated: bool,
    function: Option<&'a str>,
    inside: usize,
    samples: u64,
    cpu_ns: f64,
}

/// Where C waited.
#[derive(Serialize)]
struct Blocked<'a> {
    waits_in: Option<&'a str>,
    frames: Vec<Frame<'a>>,
    truncated: bool,
    function: &'a str,
    inside: usize,
    found: u64,
    blocked_ns: f64,
    blocked_se_ns: f64,
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
    fn new(profile: &'a Profile, stacks: &'a [Column<StackRow<'a>>]) -> Self {
        let (recording, seen) = (&profile.recording, profile.recording.scheduler);
        let rows = functions::rows(profile);
        let locked = rows.iter().filter(|row| row.via == Via::Cgocall).map(|row| row.locked_calls).sum();
        Report {
            schema: "cgoprof.report/1",
            target: Target::new(profile),
            recording: Recording::new(profile),
            totals: Totals::new(profile, locked),
            functions: Rows::new(profile, rows),
            sites: Rows::new(profile, sites::rows(profile)),
            stacks: Rows::with(profile, analysis::by_stack(profile), stacks),
            samples: (recording.sample_period_ns > 0)
                .then(|| analysis::by_sample(profile).into_iter().map(Sample::new).collect()),
            c_outside: (recording.sample_period_ns > 0)
                .then(|| analysis::outside(profile).into_iter().map(Outside::new).collect()),
            blocked: recording.off_cpu.then(|| blocked::by_stack(profile).into_iter().map(Blocked::new).collect()),
            slowest: slowest_json::slowest(profile),
            packages: Rows::new(profile, packages::rows(profile)),
            c_functions: inside_c(profile, Group::Function),
            c_lines: inside_c(profile, Group::Line),
            c_libraries: inside_c(profile, Group::Library),
            callbacks: seen.callbacks.then(|| Rows::new(profile, callbacks::rows(profile))),
            processes: (!profile.processes.is_empty()).then(|| Rows::new(profile, processes::rows(profile))),
            threads: (!profile.threads.is_empty()).then(|| Rows::new(profile, threads::rows(profile))),
            threads_made: seen.migrations.then(|| scheduler::births(profile).into_iter().map(Birth::new).collect()),
            peak: scheduler_json::peak(profile),
            goroutines: seen.migrations.then(|| Rows::new(profile, profile.goroutines.clone())),
            goroutines_forgotten: scheduler_json::forgotten(profile),
            locks: seen.locks.then(|| Rows::new(profile, profile.locks.clone())),
            locks_held: scheduler_json::locks_held(profile),
            timeline: scheduler_json::timeline(profile),
            advice: recording.counted().then(|| Rows::new(profile, advice::rows(profile))),
        }
    }
}

/// C as samples saw it; none where no samples were taken.
fn inside_c(profile: &Profile, group: Group) -> Option<Rows<'_, InsideRow>> {
    (profile.recording.sample_period_ns > 0).then(|| Rows::new(profile, inside::rows(profile, group)))
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
            arch: &target.arch,
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
        let parallelism = recording.parallelism;
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
            looks_cost_ns: recording.looks_cost_ns,
            every_wait_ns: recording.looks_cost_ns.map(|_| recording.every_wait_ns),
            num_cgo_call: recording.num_cgo_call,
            processors: parallelism.processors,
            processor_quota: parallelism.quota,
            gomaxprocs: parallelism.gomaxprocs,
            threads_ran_ns: parallelism.ran_ns,
            threads_preempted_ns: parallelism.preempted_ns,
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

impl<'a> Blocked<'a> {
    fn new(row: blocked::BlockedRow<'a>) -> Self {
        Blocked {
            waits_in: row.waits_in,
            frames: row.frames.iter().map(Frame::new).collect(),
            truncated: row.truncated,
            function: row.function,
            inside: row.inside,
            found: row.found,
            blocked_ns: row.time.value,
            blocked_se_ns: row.time.error,
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
