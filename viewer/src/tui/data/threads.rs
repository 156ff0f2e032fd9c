//! Threads with what explains them.

use cgoprof_profile::Profile;

use crate::scheduler;
use crate::units::printable;

/// A thread. Times in nanoseconds, moments since the recording's start.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) tid: u64,
    pub(crate) m: Option<u64>,
    pub(crate) name: String,
    pub(crate) crossings: u64,
    pub(crate) c_ns: f64,
    pub(crate) blocked_ns: f64,
    pub(crate) locked_ns: f64,
    pub(crate) locked_idle_ns: f64,
    pub(crate) created_ns: Option<u64>,
    pub(crate) exited_ns: Option<u64>,
    /// Why it was made.
    pub(crate) because: String,
}

/// Those with the most time in C first.
pub(crate) fn rows(profile: &Profile) -> Vec<Row> {
    let rows = scheduler::by_thread(profile).into_iter().map(|row| Row {
        tid: row.thread.tid,
        m: row.thread.m,
        name: printable(&row.thread.name),
        crossings: row.crossings,
        c_ns: row.c_ns,
        blocked_ns: row.thread.blocked_ns.unwrap_or(0.0),
        locked_ns: row.thread.locked_ns.unwrap_or(0.0),
        locked_idle_ns: row.thread.locked_idle_ns.unwrap_or(0.0),
        created_ns: row.thread.created_ns,
        exited_ns: row.thread.exited_ns,
        because: printable(&row.because()),
    });
    rows.collect()
}
