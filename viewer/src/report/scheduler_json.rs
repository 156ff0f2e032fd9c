//! Threads, goroutines, callbacks and advice in the JSON report.

use cgoprof_profile::{Profile, Recording};
use serde::Serialize;

use super::fields::{Frame, Spread, known};
use crate::advice;
use crate::analysis;
use crate::scheduler::{self, BirthRow, CallbackRow, ThreadRow};

#[derive(Serialize)]
pub(super) struct Thread<'a> {
    tid: u64,
    m: Option<u64>,
    name: &'a str,
    created_ns: Option<u64>,
    exited_ns: Option<u64>,
    parent: Option<u64>,
    crossings: Option<u64>,
    c_ns: Option<f64>,
    blocked_ns: Option<f64>,
    locked_ns: Option<f64>,
    locked_idle_ns: Option<f64>,
    made: Option<Made<'a>>,
}

/// A thread that the runtime made.
#[derive(Serialize)]
pub(super) struct Made<'a> {
    at_ns: u64,
    tid: Option<u64>,
    why: &'static str,
    in_c: u64,
    holders: Vec<Holder<'a>>,
}

#[derive(Serialize)]
pub(super) struct Holder<'a> {
    function: &'a str,
    threads: u64,
}

#[derive(Serialize)]
pub(super) struct Peak<'a> {
    at_ns: u64,
    threads: u64,
    exact: bool,
    holders: Vec<Holder<'a>>,
}

#[derive(Serialize)]
pub(super) struct Goroutine<'a> {
    goid: u64,
    function: Option<&'a str>,
    calls: u64,
    threads: u64,
    migrations: u64,
    locked: Option<bool>,
    locks: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Callback<'a> {
    name: &'a str,
    within: Option<&'a str>,
    calls: u64,
    timed: u64,
    abandoned: u64,
    total_ns: Option<f64>,
    acquire_ns: Option<f64>,
    go_ns: Option<f64>,
    go_se_ns: Option<f64>,
    release_ns: Option<f64>,
    go: Spread,
    border: Spread,
    foreign_threads: u64,
    attached: u64,
    attach_ns: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct Lock<'a> {
    frames: Vec<Frame<'a>>,
    locks: u64,
    held: u64,
    held_ns: f64,
    longest_ns: f64,
    idle_ns: Option<f64>,
}

/// A goroutine locked to its thread at the end.
#[derive(Serialize)]
pub(super) struct Held<'a> {
    goid: u64,
    function: Option<&'a str>,
    tid: u64,
    since_ns: u64,
}

#[derive(Serialize)]
pub(super) struct Forgotten {
    goroutines: u64,
    alive: u64,
    calls: u64,
    migrations: u64,
}

#[derive(Serialize)]
pub(super) struct Timeline {
    crossings: usize,
    waits: usize,
    locked: usize,
    counters: usize,
    shortest_ns: u64,
    dropped: u64,
    shortest_wait_ns: u64,
    dropped_waits: u64,
    asleep: usize,
    shortest_asleep_ns: u64,
    dropped_asleep: u64,
}

#[derive(Serialize)]
pub(super) struct Advice<'a> {
    kind: &'static str,
    function: &'a str,
    caller: Option<&'a str>,
    site: Option<String>,
    why: String,
    what: String,
    saving_ns: Option<f64>,
    saving_se_ns: Option<f64>,
}

pub(super) fn threads(profile: &Profile) -> Option<Vec<Thread<'_>>> {
    (!profile.threads.is_empty())
        .then(|| scheduler::by_thread(profile).into_iter().map(|row| Thread::new(row, &profile.recording)).collect())
}

pub(super) fn threads_made(profile: &Profile) -> Option<Vec<Made<'_>>> {
    let seen = profile.recording.scheduler.migrations;
    seen.then(|| scheduler::births(profile).into_iter().map(Made::new).collect())
}

pub(super) fn peak(profile: &Profile) -> Option<Peak<'_>> {
    profile.peak.as_ref().map(|peak| Peak {
        at_ns: peak.at_ns,
        threads: peak.threads,
        exact: peak.exact,
        holders: holders(scheduler::holders(profile, &peak.holders)),
    })
}

pub(super) fn goroutines(profile: &Profile) -> Option<Vec<Goroutine<'_>>> {
    let seen = profile.recording.scheduler;
    let goroutine = |goroutine: &cgoprof_profile::Goroutine| Goroutine {
        goid: goroutine.goid,
        function: goroutine.function.map(|function| profile.functions[function.0].name.as_str()),
        calls: goroutine.calls,
        threads: goroutine.threads,
        migrations: goroutine.migrations,
        locked: seen.locks.then_some(goroutine.locks > 0),
        locks: seen.locks.then_some(goroutine.locks),
    };
    seen.migrations.then(|| profile.goroutines.iter().map(goroutine).collect())
}

pub(super) fn forgotten(profile: &Profile) -> Option<Forgotten> {
    let found = profile.recording.forgotten;
    profile.recording.scheduler.migrations.then_some(Forgotten {
        goroutines: found.goroutines,
        alive: found.alive,
        calls: found.calls,
        migrations: found.migrations,
    })
}

pub(super) fn callbacks(profile: &Profile) -> Option<Vec<Callback<'_>>> {
    let seen = profile.recording.scheduler.callbacks;
    seen.then(|| scheduler::by_callback(profile).into_iter().map(|row| Callback::new(&row)).collect())
}

pub(super) fn locks(profile: &Profile) -> Option<Vec<Lock<'_>>> {
    let lock = |lock: &cgoprof_profile::Lock| Lock {
        frames: analysis::frames(profile, &lock.stack).iter().map(Frame::new).collect(),
        locks: lock.locks,
        held: lock.held,
        held_ns: lock.held_ns,
        longest_ns: lock.longest_ns,
        idle_ns: lock.idle_ns,
    };
    profile.recording.scheduler.locks.then(|| profile.locks.iter().map(lock).collect())
}

pub(super) fn locks_held(profile: &Profile) -> Option<Vec<Held<'_>>> {
    let rows = scheduler::held_at_end(profile).into_iter();
    let rows = rows.map(|row| Held { goid: row.goid, function: row.function, tid: row.tid, since_ns: row.since_ns });
    profile.recording.scheduler.locks.then(|| rows.collect())
}

pub(super) fn timeline(profile: &Profile) -> Option<Timeline> {
    let timeline = &profile.timeline;
    (profile.recording.counted() && profile.recording.timing != "none").then_some(Timeline {
        crossings: timeline.crossings.len(),
        waits: timeline.waits.len(),
        locked: timeline.locked.len(),
        counters: timeline.counters.len(),
        shortest_ns: timeline.shortest_ns,
        dropped: timeline.dropped,
        shortest_wait_ns: timeline.shortest_wait_ns,
        dropped_waits: timeline.dropped_waits,
        asleep: timeline.asleep.len(),
        shortest_asleep_ns: timeline.shortest_asleep_ns,
        dropped_asleep: timeline.dropped_asleep,
    })
}

pub(super) fn advice(profile: &Profile) -> Option<Vec<Advice<'_>>> {
    profile.recording.counted().then(|| advice::advice(profile).into_iter().map(Advice::new).collect())
}

fn holders(holders: Vec<(&str, u64)>) -> Vec<Holder<'_>> {
    holders.into_iter().map(|(function, threads)| Holder { function, threads }).collect()
}

impl<'a> Thread<'a> {
    fn new(row: ThreadRow<'a>, recording: &Recording) -> Self {
        let (thread, seen) = (row.thread, recording.scheduler);
        let timed = recording.timing != "none";
        Thread {
            tid: thread.tid,
            m: thread.m,
            name: &thread.name,
            created_ns: thread.created_ns,
            exited_ns: thread.exited_ns,
            parent: thread.parent,
            crossings: seen.migrations.then_some(row.crossings),
            c_ns: (seen.migrations && timed).then_some(row.c_ns),
            blocked_ns: thread.blocked_ns,
            locked_ns: thread.locked_ns.filter(|_| seen.locks),
            locked_idle_ns: thread.locked_idle_ns.filter(|_| seen.locks),
            made: row.birth.map(Made::new),
        }
    }
}

impl<'a> Made<'a> {
    fn new(row: BirthRow<'a>) -> Self {
        Made {
            at_ns: row.birth.at_ns,
            tid: row.birth.tid,
            why: row.why.text(),
            in_c: row.birth.in_c,
            holders: holders(row.holders),
        }
    }
}

impl<'a> Callback<'a> {
    fn new(row: &CallbackRow<'a>) -> Self {
        let callback = row.callback;
        let timed = |nanos: f64| (callback.timed > 0).then_some(nanos);
        Callback {
            name: row.name,
            within: row.within.and_then(known),
            calls: callback.calls,
            timed: callback.timed,
            abandoned: callback.abandoned,
            total_ns: timed(row.total()),
            acquire_ns: timed(callback.acquire.sum),
            go_ns: timed(callback.go.sum),
            go_se_ns: timed(callback.go.standard_error()),
            release_ns: timed(callback.release.sum),
            go: Spread::new(&callback.go_times),
            border: Spread::new(&callback.border_times),
            foreign_threads: callback.foreign_threads,
            attached: callback.attached,
            attach_ns: (callback.attached > 0).then_some(callback.attach_ns),
        }
    }
}

impl<'a> Advice<'a> {
    fn new(one: advice::Advice<'a>) -> Self {
        Advice {
            kind: one.kind.name(),
            function: one.function,
            caller: one.site.map(|site| site.function),
            site: one.site.map(|site| format!("{}:{}", site.file, site.line)),
            why: one.why,
            what: one.what,
            saving_ns: one.saving.map(|saving| saving.nanos),
            saving_se_ns: one.saving.map(|saving| saving.standard_error),
        }
    }
}
