//! How the blocked time of crossings is divided among the stacks that were found to wait.
//!
//! How long crossings were blocked is known from the kernel's records; where, from its samples of threads that begin to
//! wait, or from looks now and then. So the blocked time of a cell is divided among its stacks as the time that was found.
//! A cell that calls back is also blocked where it is not in C: in Go. There the time that was found counts by itself, and
//! the rest is left.

use std::collections::HashMap;

use cgoprof_profile::{Cell, Profile, WaitingStack};

use crate::units::percent;

/// A part of the blocked time of a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitPart<'a> {
    pub(crate) cell: &'a Cell,
    /// The stack; none for time of which that is not known.
    pub(crate) stack: Option<&'a WaitingStack>,
    /// Nanoseconds, without those of crossings in callbacks.
    pub(crate) nanos: f64,
    /// Standard error of how the cell's time is divided.
    pub(crate) standard_error: f64,
}

/// Returns how the waits were found: `every wait was seen`. None if they were not.
pub(crate) fn how_found(profile: &Profile) -> Option<String> {
    const LOOKED: &str = "threads that waited were looked at every 20 ms on average";
    let share = share_seen(profile);
    profile.recording.looks_cost_ns.map(|_| match share {
        _ if all_seen(profile) => "every wait was seen".to_owned(),
        share if share > 0.0 => format!("every wait was seen in {} of the run, {LOOKED} in the rest", percent(share)),
        _ => LOOKED.to_owned(),
    })
}

/// Whether every wait was seen.
pub(crate) fn all_seen(profile: &Profile) -> bool {
    /// The recording begins and ends a little before or after that.
    const NEARLY: f64 = 0.99;
    share_seen(profile) >= NEARLY
}

/// Whether every wait was seen for more than half of the run.
pub(crate) fn mostly_seen(profile: &Profile) -> bool {
    share_seen(profile) > 0.5
}

/// Share of the run in which every wait was seen.
fn share_seen(profile: &Profile) -> f64 {
    profile.recording.every_wait_ns as f64 / profile.recording.duration_ns.max(1) as f64
}

/// Returns the parts of all cells.
pub(crate) fn parts(profile: &Profile) -> Vec<WaitPart<'_>> {
    let mut by_cell: HashMap<u64, Vec<&WaitingStack>> = HashMap::new();
    for wait in &profile.waits {
        if let Some(cell) = wait.cell {
            by_cell.entry(cell).or_default().push(wait);
        }
    }
    let cells = profile.cells.iter().filter(|cell| cell.stats.blocked_self() > 0.0);
    cells.flat_map(|cell| of_cell(cell, by_cell.get(&cell.id).map_or(&[], Vec::as_slice))).collect()
}

fn of_cell<'a>(cell: &'a Cell, waits: &[&'a WaitingStack]) -> Vec<WaitPart<'a>> {
    let blocked = cell.stats.blocked_self();
    let found: f64 = waits.iter().map(|wait| wait.time.sum).sum();
    let variance: f64 = waits.iter().map(|wait| wait.time.variance).sum();
    let scale = if cell.stats.callbacks > 0 { (blocked / found).min(1.0) } else { blocked / found };
    let part = |wait: &&'a WaitingStack| {
        let share = wait.time.sum / found;
        // Of a ratio whose parts are independent.
        let variance = (1.0 - 2.0 * share) * wait.time.variance + share.powi(2) * variance;
        WaitPart {
            cell,
            stack: Some(*wait),
            nanos: wait.time.sum * scale,
            standard_error: variance.max(0.0).sqrt() * scale,
        }
    };
    let mut parts: Vec<_> = if found > 0.0 { waits.iter().map(part).collect() } else { Vec::new() };
    let rest = blocked - parts.iter().map(|part| part.nanos).sum::<f64>();
    if rest > blocked * LEAST_REST {
        parts.push(WaitPart { cell, stack: None, nanos: rest, standard_error: 0.0 });
    }
    parts
}

/// Share of a cell's blocked time below which a rest is a rounding error.
const LEAST_REST: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Estimate, Stats};

    use super::*;

    fn check(what: &str, blocked: f64, callbacks: u64, found: &[(f64, f64)], expected: &[(bool, f64, f64)]) {
        let stats = Stats { calls: 1, blocked, callbacks, ..Stats::default() };
        let wait = |&(sum, error): &(f64, f64)| WaitingStack {
            cell: Some(7),
            time: Estimate { sum, variance: error * error, common: 0.0 },
            ..WaitingStack::default()
        };
        let profile = Profile {
            cells: vec![Cell { id: 7, stats, ..Cell::default() }],
            waits: found.iter().map(wait).collect(),
            ..Profile::default()
        };
        let parts = parts(&profile);
        let told: Vec<_> = parts.iter().map(|part| (part.stack.is_some(), part.nanos, part.standard_error)).collect();
        let is_near = |(one, other): (&(bool, f64, f64), &(bool, f64, f64))| {
            one.0 == other.0 && (one.1 - other.1).abs() < 1e-6 && (one.2 - other.2).abs() < 1e-6
        };
        assert!(told.len() == expected.len() && told.iter().zip(expected).all(is_near), "{what}: {told:?}");
        let sum: f64 = parts.iter().map(|part| part.nanos).sum();
        assert!((sum - blocked).abs() < 1e-6, "{what}: {sum} of {blocked}");
    }

    #[test]
    fn blocked_time_is_divided_as_it_was_found() {
        check("as found", 1000.0, 0, &[(30.0, 0.0), (10.0, 0.0)], &[(true, 750.0, 0.0), (true, 250.0, 0.0)]);
        // Halves of equal errors: the error of a share is 1/2 * sqrt(2) of that of one.
        let error = (0.25_f64 * 2.0).sqrt() * 10.0;
        check("with errors", 80.0, 0, &[(40.0, 10.0), (40.0, 10.0)], &[(true, 40.0, error), (true, 40.0, error)]);
        check("one stack has it all", 80.0, 0, &[(40.0, 10.0)], &[(true, 80.0, 0.0)]);
        check("none found", 80.0, 0, &[], &[(false, 80.0, 0.0)]);
        check("callbacks", 80.0, 3, &[(40.0, 0.0)], &[(true, 40.0, 0.0), (false, 40.0, 0.0)]);
        check("callbacks, more than there is", 80.0, 3, &[(160.0, 0.0)], &[(true, 80.0, 0.0)]);
        check("not blocked", 0.0, 0, &[(40.0, 0.0)], &[]);
    }
}
