//! A profile of nothing but a span of time, as far as the timeline tells: of slow crossings, the part of their time that lies
//! within.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use cgoprof_profile::{Estimate, Made, Profile, SlowCrossing, Stats};

use super::lanes::{Doing, Lane, Lanes, end};

/// Of a recording, what happened in this time of it.
pub(crate) fn within(profile: &Profile, lanes: &Lanes, span: &Range<u64>) -> Profile {
    let mut sums: HashMap<u64, Stats> = HashMap::new();
    let mut made: HashMap<(usize, u64), BTreeMap<u64, Made>> = HashMap::new();
    for lane in &lanes.lanes {
        // What is still in C when the next begins on the same thread, which is in a callback of it then.
        let mut open: Vec<&SlowCrossing> = Vec::new();
        for crossing in &lane.crossings {
            open.retain(|outer| returned(outer) > crossing.called_ns);
            let outer = open.last().copied();
            open.push(crossing);
            if crossing.called_ns >= span.end || end(crossing) <= span.start {
                continue;
            }
            let (part, weight) = (Clipped::new(crossing, span, lane), crossing.weight.max(1));
            part.add_to(sums.entry(crossing.cell).or_default(), weight);
            if let Some(outer) = outer.and_then(|outer| sums.get_mut(&outer.cell)) {
                outer.callback.sum += part.enter + part.c + part.exit;
                outer.blocked_within += part.blocked;
            }
            let own = made.entry((lane.process, lane.tid)).or_default().entry(crossing.cell).or_default();
            own.calls = own.calls.saturating_add(weight);
            own.c_ns += part.c * weight as f64;
        }
    }
    let mut cells = Vec::new();
    for cell in &profile.cells {
        if let Some(mut stats) = sums.remove(&cell.id) {
            // All times of a function may be off by the same, whichever they are.
            stats.c.common = cell.stats.c.common * stats.c.sum / cell.stats.c.sum.max(1.0);
            cells.push(cgoprof_profile::Cell { stats, ..cell.clone() });
        }
    }
    let by_id: HashMap<u64, &cgoprof_profile::Cell> = cells.iter().map(|cell| (cell.id, cell)).collect();
    let threads = profile.threads.iter().map(|thread| {
        let own = made.remove(&(thread.process, thread.tid)).unwrap_or_default().into_iter();
        let made = own.filter_map(|(cell, made)| {
            let cell = by_id.get(&cell)?;
            Some(Made { function: cell.function, via: cell.via, ..made })
        });
        let made = made.collect();
        let unknown =
            cgoprof_profile::Thread { blocked_ns: None, locked_ns: None, locked_idle_ns: None, ..thread.clone() };
        cgoprof_profile::Thread { made, ..unknown }
    });
    let threads = threads.collect();
    let mut recording = profile.recording.clone();
    recording.duration_ns = span.end - span.start;
    recording.sample_period_ns = 0;
    // What each process did in it is not known either.
    recording.processes = 0;
    // How much of the time was preempted, or callbacks, is not known of parts.
    recording.off_cpu = false;
    Profile {
        target: profile.target.clone(),
        recording,
        functions: profile.functions.clone(),
        locations: profile.locations.clone(),
        cells,
        threads,
        ..Profile::default()
    }
}

/// When C returned.
fn returned(crossing: &SlowCrossing) -> u64 {
    crossing.called_ns.saturating_add(crossing.c_ns.unwrap_or(0))
}

/// What of a crossing lies within a span.
struct Clipped {
    enter: f64,
    c: f64,
    exit: f64,
    blocked: f64,
    /// C had not returned when the recording ended.
    open: bool,
}

impl Clipped {
    fn new(crossing: &SlowCrossing, span: &Range<u64>, lane: &Lane) -> Clipped {
        let clip = |from: u64, to: u64| from.max(span.start)..to.min(span.end).max(from.max(span.start));
        let length = |range: &Range<u64>| (range.end - range.start) as f64;
        let c = clip(crossing.called_ns, returned(crossing));
        Clipped {
            enter: if span.contains(&crossing.called_ns) { crossing.enter_ns as f64 } else { 0.0 },
            exit: length(&clip(returned(crossing), end(crossing))),
            blocked: lane.share(Doing::Blocked, &c) * length(&c),
            c: length(&c),
            open: crossing.open && span.end >= end(crossing),
        }
    }

    /// Adds a crossing that stands for `weight`. How the times of whole crossings are spread is nothing that parts tell.
    fn add_to(&self, stats: &mut Stats, weight: u64) {
        let weights = weight as f64;
        // Of a sum over what is drawn once in `weight` times (Horvitz and Thompson).
        let sum = |nanos: f64| Estimate {
            sum: nanos * weights,
            variance: nanos * nanos * weights * (weights - 1.0),
            common: 0.0,
        };
        stats.calls = stats.calls.saturating_add(weight);
        stats.timed += 1;
        stats.in_flight += u64::from(self.open);
        stats.enter += sum(self.enter);
        stats.c += sum(self.c);
        stats.exit += sum(self.exit);
        stats.blocked += self.blocked * weights;
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::Timeline;

    use super::*;
    use crate::analysis;
    use crate::tui::sample_data;

    #[test]
    fn all_of_the_time_has_all_slow_crossings_and_none_has_none() {
        for (name, profile) in sample_data::recorded() {
            let lanes = Lanes::new(&profile);
            let all = within(&profile, &lanes, &(0..u64::MAX / 2));
            let calls: u64 = all.cells.iter().map(|cell| cell.stats.calls).sum();
            let weights: u64 = profile.timeline.crossings.iter().map(|crossing| crossing.weight.max(1)).sum();
            assert_eq!(calls, weights, "{name}");
            let none = within(&profile, &lanes, &(0..0));
            assert!(none.cells.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_is_made_in_callbacks_is_not_counted_twice() {
        let mut profile = sample_data::named("busy");
        let (cell, tid) = (profile.cells[0].id, profile.threads[0].tid);
        let crossing = |called_ns, c, weight| SlowCrossing {
            cell,
            tid,
            called_ns,
            c_ns: Some(c),
            weight,
            ..SlowCrossing::default()
        };
        let crossings = vec![crossing(100, 50, 1), crossing(110, 20, 1), crossing(200, 10, 3)];
        profile.timeline = Timeline { crossings, ..Timeline::default() }.into();
        let lanes = Lanes::new(&profile);
        let stats = analysis::totals(&within(&profile, &lanes, &(0..1000))).0;
        assert_eq!((stats.calls, stats.c.sum, stats.total_self()), (5, 100.0, 80.0));
        assert!(stats.c.variance > 0.0);
        let stats = analysis::totals(&within(&profile, &lanes, &(105..115))).0;
        assert_eq!((stats.calls, stats.c.sum, stats.total_self()), (2, 15.0, 10.0));
    }

    #[test]
    fn halves_make_up_the_whole() {
        let profile = sample_data::named("busy");
        let lanes = Lanes::new(&profile);
        let middle = profile.recording.duration_ns / 2;
        let c = |span: &Range<u64>| analysis::totals(&within(&profile, &lanes, span)).0.c.sum;
        let (first, second, whole) = (c(&(0..middle)), c(&(middle..u64::MAX / 2)), c(&(0..u64::MAX / 2)));
        assert!(first > 0.0 && second > 0.0);
        assert!((first + second - whole).abs() < 1.0, "{first} {second} {whole}");
    }
}
