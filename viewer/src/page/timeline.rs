//! The timeline of the page: for each thread, intervals as flat lists of numbers.

use std::collections::HashSet;

use cgoprof_profile::Profile;
use serde_json::{Value as Json, json};

use crate::export::tracks::{self, Interval, Names, ThreadTracks};
use crate::numbered::Numbered;

/// Intervals of each kind that are in the page: it stays small whatever the recording has.
const MOST: usize = 50_000;

/// Returns the threads with what happened on them, and the numbers of threads over time; null without a timeline.
pub(super) fn data(profile: &Profile) -> Json {
    let mut threads = tracks::threads(profile);
    if threads.is_empty() {
        return Json::Null;
    }
    let hidden = keep_busiest(&mut threads);
    let (sources, duration) = (Names::new(profile), profile.recording.duration_ns);
    let mut names = Numbered::default();
    let crossings = Kept::of(threads.iter().flat_map(|thread| &thread.crossings), duration);
    let waits = Kept::of(threads.iter().flat_map(|thread| &thread.waits_for_p), duration);
    let blocked = Kept::of(threads.iter().flat_map(|thread| &thread.blocked), duration);
    let locked = Kept::of(threads.iter().flat_map(|thread| &thread.locked), duration);
    let shown: Vec<Json> = threads
        .iter()
        .map(|thread| {
            let crossings = crossings.flat(&thread.crossings, |it| names.number(sources.function(it)));
            let waits = waits.flat(&thread.waits_for_p, |it| names.number(sources.function(it)));
            let blocked = blocked.flat(&thread.blocked, |it| names.number(sources.wait(it)));
            let locked = locked.flat(&thread.locked, |&goid| goid as usize);
            let process = profile.processes.get(thread.process).map(|process| process.target.pid);
            let name = process.map_or_else(|| thread.name.clone(), |pid| format!("{pid} {}", thread.name));
            json!({ "name": name, "tid": thread.tid, "crossings": crossings, "waits": waits, "blocked": blocked,
                    "locked": locked })
        })
        .collect();
    let counters =
        tracks::counters(profile, false).into_iter().map(|(name, values)| json!({ "name": name, "values": values }));
    let others = [&waits, &blocked, &locked].map(|kept| kept.dropped);
    let others = others.into_iter().fold(profile.timeline.dropped_waits, u64::saturating_add);
    json!({ "duration": duration, "names": names.all(), "threads": shown, "counters": counters.collect::<Vec<_>>(),
            "shortest": crossings.shortest.max(profile.timeline.shortest_ns),
            "dropped": crossings.dropped.saturating_add(profile.timeline.dropped),
            "droppedOthers": others, "hiddenThreads": hidden })
}

/// Threads that the page shows: browsers draw no picture that is much higher.
const MOST_THREADS: usize = 500;

/// Keeps the threads with the most intervals, in their order. Returns the number of the others.
fn keep_busiest(threads: &mut Vec<ThreadTracks<'_>>) -> usize {
    let hidden = threads.len().saturating_sub(MOST_THREADS);
    if hidden > 0 {
        let busy = |thread: &ThreadTracks<'_>| thread.crossings.len() + thread.blocked.len() + thread.locked.len();
        let mut busiest: Vec<usize> = (0..threads.len()).collect();
        busiest.sort_by_key(|&at| std::cmp::Reverse(busy(&threads[at])));
        let kept: HashSet<usize> = busiest.into_iter().take(MOST_THREADS).collect();
        let mut at = 0..;
        threads.retain(|_| at.next().is_some_and(|at| kept.contains(&at)));
    }
    hidden
}

/// The intervals of a kind that are in the page: the longest.
struct Kept {
    duration: u64,
    /// Those shorter than this are left out.
    shortest: u64,
    dropped: u64,
}

impl Kept {
    fn of<'a, T: 'a>(intervals: impl Iterator<Item = &'a Interval<T>>, duration: u64) -> Kept {
        let mut lengths: Vec<u64> = intervals.map(|interval| length(interval, duration)).collect();
        if lengths.len() <= MOST {
            return Kept { duration, shortest: 0, dropped: 0 };
        }
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        // Of intervals with one length all are kept or none, so there may be fewer than could be.
        let shortest = lengths[MOST].saturating_add(1);
        Kept { duration, shortest, dropped: lengths.iter().filter(|&&length| length < shortest).count() as u64 }
    }

    /// Returns start, length and a number of each interval that is kept, in the order in which they begin.
    fn flat<T>(&self, intervals: &[Interval<T>], mut number: impl FnMut(&T) -> usize) -> Vec<u64> {
        let is_kept = |interval: &&Interval<T>| length(interval, self.duration) >= self.shortest;
        let mut sorted: Vec<_> = intervals.iter().filter(is_kept).collect();
        sorted.sort_by_key(|interval| interval.from);
        let parts = sorted
            .into_iter()
            .flat_map(|interval| [interval.from, length(interval, self.duration), number(&interval.what) as u64]);
        parts.collect()
    }
}

/// Returns how long an interval lasts, at most to the recording's end.
fn length<T>(interval: &Interval<T>, duration: u64) -> u64 {
    interval.to.unwrap_or(duration).saturating_sub(interval.from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_are_kept() {
        let lengths = (0..MOST as u64 + 10).map(|at| at % 1000);
        let intervals: Vec<_> = lengths.map(|length| Interval { from: 7, to: Some(7 + length), what: () }).collect();
        let kept = Kept::of(intervals.iter(), 100);
        let flat = kept.flat(&intervals, |()| 3);
        assert!(flat.len() / 3 <= MOST && flat.len() / 3 + kept.dropped as usize == intervals.len());
        assert!(kept.dropped > 0 && flat.chunks(3).all(|part| part[1] >= kept.shortest && part[2] == 3));
        let few = Kept::of(intervals[..5].iter(), 100);
        assert_eq!((few.dropped, few.flat(&intervals[..5], |()| 0).len()), (0, 15));
    }
}
