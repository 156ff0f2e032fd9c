//! The slowest single crossings, with what each was blocked in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use cgoprof_profile::{Cell, Profile, SlowCrossing, Wait};

use crate::analysis::{self, Frame};
use crate::units::{printable, time};

/// A crossing of the timeline.
#[derive(Clone, Debug)]
pub struct SlowestRow<'a> {
    /// The crossing.
    pub crossing: &'a SlowCrossing,
    /// The C function; none if the profile has lost it.
    pub function: Option<&'a str>,
    /// C function, border, Go frames.
    pub frames: Vec<Frame<'a>>,
    /// Whether the stack goes on beyond its frames.
    pub truncated: bool,
    /// What it was blocked in, the longest first. They add up to its blocked time.
    pub blocked: Vec<BlockedIn<'a>>,
    /// Labels that its goroutine had (`pprof.Do`): keys with values.
    pub labels: &'a [(String, String)],
}

/// What a crossing was blocked in for part of its time.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockedIn<'a> {
    /// Nanoseconds.
    pub nanos: u64,
    /// A system call, or a page; none for time of which that is not known.
    pub waits_in: Option<&'a str>,
    /// What it waited in and the frames that the C function had called, innermost first.
    pub inside: Vec<Frame<'a>>,
}

/// How long a crossing took, as far as its phases were timed.
pub fn total(crossing: &SlowCrossing) -> u64 {
    crossing.enter_ns.saturating_add(crossing.c_ns.unwrap_or(0)).saturating_add(crossing.exit_ns)
}

/// How long it was in C: `115 ms in C`.
pub(crate) fn time_in_c(crossing: &SlowCrossing) -> String {
    match crossing.c_ns {
        Some(c) if crossing.open => format!("still in C, {} so far", time(c as f64)),
        Some(c) => format!("{} in C", time(c as f64)),
        None => "short in C".to_owned(),
    }
}

/// The thread on which its goroutine went on, if it is known to be another.
pub(crate) fn other_thread(crossing: &SlowCrossing) -> Option<u64> {
    crossing.exit_tid.filter(|&tid| tid != crossing.tid)
}

/// Returns the labels that a crossing's goroutine had; none if it had none, or none were read.
pub(crate) fn labels<'a>(profile: &'a Profile, crossing: &SlowCrossing) -> &'a [(String, String)] {
    let set = crossing.labels.and_then(|index| profile.timeline.label_sets.get(index as usize));
    set.map_or(&[], Vec::as_slice)
}

/// Returns labels for people: `path=/a, request=4711`; none if there are none.
pub(crate) fn labels_text(labels: &[(String, String)]) -> Option<String> {
    let texts: Vec<String> = labels.iter().map(|(key, value)| printable(&format!("{key}={value}"))).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// Returns at most so many crossings, the slowest first.
pub fn rows(profile: &Profile, limit: usize) -> Vec<SlowestRow<'_>> {
    let mut slowest: Vec<&SlowCrossing> = profile.timeline.crossings.iter().collect();
    slowest.sort_by_key(|crossing| (Reverse(total(crossing)), crossing.called_ns));
    slowest.truncate(limit);
    let cells: HashMap<u64, &Cell> = profile.cells.iter().map(|cell| (cell.id, cell)).collect();
    let waits = Waits::of(profile, |_| true);
    let rows = slowest.into_iter().map(|crossing| {
        let cell = cells.get(&crossing.cell).copied();
        SlowestRow {
            crossing,
            function: cell.map(|cell| profile.functions[cell.function.0].name.as_str()),
            frames: cell.map_or(Vec::new(), |cell| analysis::frames(profile, &cell.stack)),
            truncated: cell.is_some_and(|cell| cell.truncated),
            blocked: waits.blocked_in(crossing),
            labels: labels(profile, crossing),
        }
    });
    rows.collect()
}

/// Returns what one crossing was blocked in, the longest first.
pub(crate) fn blocked_in<'a>(profile: &'a Profile, crossing: &SlowCrossing) -> Vec<BlockedIn<'a>> {
    Waits::of(profile, |wait| (wait.process, wait.tid) == (crossing.process, crossing.tid)).blocked_in(crossing)
}

/// Waits in C whose stack is known.
struct Waits<'a> {
    profile: &'a Profile,
    /// By thread, in the order of their begins.
    by_thread: HashMap<(usize, u64), Vec<&'a Wait>>,
    /// Stacks by their numbers.
    by_number: HashMap<u32, usize>,
}

impl<'a> Waits<'a> {
    /// Those for which this holds.
    fn of(profile: &'a Profile, holds: impl Fn(&Wait) -> bool) -> Waits<'a> {
        let mut by_thread: HashMap<(usize, u64), Vec<&Wait>> = HashMap::new();
        for wait in profile.timeline.waits.iter().filter(|wait| wait.stack.is_some() && holds(wait)) {
            by_thread.entry((wait.process, wait.tid)).or_default().push(wait);
        }
        by_thread.values_mut().for_each(|waits| waits.sort_by_key(|wait| wait.from_ns));
        let mut by_number = HashMap::new();
        if !by_thread.is_empty() {
            let numbered = profile.waits.iter().enumerate();
            by_number.extend(numbered.flat_map(|(at, stack)| stack.numbers.iter().map(move |&number| (number, at))));
        }
        Waits { profile, by_thread, by_number }
    }

    /// What a crossing was blocked in, the longest first. Crossings in callbacks of it count too.
    fn blocked_in(&self, crossing: &SlowCrossing) -> Vec<BlockedIn<'a>> {
        let (from, to) = (crossing.called_ns, crossing.called_ns.saturating_add(crossing.c_ns.unwrap_or(0)));
        let own = self.by_thread.get(&(crossing.process, crossing.tid)).map_or(&[][..], Vec::as_slice);
        let mut found: BTreeMap<usize, u64> = BTreeMap::new();
        for wait in &own[..own.partition_point(|wait| wait.from_ns < to)] {
            let nanos = wait.to_ns.min(to).saturating_sub(wait.from_ns.max(from));
            if let Some(&stack) = wait.stack.and_then(|number| self.by_number.get(&number)).filter(|_| nanos > 0) {
                let sum = found.entry(stack).or_default();
                *sum = sum.saturating_add(nanos);
            }
        }
        let mut parts: Vec<(usize, u64)> = found.into_iter().collect();
        parts.sort_by_key(|&(_, nanos)| Reverse(nanos));
        // How long a crossing that has not ended was blocked in all is not known.
        let all = parts.iter().fold(0u64, |sum, &(_, nanos)| sum.saturating_add(nanos));
        let rest = crossing.blocked_ns.saturating_sub(all);
        let part = |(at, nanos): (usize, u64)| {
            let stack = &self.profile.waits[at];
            BlockedIn {
                nanos,
                waits_in: stack.waits_in(self.profile),
                inside: analysis::inside_frames(self.profile, &stack.stack, stack.inside),
            }
        };
        let mut blocked: Vec<_> = parts.into_iter().map(part).collect();
        if rest > 0 {
            blocked.push(BlockedIn { nanos: rest, waits_in: None, inside: Vec::new() });
        }
        blocked
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Function, FunctionId, Kind, Line, Location, LocationId, Timeline, WaitingStack};

    use super::*;

    /// Stacks 0 and 1 wait in `fsync` and `futex`, called by functions named like them.
    fn profile(crossings: Vec<SlowCrossing>, waits: Vec<Wait>) -> Profile {
        let named = ["work", "[fsync]", "c_fsync", "[futex]", "c_lock"];
        let function = |(index, name): (usize, &&str)| Function {
            name: (*name).to_owned(),
            kind: if index % 2 == 1 { Kind::Kernel } else { Kind::C },
            ..Function::default()
        };
        let location = |index| Location {
            lines: vec![Line { function: FunctionId(index), ..Line::default() }],
            ..Location::default()
        };
        let stack = |first: usize, numbers: &[u32]| WaitingStack {
            cell: Some(7),
            stack: [first, first + 1, 0].map(LocationId).into(),
            inside: 2,
            numbers: numbers.into(),
            ..WaitingStack::default()
        };
        Profile {
            functions: named.iter().enumerate().map(function).collect(),
            locations: (0..named.len()).map(location).collect(),
            cells: vec![Cell { id: 7, stack: vec![LocationId(0)], ..Cell::default() }],
            waits: vec![stack(1, &[0, 4]), stack(3, &[1])],
            timeline: Timeline { crossings, waits, ..Timeline::default() }.into(),
            ..Profile::default()
        }
    }

    fn crossing(tid: u64, called_ns: u64, c: u64, blocked_ns: u64) -> SlowCrossing {
        SlowCrossing { cell: 7, tid, called_ns, c_ns: Some(c), blocked_ns, weight: 1, ..SlowCrossing::default() }
    }

    fn wait(tid: u64, from_ns: u64, to_ns: u64, stack: Option<u32>) -> Wait {
        Wait { process: 0, tid, from_ns, to_ns, stack }
    }

    #[test]
    fn the_slowest_come_first_with_the_way_there_and_back() {
        let back = SlowCrossing { exit_ns: 60, ..crossing(1, 300, 50, 0) };
        let profile = profile(vec![crossing(1, 0, 100, 0), back, crossing(1, 500, 10, 0)], Vec::new());
        let rows = rows(&profile, 2);
        assert_eq!(rows.iter().map(|row| row.crossing.called_ns).collect::<Vec<_>>(), [300, 0]);
        assert_eq!(rows[0].function, Some("work"));
    }

    #[test]
    fn what_a_crossing_was_blocked_in_adds_up_to_its_blocked_time() {
        let waits = vec![
            wait(1, 90, 110, Some(0)),
            wait(1, 120, 150, Some(1)),
            wait(1, 160, 165, Some(4)),
            wait(1, 170, 180, None),
            wait(1, 190, 195, Some(9)),
            wait(1, 300, 400, Some(0)),
            wait(2, 120, 150, Some(0)),
        ];
        let profile = profile(vec![crossing(1, 100, 100, 60)], waits);
        let rows = rows(&profile, 10);
        let found: Vec<_> = rows[0].blocked.iter().map(|part| (part.waits_in, part.nanos)).collect();
        assert_eq!(found, [(Some("futex"), 30), (Some("fsync"), 15), (None, 15)]);
        let inside: Vec<_> = rows[0].blocked[0].inside.iter().map(|frame| frame.position.function).collect();
        assert_eq!(inside, ["[futex]", "c_lock"]);
    }
}
