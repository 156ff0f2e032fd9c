//! What threads did when, as far as the recording tells: one lane a thread.

use std::collections::BTreeMap;
use std::ops::Range;

use cgoprof_profile::{Counters, Profile, SlowCrossing};

/// All lanes, the busiest first, over the time of the recording.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) counters: Vec<Counters>,
    /// When threads were born, in order.
    pub(crate) births: Vec<u64>,
    pub(crate) duration: u64,
    /// It is known when threads slept; waits shorter than this are not, nanoseconds.
    pub(crate) sleeps: Option<u64>,
}

/// Process and thread id. Processes that follow each other may have threads with the same id.
type ThreadKey = (usize, u64);

/// A thread.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Its process, by its index in [`Profile::processes`]; 0 in a recording of one process.
    pub(crate) process: usize,
    pub(crate) tid: u64,
    pub(crate) m: Option<u64>,
    pub(crate) name: String,
    /// Within the recording.
    pub(crate) life: Range<u64>,
    /// The slow crossings that began on it, in order, those made in callbacks too.
    pub(crate) crossings: Vec<SlowCrossing>,
    /// By [`Doing`].
    spans: [Spans; 5],
}

/// What a thread does that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Doing {
    /// In C, waiting or not.
    InC,
    /// In C and waiting for something.
    Blocked,
    /// Back from C, without a P yet.
    WaitingForP,
    /// Tied to its goroutine.
    Locked,
    /// Waiting for something, in C or not.
    Asleep,
}

/// Intervals in order, none within another, with their sums.
#[derive(Debug)]
struct Spans {
    spans: Vec<Range<u64>>,
    /// Lengths of all before each, and of all.
    before: Vec<u64>,
}

impl Spans {
    fn new(mut spans: Vec<Range<u64>>) -> Spans {
        spans.sort_by_key(|span| (span.start, span.end));
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(spans.len());
        for span in spans.into_iter().filter(|span| span.start < span.end) {
            match merged.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => merged.push(span),
            }
        }
        let mut before = Vec::with_capacity(merged.len() + 1);
        let mut sum = 0u64;
        for span in &merged {
            before.push(sum);
            sum = sum.saturating_add(span.end - span.start);
        }
        before.push(sum);
        Spans { spans: merged, before }
    }

    /// How much of the time before this moment they cover.
    fn until(&self, at: u64) -> u64 {
        self.covered(at, self.spans.partition_point(|span| span.start < at))
    }

    /// The same of moments in order, each looked for from the one before on.
    fn until_each(&self, moments: &[u64]) -> Vec<u64> {
        let mut count = 0;
        let each = moments.iter().map(|&at| {
            let mut step = 1;
            while self.spans.get(count + step).is_some_and(|span| span.start < at) {
                step *= 2;
            }
            let near = &self.spans[count..self.spans.len().min(count + step + 1)];
            count += near.partition_point(|span| span.start < at);
            self.covered(at, count)
        });
        each.collect()
    }

    /// How much of the time before a moment they cover, of which so many begin before it.
    fn covered(&self, at: u64, count: usize) -> u64 {
        let over = count.checked_sub(1).map_or(0, |last| self.spans[last].end.saturating_sub(at));
        self.before[count].saturating_sub(over)
    }
}

impl Lane {
    /// Whether anything is known of it.
    pub(crate) fn was_seen(&self) -> bool {
        self.spans.iter().any(|spans| !spans.spans.is_empty())
    }

    /// The same for times that follow each other, by the moments between them.
    pub(crate) fn shares(&self, doing: Doing, moments: &[u64]) -> Vec<f64> {
        let spans = &self.spans[doing as usize];
        let covered = spans.until_each(moments);
        let lengths = moments.windows(2).map(|two| two[1].saturating_sub(two[0]).max(1));
        covered
            .windows(2)
            .zip(lengths)
            .map(|(two, length)| two[1].saturating_sub(two[0]) as f64 / length as f64)
            .collect()
    }

    /// How much of a time it did something, from 0 to 1.
    pub(crate) fn share(&self, doing: Doing, time: &Range<u64>) -> f64 {
        let spans = &self.spans[doing as usize];
        let covered = spans.until(time.end).saturating_sub(spans.until(time.start));
        covered as f64 / (time.end - time.start).max(1) as f64
    }

    /// The innermost crossing that it was in during a time; the longest of several.
    pub(crate) fn crossing_at(&self, time: &Range<u64>) -> Option<&SlowCrossing> {
        // Long ones may have begun long before; a stretch that begins in none is where to start.
        let last = self.crossings.partition_point(|crossing| crossing.called_ns < time.end);
        let crossings = self.crossings[..last].iter().rev().take(MOST_LOOKED_AT);
        let there = crossings.filter(|crossing| end(crossing) > time.start);
        let covers = |crossing: &SlowCrossing| crossing.called_ns <= time.start && end(crossing) >= time.end;
        let mut best: Option<&SlowCrossing> = None;
        for crossing in there {
            let better = match best {
                None => true,
                // Of those that cover it all, the last to begin is the innermost.
                Some(found) if covers(found) => false,
                Some(found) => length(crossing) > length(found),
            };
            if better {
                best = Some(crossing);
            }
        }
        best
    }
}

/// Crossings that are looked at to find one.
const MOST_LOOKED_AT: usize = 10_000;

/// When its goroutine was back in Go.
pub(crate) fn end(crossing: &SlowCrossing) -> u64 {
    crossing.called_ns.saturating_add(crossing.c_ns.unwrap_or(0)).saturating_add(crossing.exit_ns)
}

fn length(crossing: &SlowCrossing) -> u64 {
    end(crossing) - crossing.called_ns
}

impl Lanes {
    pub(crate) fn new(profile: &Profile) -> Lanes {
        let (timeline, duration) = (&profile.timeline, profile.recording.duration_ns.max(1));
        let mut crossings: BTreeMap<ThreadKey, Vec<SlowCrossing>> = BTreeMap::new();
        let mut spans: BTreeMap<ThreadKey, [Vec<Range<u64>>; 5]> = BTreeMap::new();
        // Waits in C are told when C returns; of what has not, the thread's own are.
        let mut open: BTreeMap<ThreadKey, Range<u64>> = BTreeMap::new();
        for crossing in timeline.crossings.iter().filter(|crossing| crossing.open) {
            open.insert((crossing.process, crossing.tid), crossing.called_ns..end(crossing));
        }
        for &crossing in &timeline.crossings {
            crossings.entry((crossing.process, crossing.tid)).or_default().push(crossing);
            let returned = crossing.called_ns.saturating_add(crossing.c_ns.unwrap_or(0));
            let own = spans.entry((crossing.process, crossing.tid)).or_default();
            own[Doing::InC as usize].push(crossing.called_ns..returned);
            if crossing.exit_ns > 0 {
                own[Doing::WaitingForP as usize].push(returned..end(&crossing));
            }
        }
        for wait in &timeline.waits {
            spans.entry((wait.process, wait.tid)).or_default()[Doing::Blocked as usize].push(wait.from_ns..wait.to_ns);
        }
        for asleep in &timeline.asleep {
            let own = spans.entry((asleep.process, asleep.tid)).or_default();
            own[Doing::Asleep as usize].push(asleep.from_ns..asleep.to_ns);
            if let Some(open) = open.get(&(asleep.process, asleep.tid)) {
                own[Doing::Blocked as usize].push(asleep.from_ns.max(open.start)..asleep.to_ns.min(open.end));
            }
        }
        for locked in &timeline.locked {
            let to = locked.to_ns.unwrap_or(duration);
            spans.entry((locked.process, locked.tid)).or_default()[Doing::Locked as usize].push(locked.from_ns..to);
        }
        // A number may be a later thread's too: what happened is shown with the first.
        let mut lanes: BTreeMap<ThreadKey, Lane> = BTreeMap::new();
        for thread in &profile.threads {
            let life = thread.created_ns.unwrap_or(0)..thread.exited_ns.unwrap_or(duration);
            let lane = lanes
                .entry((thread.process, thread.tid))
                .or_insert_with(|| Lane::new((thread.process, thread.tid), life.clone()));
            lane.life = lane.life.start.min(life.start)..lane.life.end.max(life.end);
            lane.m = lane.m.or(thread.m);
            lane.name = crate::units::printable(&thread.name);
        }
        for (key, mut crossings) in crossings {
            crossings.sort_by_key(|crossing| crossing.called_ns);
            lanes.entry(key).or_insert_with(|| Lane::new(key, 0..duration)).crossings = crossings;
        }
        for (key, spans) in spans {
            lanes.entry(key).or_insert_with(|| Lane::new(key, 0..duration)).spans = spans.map(Spans::new);
        }
        let mut lanes: Vec<Lane> = lanes.into_values().collect();
        let in_c = |lane: &Lane| lane.spans[Doing::InC as usize].before.last().copied().unwrap_or(0);
        lanes.sort_by_key(|lane| (std::cmp::Reverse(in_c(lane)), lane.tid));
        let mut births: Vec<u64> = profile.threads.iter().filter_map(|thread| thread.created_ns).collect();
        births.sort_unstable();
        let sleeps = (!timeline.asleep.is_empty()).then_some(timeline.shortest_asleep_ns);
        Lanes { lanes, counters: timeline.counters.clone(), births, duration, sleeps }
    }

    /// Most threads in C at the looks within a time, if there were any.
    pub(crate) fn most_in_c(&self, time: &Range<u64>) -> Option<u64> {
        let from = self.counters.partition_point(|look| look.at_ns < time.start);
        let to = self.counters.partition_point(|look| look.at_ns < time.end);
        self.counters[from..to.max(from)].iter().map(|look| look.in_c).max()
    }

    /// Threads born within a time.
    pub(crate) fn born(&self, time: &Range<u64>) -> usize {
        let before = |at: u64| self.births.partition_point(|&birth| birth < at);
        before(time.end).saturating_sub(before(time.start))
    }
}

impl Lane {
    fn new((process, tid): ThreadKey, life: Range<u64>) -> Lane {
        let spans = std::array::from_fn(|_| Spans::new(Vec::new()));
        Lane { process, tid, m: None, name: String::new(), life, crossings: Vec::new(), spans }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_summed_without_overlaps() {
        let spans = Spans::new(vec![10..20, 15..18, 30..40, 38..50, 60..60]);
        let check = |at, expected| assert_eq!(spans.until(at), expected, "{at}");
        check(0, 0);
        check(10, 0);
        check(15, 5);
        check(25, 10);
        check(40, 20);
        check(100, 30);
        let moments: Vec<u64> = (0..100).collect();
        let each: Vec<u64> = moments.iter().map(|&at| spans.until(at)).collect();
        assert_eq!(spans.until_each(&moments), each);
        assert_eq!(spans.until_each(&[12, 45, 99]), [2, 25, 30]);
        assert_eq!(Spans::new(Vec::new()).until_each(&[1, 2]), [0, 0]);
    }

    #[test]
    fn the_innermost_crossing_is_found() {
        let crossing = |called_ns, c| SlowCrossing { called_ns, c_ns: Some(c), ..SlowCrossing::default() };
        let mut lane = Lane::new((0, 1), 0..1000);
        lane.crossings =
            vec![crossing(0, 500), crossing(100, 100), crossing(300, 5), crossing(310, 20), crossing(700, 10)];
        let check = |time: Range<u64>, expected: Option<u64>| {
            assert_eq!(lane.crossing_at(&time).map(|found| found.called_ns), expected, "{time:?}");
        };
        check(150..160, Some(100));
        check(250..260, Some(0));
        check(300..330, Some(0));
        check(312..313, Some(310));
        check(600..650, None);
        check(650..750, Some(700));
    }
}
