//! The timeline as programs for traces show it: for each thread, tracks of intervals that nest.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use cgoprof_profile::{Cell, Profile, SlowCrossing, Wait};

use crate::analysis::{self, Frame};
use crate::slowest::{self, other_thread};
use crate::units::printable;

/// A thread, and what happened on it.
pub(crate) struct ThreadTracks<'a> {
    /// Its process, by its index in [`Profile::processes`]; 0 in a recording of one process.
    pub(crate) process: usize,
    /// Kernel thread id.
    pub(crate) tid: u64,
    /// M and name: `M3 app`.
    pub(crate) name: String,
    /// Start of the thread, in nanoseconds since the recording's; none if it was there before.
    pub(crate) created_ns: Option<u64>,
    /// End of the thread, in nanoseconds since the recording's start; none if it has not ended.
    pub(crate) exited_ns: Option<u64>,
    /// The thread that started it.
    pub(crate) parent: Option<u64>,
    /// Slow crossings, from the start of their enter phase until C returned.
    pub(crate) crossings: Vec<Interval<&'a SlowCrossing>>,
    /// Times in which goroutines that had been in C on it waited for a P.
    pub(crate) waits_for_p: Vec<Interval<&'a SlowCrossing>>,
    /// Waits in C.
    pub(crate) blocked: Vec<Interval<&'a Wait>>,
    /// Waits for anything, in C or not.
    pub(crate) asleep: Vec<Interval<&'a Wait>>,
    /// Times in which a goroutine, by its number, was locked to it.
    pub(crate) locked: Vec<Interval<u64>>,
    /// Goroutines that came back from C on it after they had called on another.
    pub(crate) arrivals: Vec<(u64, &'a SlowCrossing)>,
}

/// A time, in nanoseconds since the recording's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval<T> {
    pub(crate) from: u64,
    /// None if it lasted beyond the recording's end.
    pub(crate) to: Option<u64>,
    pub(crate) what: T,
}

impl<T> Interval<T> {
    fn end(&self) -> u64 {
        self.to.unwrap_or(u64::MAX)
    }
}

/// Returns the processes of a recording, each with the nanoseconds from the recording's start to its own.
pub(crate) fn processes(profile: &Profile) -> impl Iterator<Item = (u64, &Profile)> {
    let itself = profile.processes.is_empty().then_some(profile);
    let all = itself.into_iter().chain(profile.processes.iter().map(|process| &**process));
    let start = profile.recording.start_unix_ns;
    all.map(move |process| (process.recording.start_unix_ns.saturating_sub(start), process))
}

/// Returns all threads of which the recording tells something, process by process, those of the lowest Ms first.
pub(crate) fn threads(profile: &Profile) -> Vec<ThreadTracks<'_>> {
    let mut tracks: BTreeMap<(usize, u64), ThreadTracks<'_>> = BTreeMap::new();
    let mut order: HashMap<(usize, u64), u64> = HashMap::new();
    // The kernel uses ids again: a later thread with the same id is shown as the first one, which then lives longer.
    for thread in &profile.threads {
        let new = || {
            let m = thread.m.map_or_else(String::new, |m| format!("M{m} "));
            ThreadTracks { name: m + &printable(&thread.name), ..ThreadTracks::new(thread.process, thread.tid) }
        };
        match tracks.entry((thread.process, thread.tid)) {
            Entry::Vacant(entry) => {
                let own = entry.insert(new());
                (own.created_ns, own.exited_ns, own.parent) = (thread.created_ns, thread.exited_ns, thread.parent);
                order.insert((thread.process, thread.tid), thread.m.unwrap_or(u64::MAX));
            }
            Entry::Occupied(mut entry) => {
                let own = entry.get_mut();
                own.created_ns = own.created_ns.zip(thread.created_ns).map(|(one, other)| one.min(other));
                own.exited_ns = own.exited_ns.zip(thread.exited_ns).map(|(one, other)| one.max(other));
            }
        }
    }
    let timeline = &profile.timeline;
    for crossing in &timeline.crossings {
        let own = track(&mut tracks, crossing.process, crossing.tid);
        let returned = crossing.called_ns.saturating_add(crossing.c_ns.unwrap_or(0));
        own.crossings.push(Interval {
            from: crossing.called_ns.saturating_sub(crossing.enter_ns),
            to: (!crossing.open).then_some(returned),
            what: crossing,
        });
        let back = returned.saturating_add(crossing.exit_ns);
        if crossing.exit_ns > 0 {
            own.waits_for_p.push(Interval { from: returned, to: Some(back), what: crossing });
        }
        if let Some(other) = other_thread(crossing) {
            track(&mut tracks, crossing.process, other).arrivals.push((back, crossing));
        }
    }
    for wait in &timeline.waits {
        let own = track(&mut tracks, wait.process, wait.tid);
        own.blocked.push(Interval { from: wait.from_ns, to: Some(wait.to_ns), what: wait });
    }
    for wait in &timeline.asleep {
        let own = track(&mut tracks, wait.process, wait.tid);
        own.asleep.push(Interval { from: wait.from_ns, to: Some(wait.to_ns), what: wait });
    }
    for locked in &timeline.locked {
        let own = track(&mut tracks, locked.process, locked.tid);
        own.locked.push(Interval { from: locked.from_ns, to: locked.to_ns, what: locked.goid });
    }
    let mut tracks: Vec<_> = tracks.into_values().collect();
    tracks.sort_by_key(|track| {
        (track.process, order.get(&(track.process, track.tid)).copied().unwrap_or(u64::MAX), track.tid)
    });
    tracks
}

/// Returns the tracks of a thread, which are new if nothing has happened on it.
fn track<'t, 'a>(
    tracks: &'t mut BTreeMap<(usize, u64), ThreadTracks<'a>>,
    process: usize,
    tid: u64,
) -> &'t mut ThreadTracks<'a> {
    tracks.entry((process, tid)).or_insert_with(|| ThreadTracks::new(process, tid))
}

impl ThreadTracks<'_> {
    fn new(process: usize, tid: u64) -> Self {
        ThreadTracks {
            process,
            tid,
            name: format!("thread {tid}"),
            created_ns: None,
            exited_ns: None,
            parent: None,
            crossings: Vec::new(),
            waits_for_p: Vec::new(),
            blocked: Vec::new(),
            asleep: Vec::new(),
            locked: Vec::new(),
            arrivals: Vec::new(),
        }
    }
}

/// Maximum tracks of intervals that do not nest. Those of a program's threads need one or two.
const MOST_TRACKS: usize = 64;

/// Divides intervals among as few tracks as it takes for those of one to nest: of any two, one holds the other, or they
/// are apart. Those of a track are in the order in which they begin, outer ones first. Returns also the number of intervals
/// for which there was no track.
pub(crate) fn nested<T>(mut intervals: Vec<Interval<T>>) -> (Vec<Vec<Interval<T>>>, usize) {
    let mut left_out = 0;
    intervals.sort_by_key(|interval| (interval.from, std::cmp::Reverse(interval.end())));
    let mut tracks: Vec<(Vec<u64>, Vec<Interval<T>>)> = Vec::new();
    for interval in intervals {
        let has_room = tracks.len() < MOST_TRACKS;
        let fits = tracks.iter_mut().find_map(|(ends, held)| {
            while ends.last().is_some_and(|&end| end <= interval.from) {
                ends.pop();
            }
            ends.last().is_none_or(|&end| end >= interval.end()).then_some((ends, held))
        });
        match fits {
            Some((ends, held)) => {
                ends.push(interval.end());
                held.push(interval);
            }
            None if has_room => tracks.push((vec![interval.end()], vec![interval])),
            None => left_out += 1,
        }
    }
    (tracks.into_iter().map(|(_, held)| held).collect(), left_out)
}

/// Returns what is known of a crossing beside its time and function: key and value. Keys of nanoseconds end in `_ns`.
pub(crate) fn facts(crossing: &SlowCrossing) -> Vec<(&'static str, u64)> {
    let timed = |nanos: u64| Some(nanos).filter(|&nanos| nanos > 0);
    let facts = [
        ("goroutine", goroutine(crossing.goid)),
        ("enter_ns", timed(crossing.enter_ns)),
        ("c_ns", crossing.c_ns),
        ("exit_ns", timed(crossing.exit_ns)),
        ("blocked_ns", Some(crossing.blocked_ns)),
        ("preempted_ns", crossing.preempted_ns),
        ("stands_for_crossings", Some(crossing.weight.max(1))),
        ("back_on_thread", other_thread(crossing)),
    ];
    facts.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// Returns a goroutine's number; none if it is not known.
pub(crate) fn goroutine(goid: u64) -> Option<u64> {
    (goid != 0).then_some(goid)
}

/// Returns the numbers of threads over time that the recording has: name, then moments with values. A process that is one of
/// several has no threads after its end.
pub(crate) fn counters(profile: &Profile, is_one_of_several: bool) -> Vec<(&'static str, Vec<(u64, u64)>)> {
    let all = &profile.timeline.counters;
    let named = [
        ("threads in C", all.iter().map(|at| (at.at_ns, Some(at.in_c))).collect::<Vec<_>>()),
        ("threads in Go", all.iter().map(|at| (at.at_ns, at.in_go)).collect()),
        ("threads idle", all.iter().map(|at| (at.at_ns, at.idle)).collect()),
    ];
    let known = named.into_iter().map(|(name, values)| {
        let mut values: Vec<_> = values.into_iter().filter_map(|(at, value)| Some((at, value?))).collect();
        if is_one_of_several && !values.is_empty() {
            values.push((profile.recording.duration_ns, 0));
        }
        (name, values)
    });
    known.filter(|(_, values)| !values.is_empty()).collect()
}

/// The names of what intervals stand for.
pub(crate) struct Names<'a> {
    profile: &'a Profile,
    cells: HashMap<u64, &'a Cell>,
    waits: HashMap<u32, &'a str>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(profile: &'a Profile) -> Names<'a> {
        let waits = profile.waits.iter().filter_map(|stack| Some((stack, stack.waits_in(profile)?)));
        Names {
            profile,
            cells: profile.cells.iter().map(|cell| (cell.id, cell)).collect(),
            waits: waits.flat_map(|(stack, call)| stack.numbers.iter().map(move |&number| (number, call))).collect(),
        }
    }

    /// Returns the C function of a crossing.
    pub(crate) fn function(&self, crossing: &SlowCrossing) -> String {
        let cell = self.cells.get(&crossing.cell);
        cell.map_or_else(|| "[unknown]".to_owned(), |cell| printable(&self.profile.functions[cell.function.0].name))
    }

    /// Returns the frames of a crossing's stack, innermost first.
    pub(crate) fn frames(&self, cell: u64) -> Vec<Frame<'a>> {
        let cell = self.cells.get(&cell);
        cell.map_or_else(Vec::new, |cell| analysis::frames(self.profile, &cell.stack))
    }

    /// Returns the labels of a crossing's goroutine; none if it had none, or none were read.
    pub(crate) fn labels(&self, crossing: &SlowCrossing) -> Option<String> {
        slowest::labels_text(slowest::labels(self.profile, crossing))
    }

    /// Returns what a thread waited in.
    pub(crate) fn wait(&self, wait: &Wait) -> String {
        let call = wait.stack.and_then(|number| self.waits.get(&number));
        call.map_or_else(|| "[not known in what]".to_owned(), |call| printable(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_a_track_nest() {
        let interval = |from, to| Interval { from, to: Some(to), what: () };
        let check = |intervals: &[(u64, u64)], expected: &[&[(u64, u64)]]| {
            let (tracks, left_out) = nested(intervals.iter().map(|&(from, to)| interval(from, to)).collect());
            assert_eq!(left_out, 0);
            let found: Vec<Vec<_>> =
                tracks.iter().map(|track| track.iter().map(|one| (one.from, one.end())).collect()).collect();
            assert_eq!(found, expected);
        };
        check(&[], &[]);
        check(&[(5, 9), (0, 5)], &[&[(0, 5), (5, 9)]]);
        check(&[(2, 3), (0, 10), (3, 10), (4, 4)], &[&[(0, 10), (2, 3), (3, 10), (4, 4)]]);
        check(&[(0, 10), (5, 15), (6, 9), (12, 20)], &[&[(0, 10), (6, 9), (12, 20)], &[(5, 15)]]);
        let open = nested(vec![Interval { from: 3, to: None, what: () }, interval(4, 7), interval(1, 5)]);
        assert_eq!((open.0.len(), open.1), (2, 0));
        let steps = nested((0..1000).map(|at| interval(at, 1000 + at)).collect());
        assert_eq!((steps.0.len(), steps.1), (MOST_TRACKS, 1000 - MOST_TRACKS), "a file may have any intervals");
    }
}
