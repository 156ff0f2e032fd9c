//! Advice on what C waits for: locks inside it, and the disk.

use std::collections::{BTreeMap, BTreeSet};

use cgoprof_profile::Profile;

use super::finding::{Advice, Kind};
use crate::analysis::{self, Frame, Position};
use crate::measured::Measured;
use crate::units::{count, percent, printable, with_error};
use crate::waits::{self, BlockedTime, WaitPart};

/// Minimum share of the run for which threads, all together, were blocked in one lock.
const LOCKED: f64 = 0.1;
/// Minimum share of the run for which one line was blocked in the disk.
const DISK: f64 = 0.05;
/// Minimum crossings of that line.
const OFTEN: u64 = 100;
/// Minimum looks, where not every wait was seen: the error of fewer is not known.
const FOUND: u64 = 10;
/// Functions that wait for a lock (pthread_mutex_lock(3p), pthread_rwlock_rdlock(3p), pthread_rwlock_wrlock(3p)).
const LOCKS: [&str; 9] = [
    "pthread_mutex_lock",
    "pthread_mutex_timedlock",
    "pthread_mutex_clocklock",
    "pthread_rwlock_rdlock",
    "pthread_rwlock_timedrdlock",
    "pthread_rwlock_wrlock",
    "pthread_rwlock_timedwrlock",
    "__lll_lock_wait",
    "__lll_lock_wait_private",
];
/// Parts of the names of functions that wait for a condition, and take a lock again at the end of that.
const CONDITIONS: [&str; 2] = ["pthread_cond_", "pthread_mutex_cond_lock"];
/// System calls that return when the disk has what was written.
const SYNC: [&str; 6] = ["fsync", "fdatasync", "msync", "sync", "syncfs", "sync_file_range"];

/// A function, and its file where that is known.
type Place<'a> = (&'a str, &'a str);

/// Time that threads were blocked for one reason.
#[derive(Default)]
struct Blocked<'a> {
    time: BlockedTime,
    found: u64,
    /// By C function and line of Go.
    by_site: BTreeMap<(&'a str, Option<Position<'a>>), f64>,
}

impl<'a> Blocked<'a> {
    fn add(&mut self, profile: &'a Profile, part: &WaitPart<'a>) {
        self.time.add(part);
        self.found = self.found.saturating_add(part.stack.map_or(0, |stack| stack.found));
        let function = profile.functions[part.cell.function.0].name.as_str();
        *self.by_site.entry((function, analysis::site(profile, part.cell))).or_default() += part.nanos;
    }

    /// Whether it is certain to be this time at least. `all_seen` tells whether every wait was seen.
    fn is_at_least(&self, nanos: f64, all_seen: bool) -> bool {
        let is_known = all_seen || self.found >= FOUND;
        let Measured { value, error } = Measured::from(&self.time);
        is_known && value - 2.0 * error >= nanos
    }

    /// `115 ms ±3.2 % (11.5 % of the run)`.
    fn told(&self, run: f64) -> String {
        let Measured { value, error } = Measured::from(&self.time);
        format!("{} ({} of the run)", with_error(value, error), percent(value / run))
    }

    /// The C function and the line of Go that were blocked longest.
    fn longest(&self) -> Option<(&'a str, Option<Position<'a>>)> {
        self.by_site.iter().max_by(|one, other| one.1.total_cmp(other.1)).map(|(&site, _)| site)
    }

    /// `from 5 lines of Go`; nothing where no line is known.
    fn sites(&self) -> String {
        let sites: BTreeSet<_> = self.by_site.keys().filter_map(|&(_, site)| site).collect();
        match sites.len() {
            0 => String::new(),
            1 => ", from one line of Go".to_owned(),
            more => format!(", from {} lines of Go", count(more as u64)),
        }
    }
}

pub(super) fn advise<'a>(profile: &'a Profile, all: &mut Vec<Advice<'a>>) {
    let run = profile.recording.duration_ns.max(1) as f64;
    let all_seen = waits::all_seen(profile);
    let mut locks: BTreeMap<Place<'_>, Blocked<'_>> = BTreeMap::new();
    let mut disk: BTreeMap<_, (Blocked<'_>, BTreeMap<u64, u64>)> = BTreeMap::new();
    for part in waits::parts(profile) {
        let Some(stack) = part.stack else { continue };
        if stack.waits_in(profile).is_some_and(|call| SYNC.contains(&call)) {
            let (blocked, calls) = disk.entry((part.cell.function, analysis::site(profile, part.cell))).or_default();
            blocked.add(profile, &part);
            calls.insert(part.cell.id, part.cell.stats.calls);
        }
        let function = &profile.functions[part.cell.function.0];
        let inside = analysis::inside_frames(profile, &stack.stack, stack.inside);
        if let Some(place) = lock(&inside, (&function.name, &function.file)) {
            locks.entry(place).or_default().add(profile, &part);
        }
    }
    let locks = locks.iter().filter(|(_, blocked)| blocked.is_at_least(LOCKED * run, all_seen));
    all.extend(locks.filter_map(|(&place, blocked)| locked(place, blocked, run)));
    for (blocked, calls) in disk.values() {
        let calls = calls.values().fold(0u64, |sum, &calls| sum.saturating_add(calls));
        if blocked.is_at_least(DISK * run, all_seen) && calls >= OFTEN {
            all.extend(synced(blocked, calls, run));
        }
    }
}

/// Returns the function that takes the lock which a stack waits for: the caller of the outermost lock function, which may be the
/// crossing's own C function. None if it waits for something else.
fn lock<'a>(inside: &[Frame<'a>], function: Place<'a>) -> Option<Place<'a>> {
    let is_lock = |frame: &Frame<'_>| LOCKS.contains(&frame.position.function.trim_start_matches("__GI_"));
    let outermost = inside.iter().rposition(is_lock)?;
    let is_condition = |frame: &Frame<'_>| CONDITIONS.iter().any(|part| frame.position.function.contains(part));
    if inside.iter().any(is_condition) {
        return None;
    }
    // Wrappers like those of std::mutex are inlined.
    let caller = inside[outermost + 1..].iter().find(|frame| !frame.inlined);
    Some(caller.map_or(function, |frame| (frame.position.function, frame.position.file)))
}

fn locked<'a>(place: Place<'_>, blocked: &Blocked<'a>, run: f64) -> Option<Advice<'a>> {
    let (function, site) = blocked.longest()?;
    let (time, sites) = (blocked.told(run), blocked.sites());
    Some(Advice {
        kind: Kind::Lock,
        function,
        site,
        why: format!(
            "threads were blocked for {time}, all together, in a lock that {} takes{sites}; who held it is not known",
            printable(place.0),
        ),
        what: "let fewer goroutines call it at once, give each its own handle if the library allows that, or do less while \
               the lock is held"
            .into(),
        saving: None,
    })
}

fn synced<'a>(blocked: &Blocked<'a>, calls: u64, run: f64) -> Option<Advice<'a>> {
    let (function, site) = blocked.longest()?;
    Some(Advice {
        kind: Kind::Disk,
        function,
        site,
        why: format!(
            "of {} crossings, some or all were blocked until the disk had what was written: for {}",
            count(calls),
            blocked.told(run),
        ),
        what: "write more at once: one transaction or one sync for many rows. Databases can also sync more seldom (sqlite: a \
               write-ahead log), if what was written last may be lost when the power fails"
            .into(),
        saving: None,
    })
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{
        Cell, Estimate, Function, FunctionId, Kind as Side, Line, Location, LocationId, Stats, WaitingStack,
    };

    use super::*;

    /// A second in which a function is blocked for so many milliseconds in each of these stacks.
    fn advice(calls: u64, stacks: &[(&[&str], f64)]) -> Vec<(Kind, String)> {
        advice_of((FOUND, 0), calls, stacks)
    }

    /// The same where each was found so often, and every wait was seen for so many nanoseconds.
    fn advice_of((found, every_wait_ns): (u64, u64), calls: u64, stacks: &[(&[&str], f64)]) -> Vec<(Kind, String)> {
        let mut profile = Profile::default();
        (profile.recording.duration_ns, profile.recording.every_wait_ns) = (1_000_000_000, every_wait_ns);
        let mut location = |name: &str, kind: Side| {
            profile.functions.push(Function { name: name.to_owned(), kind, ..Function::default() });
            let function = FunctionId(profile.functions.len() - 1);
            profile.locations.push(Location { lines: vec![Line { function, line: 0 }], ..Location::default() });
            LocationId(profile.locations.len() - 1)
        };
        let work = location("work", Side::C);
        let mut waits = Vec::new();
        for &(frames, millis) in stacks {
            let kind = |at: usize| if at == 0 { Side::Kernel } else { Side::C };
            let mut stack: Vec<_> = frames.iter().enumerate().map(|(at, name)| location(name, kind(at))).collect();
            stack.push(work);
            let time = Estimate { sum: millis * 1e6, ..Estimate::default() };
            waits.push(WaitingStack {
                cell: Some(7),
                inside: frames.len(),
                stack,
                time,
                found,
                ..WaitingStack::default()
            });
        }
        let blocked = waits.iter().map(|wait| wait.time.sum).sum();
        let stats = Stats { calls, timed: calls, blocked, ..Stats::default() };
        profile.cells = vec![Cell { id: 7, stack: vec![work], stats, ..Cell::default() }];
        profile.waits = waits;
        let mut all = Vec::new();
        advise(&profile, &mut all);
        all.into_iter().map(|advice| (advice.kind, advice.why)).collect()
    }

    #[test]
    fn a_lock_is_named_by_who_takes_it() {
        let futex = ["[futex]", "futex_wait", "__lll_lock_wait", "pthread_mutex_lock", "enter_tree", "step"];
        let found = advice(5, &[(&futex, 70.0), (&futex[..4], 20.0), (&["[futex]", "pthread_cond_wait"], 500.0)]);
        assert_eq!(found, []);
        let other = ["[futex]", "__GI___lll_lock_wait", "pthread_mutex_lock", "enter_tree"];
        let found = advice(5, &[(&futex, 70.0), (&other, 40.0)]);
        assert!(
            matches!(&found[..], [(Kind::Lock, why)] if why.contains("110 ms (11.0 %") && why.contains("enter_tree")),
            "{found:?}"
        );
        let condition = ["[futex]", "__lll_lock_wait", "__pthread_mutex_cond_lock", "pthread_cond_wait", "enter_tree"];
        assert_eq!(advice(5, &[(&condition, 200.0)]), [], "it waited for a condition before");
        let found = advice(5, &[(&futex[..4], 200.0)]);
        assert!(matches!(&found[..], [(Kind::Lock, why)] if why.contains("that work takes")), "{found:?}");
    }

    #[test]
    fn few_looks_tell_nothing_and_one_wait_that_was_seen_does() {
        let futex: [(&[&str], f64); 1] = [(&["[futex]", "__lll_lock_wait", "pthread_mutex_lock", "enter_tree"], 500.0)];
        for (found, every_wait_ns, expected) in [(9, 0, 0), (10, 0, 1), (1, 500_000_000, 0), (1, 1_000_000_000, 1)] {
            assert_eq!(advice_of((found, every_wait_ns), 5, &futex).len(), expected, "{found} {every_wait_ns}");
        }
    }

    #[test]
    fn a_lock_is_taken_by_the_function_that_wrappers_are_inlined_in() {
        let frame =
            |function, inlined| Frame { position: Position { function, file: "", line: 0 }, kind: Side::C, inlined };
        let inside = [
            frame("[futex]", false),
            frame("pthread_mutex_lock", false),
            frame("std::mutex::lock", true),
            frame("enter_tree", false),
            frame("step", false),
        ];
        let work = ("work", "work.c");
        assert_eq!(lock(&inside, work), Some(("enter_tree", "")));
        assert_eq!(lock(&inside[..3], work), Some(work));
        assert_eq!(lock(&inside[..1], work), None);
    }

    #[test]
    fn many_crossings_that_wait_for_the_disk_are_told_and_few_are_not() {
        let sync: [(&[&str], f64); 2] = [(&["[fdatasync]", "commit"], 40.0), (&["[fsync]", "directory"], 20.0)];
        let found = advice(100, &sync);
        assert!(
            matches!(&found[..], [(Kind::Disk, why)] if why.starts_with("of 100 crossings") && why.ends_with("for 60.0 ms (6.0 % of the run)")),
            "{found:?}"
        );
        assert_eq!(advice(99, &sync), []);
        assert_eq!(advice(100, &sync[..1]), []);
    }
}
