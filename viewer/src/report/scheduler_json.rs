//! What the JSON report has of threads and goroutines beside tables.

use cgoprof_profile::Profile;
use serde::Serialize;

use crate::tables::Holder;
use crate::{programs, scheduler};

#[derive(Serialize)]
pub(super) struct Peak<'a> {
    at_ns: u64,
    threads: u64,
    exact: bool,
    holders: Vec<Holder<'a>>,
}

/// A goroutine locked to its thread at the end.
#[derive(Serialize)]
pub(super) struct Held<'a> {
    pid: Option<u64>,
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

pub(super) fn peak(profile: &Profile) -> Option<Peak<'_>> {
    profile.peak.as_ref().map(|peak| Peak {
        at_ns: peak.at_ns,
        threads: peak.threads,
        exact: peak.exact,
        holders: Holder::all(scheduler::holders(profile, &peak.holders)),
    })
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

pub(super) fn locks_held(profile: &Profile) -> Option<Vec<Held<'_>>> {
    let rows = scheduler::held_at_end(profile).into_iter();
    let rows = rows.map(|row| Held {
        pid: programs::pid(profile, row.process),
        goid: row.goid,
        function: row.function,
        tid: row.tid,
        since_ns: row.since_ns,
    });
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
