//! The slowest crossings, as JSON.

use std::collections::BTreeMap;

use cgoprof_profile::Profile;
use serde::Serialize;

use crate::programs;
use crate::slowest::{self, SlowestRow};
use crate::tables::Frame;

/// Maximum crossings.
const MOST: usize = 100;

/// A single crossing.
#[derive(Serialize)]
pub(super) struct Slowest<'a> {
    pid: Option<u64>,
    function: Option<&'a str>,
    at_ns: u64,
    total_ns: u64,
    enter_ns: Option<u64>,
    c_ns: Option<u64>,
    exit_ns: Option<u64>,
    in_c: bool,
    blocked_ns: Option<u64>,
    preempted_ns: Option<u64>,
    blocked_in: Vec<BlockedIn<'a>>,
    goroutine: Option<u64>,
    labels: BTreeMap<&'a str, &'a str>,
    thread: u64,
    exit_thread: Option<u64>,
    stands_for: u64,
    frames: Vec<Frame<'a>>,
    truncated: bool,
}

/// Part of its blocked time.
#[derive(Serialize)]
struct BlockedIn<'a> {
    waits_in: Option<&'a str>,
    blocked_ns: u64,
    frames: Vec<Frame<'a>>,
}

/// Returns the slowest crossings; none where single ones were not seen.
pub(super) fn slowest(profile: &Profile) -> Option<Vec<Slowest<'_>>> {
    let recording = &profile.recording;
    let row = |row| Slowest::new(profile, row);
    let is_known = recording.counted() && recording.timing != "none";
    is_known.then(|| slowest::rows(profile, MOST).into_iter().map(row).collect())
}

impl<'a> Slowest<'a> {
    fn new(profile: &Profile, row: SlowestRow<'a>) -> Self {
        let (crossing, off_cpu) = (row.crossing, profile.recording.off_cpu);
        // Of those that have not ended, it is not known yet.
        let off = |nanos: u64| (off_cpu && !crossing.open).then_some(nanos);
        let blocked_in = row.blocked.into_iter().map(|part| BlockedIn {
            waits_in: part.waits_in,
            blocked_ns: part.nanos,
            frames: part.inside.iter().map(Frame::new).collect(),
        });
        Slowest {
            pid: programs::pid(profile, crossing.process),
            function: row.function,
            at_ns: crossing.called_ns,
            total_ns: slowest::total(crossing),
            enter_ns: Some(crossing.enter_ns).filter(|&nanos| nanos > 0),
            c_ns: crossing.c_ns,
            exit_ns: Some(crossing.exit_ns).filter(|&nanos| nanos > 0),
            in_c: crossing.open,
            blocked_ns: off(crossing.blocked_ns),
            preempted_ns: crossing.preempted_ns.and_then(off),
            blocked_in: blocked_in.collect(),
            goroutine: Some(crossing.goid).filter(|&goid| goid > 0),
            labels: row.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            thread: crossing.tid,
            exit_thread: crossing.exit_tid,
            stands_for: crossing.weight,
            frames: row.frames.iter().map(Frame::new).collect(),
            truncated: row.truncated,
        }
    }
}
