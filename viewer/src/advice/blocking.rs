//! Advice on what C waits for: locks inside it, and the disk.

use std::collections::BTreeMap;

use cgoprof_profile::Profile;

use super::finding::{Advice, Kind};
use crate::analysis::{self, Frame, Position};
use crate::measured::Measured;
use crate::units::{count, percent, printable, time, with_error};
use crate::waits::{self, WaitPart};

/// Share of the run for which threads, all together, were blocked in one lock.
const LOCKED: f64 = 0.1;
/// Share of the run for which one line was blocked in the disk.
const DISK: f64 = 0.05;
/// Crossings of that line.
const OFTEN: u64 = 100;
/// Functions that wait for a lock (pthread_mutex_lock(3p), pthread_rwlock_rdlock(3p), pthread_rwlock_wrlock(3p)).
const LOCKS: [&str; 6] = [
    "pthread_mutex_lock",
    "pthread_mutex_timedlock",
    "pthread_rwlock_rdlock",
    "pthread_rwlock_wrlock",
    "__lll_lock_wait",
    "__lll_lock_wait_private",
];
/// System calls that return when the disk has what was written.
const SYNC: [&str; 6] = ["fsync", "fdatasync", "msync", "sync", "syncfs", "sync_file_range"];

/// Time that threads were blocked for one reason.
#[derive(Default)]
struct Blocked<'a> {
    time: Measured,
    /// By C function and line of Go.
    by_site: BTreeMap<(&'a str, Option<Position<'a>>), f64>,
}

impl<'a> Blocked<'a> {
    fn add(&mut self, profile: &'a Profile, part: &WaitPart<'a>) {
        self.time.value += part.nanos;
        self.time.error = self.time.error.hypot(part.standard_error);
        let function = profile.functions[part.cell.function.0].name.as_str();
        *self.by_site.entry((function, analysis::site(profile, part.cell))).or_default() += part.nanos;
    }

    /// What it most likely is at least.
    fn at_least(&self) -> f64 {
        self.time.value - 2.0 * self.time.error
    }

    fn told(&self) -> String {
        with_error(self.time.value, self.time.error)
    }

    /// The C function and the line of Go that were blocked longest.
    fn longest(&self) -> Option<(&'a str, Option<Position<'a>>)> {
        self.by_site.iter().max_by(|one, other| one.1.total_cmp(other.1)).map(|(&site, _)| site)
    }
}

pub(super) fn advise<'a>(profile: &'a Profile, all: &mut Vec<Advice<'a>>) {
    let run = profile.recording.duration_ns.max(1) as f64;
    let (mut locks, mut disk) = (BTreeMap::<&str, Blocked<'_>>::new(), BTreeMap::<_, (Blocked<'_>, u64)>::new());
    // Each cell once.
    let mut counted = std::collections::HashSet::new();
    for part in waits::parts(profile) {
        let Some(stack) = part.stack else { continue };
        if stack.waits_in(profile).is_some_and(|call| SYNC.contains(&call)) {
            let (blocked, calls) = disk.entry((part.cell.function, analysis::site(profile, part.cell))).or_default();
            blocked.add(profile, &part);
            *calls += if counted.insert(part.cell.id) { part.cell.stats.calls } else { 0 };
        }
        if let Some(place) = lock(&analysis::inside_frames(profile, &stack.stack, stack.inside)) {
            locks.entry(place).or_default().add(profile, &part);
        }
    }
    all.extend(locks.iter().filter(|(_, blocked)| blocked.at_least() >= LOCKED * run).filter_map(
        |(place, blocked)| {
            let (function, site) = blocked.longest()?;
            Some(locked(place, blocked, function, site, run))
        },
    ));
    let disk = disk.values().filter(|(blocked, calls)| blocked.at_least() >= DISK * run && *calls >= OFTEN);
    all.extend(disk.filter_map(|(blocked, calls)| {
        let (function, site) = blocked.longest()?;
        Some(synced(blocked, *calls, function, site, run))
    }));
}

/// The function that waits for a lock: that which has called the outermost of the C library's own.
fn lock<'a>(inside: &[Frame<'a>]) -> Option<&'a str> {
    let is_lock = |frame: &Frame<'_>| LOCKS.contains(&frame.position.function.trim_start_matches("__GI_"));
    let outermost = inside.iter().rposition(is_lock)?;
    // Where the C function itself has called it, its name is not among those that it has called.
    Some(inside.get(outermost + 1).map_or("", |frame| frame.position.function))
}

fn locked<'a>(
    place: &str,
    blocked: &Blocked<'a>,
    function: &'a str,
    site: Option<Position<'a>>,
    run: f64,
) -> Advice<'a> {
    let place = if place.is_empty() { function } else { place };
    let sites = match blocked.by_site.len() {
        1 => "from one line of Go".to_owned(),
        more => format!("from {} lines of Go", count(more as u64)),
    };
    Advice {
        kind: Kind::Lock,
        function,
        site,
        why: format!(
            "threads were blocked for {} in all ({} of the run) in a lock that {} takes, {sites}; who held it can't be seen",
            blocked.told(),
            percent(blocked.time.value / run),
            printable(place),
        ),
        what:
            "one thread at a time gets on there: let fewer goroutines call it at once, give each its own handle if the \
               library allows that, or do less while it is held"
                .into(),
        saving: None,
    }
}

fn synced<'a>(
    blocked: &Blocked<'a>,
    calls: u64,
    function: &'a str,
    site: Option<Position<'a>>,
    run: f64,
) -> Advice<'a> {
    Advice {
        kind: Kind::Disk,
        function,
        site,
        why: format!(
            "{} crossings were blocked for {} ({} of the run) until the disk had what they wrote, {} each",
            count(calls),
            blocked.told(),
            percent(blocked.time.value / run),
            time(blocked.time.value / calls.max(1) as f64),
        ),
        what: "write more at once: one transaction or one sync for many rows. Databases can also sync more seldom (sqlite: a \
               write-ahead log), if what was written last may be lost when the power fails"
            .into(),
        saving: None,
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{
        Cell, Estimate, Function, FunctionId, Kind as Side, Line, Location, LocationId, Stats, WaitingStack,
    };

    use super::*;

    /// A second in which a function is blocked for so many milliseconds in each of these stacks.
    fn advice(calls: u64, stacks: &[(&[&str], f64)]) -> Vec<(Kind, String)> {
        let mut profile = Profile::default();
        profile.recording.duration_ns = 1_000_000_000;
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
            waits.push(WaitingStack { cell: Some(7), inside: frames.len(), stack, time, ..WaitingStack::default() });
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
            matches!(&found[..], [(Kind::Lock, why)] if why.contains("110 ms in all (11.0 %") && why.contains("enter_tree")),
            "{found:?}"
        );
        let found = advice(5, &[(&futex[..4], 200.0)]);
        assert!(matches!(&found[..], [(Kind::Lock, why)] if why.contains("that work takes")), "{found:?}");
    }

    #[test]
    fn many_crossings_that_wait_for_the_disk_are_told_and_few_are_not() {
        let sync: [(&[&str], f64); 2] = [(&["[fdatasync]", "commit"], 40.0), (&["[fsync]", "directory"], 20.0)];
        let found = advice(100, &sync);
        assert!(
            matches!(&found[..], [(Kind::Disk, why)] if why.starts_with("100 crossings were blocked for 60.0 ms (6.0 %") && why.ends_with("600 us each")),
            "{found:?}"
        );
        assert_eq!(advice(99, &sync), []);
        assert_eq!(advice(100, &sync[..1]), []);
    }
}
