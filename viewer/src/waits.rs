//! How the blocked time of crossings is divided among the stacks that were found to wait.
//!
//! How long crossings were blocked is known from the kernel's records; where, from its samples of threads that begin to
//! wait, or from looks now and then. So the blocked time of a cell is divided among its stacks as the time that was found.
//! A cell that calls back is also blocked where it is not in C: in Go. There the time that was found counts by itself, and
//! the rest is left.

use std::collections::{BTreeMap, HashMap};

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
    /// The time that was found of this stack.
    found: FoundTime,
    /// The time that was found of the cell.
    of_cell: FoundTime,
    /// By what found time is multiplied.
    scale: f64,
}

/// Time that was found, of some stacks of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct FoundTime {
    nanos: f64,
    variance: f64,
}

impl FoundTime {
    fn add(&mut self, other: FoundTime) {
        self.nanos += other.nanos;
        self.variance += other.variance;
    }

    /// Standard error of this part of a cell's time, whose sum is known.
    fn standard_error(self, of_cell: FoundTime, scale: f64) -> f64 {
        let share = self.nanos / of_cell.nanos;
        // Of a ratio whose parts are independent.
        let variance = (1.0 - 2.0 * share) * self.variance + share.powi(2) * of_cell.variance;
        variance.max(0.0).sqrt() * scale
    }
}

/// Blocked time of some parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockedTime {
    nanos: f64,
    /// By cell: what was found of these parts, and of the cell, and by what it is multiplied.
    found: BTreeMap<u64, (FoundTime, FoundTime, f64)>,
}

impl BlockedTime {
    pub(crate) fn add(&mut self, part: &WaitPart<'_>) {
        self.nanos += part.nanos;
        if part.stack.is_some() {
            let new = (FoundTime::default(), part.of_cell, part.scale);
            self.found.entry(part.cell.id).or_insert(new).0.add(part.found);
        }
    }

    /// Returns it in nanoseconds.
    pub(crate) fn nanos(&self) -> f64 {
        self.nanos
    }

    /// Returns its standard error. All stacks of a cell together have none: that time is known.
    pub(crate) fn standard_error(&self) -> f64 {
        let errors = self.found.values().map(|&(found, of_cell, scale)| found.standard_error(of_cell, scale));
        errors.fold(0.0, f64::hypot)
    }
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
    let mut of_cell = FoundTime::default();
    let found = |wait: &WaitingStack| FoundTime { nanos: wait.time.sum, variance: wait.time.variance };
    waits.iter().for_each(|wait| of_cell.add(found(wait)));
    let scale = blocked / of_cell.nanos;
    let scale = if cell.stats.callbacks > 0 { scale.min(1.0) } else { scale };
    let part = |wait: &&'a WaitingStack| {
        let found = found(wait);
        WaitPart { cell, stack: Some(*wait), nanos: found.nanos * scale, found, of_cell, scale }
    };
    let mut parts: Vec<_> = if of_cell.nanos > 0.0 { waits.iter().map(part).collect() } else { Vec::new() };
    let rest = blocked - parts.iter().map(|part| part.nanos).sum::<f64>();
    if rest > blocked * LEAST_REST {
        let none = FoundTime::default();
        let unknown = WaitPart { cell, stack: None, nanos: rest, found: none, of_cell, scale };
        parts.push(unknown);
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
        let error = |part: &WaitPart<'_>| {
            let mut one = BlockedTime::default();
            one.add(part);
            one.standard_error()
        };
        let told: Vec<_> = parts.iter().map(|part| (part.stack.is_some(), part.nanos, error(part))).collect();
        let is_near = |(one, other): (&(bool, f64, f64), &(bool, f64, f64))| {
            one.0 == other.0 && (one.1 - other.1).abs() < 1e-6 && (one.2 - other.2).abs() < 1e-6
        };
        assert!(told.len() == expected.len() && told.iter().zip(expected).all(is_near), "{what}: {told:?}");
        let sum: f64 = parts.iter().map(|part| part.nanos).sum();
        assert!((sum - blocked).abs() < 1e-6, "{what}: {sum} of {blocked}");
        let mut all = BlockedTime::default();
        parts.iter().for_each(|part| all.add(part));
        let (value, error) = (all.nanos(), all.standard_error());
        assert!((value - blocked).abs() < 1e-6 && (callbacks > 0 || error < 1e-6), "{what}: {value} {error}");
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
