//! Times when threads were off their processor: how long, and whether they were blocked or preempted. Pure.

use std::collections::BTreeMap;

use crate::clock::Monotonic;
use crate::perf::{Switch, SwitchKind};

/// Time off the processor, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct OffTime {
    pub(crate) blocked: u64,
    pub(crate) preempted: u64,
}

/// Maximum intervals kept of a thread. When there are more, every other of the older half is forgotten, but not its
/// length.
const MOST: usize = 8192;

/// What all threads could have done with processors, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Runnable {
    /// They had one.
    pub(crate) ran: u64,
    /// They had lost it to others, or to a limit, and could have run.
    pub(crate) preempted: u64,
}

/// All threads' times.
#[derive(Clone, Debug, Default)]
pub(crate) struct OffCpu {
    runnable: Runnable,
    // Threads are few, and looked up for every switch.
    threads: BTreeMap<u64, Thread>,
}

#[derive(Clone, Debug, Default)]
struct Thread {
    /// By time, not overlapping.
    intervals: Vec<Interval>,
    /// Since when it is off, and why.
    out: Option<(Monotonic, SwitchKind)>,
    /// Since when it has its processor, if it is known to have one.
    runs_since: Option<Monotonic>,
    /// When it ended.
    ended: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug)]
struct Interval {
    out: Monotonic,
    back: Monotonic,
    kind: SwitchKind,
    /// Time off the processor from the beginning to `back`.
    until: OffTime,
}

impl OffCpu {
    /// Adds a switch. Switches of one thread must come in the order of their times. Returns since when the thread
    /// waited for something, if the wait is over now. A thread of which nothing was known counts as having waited from
    /// the beginning.
    pub(crate) fn add(&mut self, switch: Switch) -> Option<Monotonic> {
        let thread = self.threads.entry(switch.tid).or_default();
        let is_new = thread.out.is_none() && thread.intervals.is_empty() && thread.ended.is_none();
        let out = thread.out.filter(|_| switch.kind == SwitchKind::In);
        let since = |then: Monotonic| switch.time.0.saturating_sub(then.0);
        match (switch.kind, out, thread.runs_since) {
            (SwitchKind::In, Some((then, SwitchKind::Preempted)), _) => self.runnable.preempted += since(then),
            (SwitchKind::Blocked | SwitchKind::Preempted, _, Some(then)) => self.runnable.ran += since(then),
            _ => {}
        }
        thread.runs_since = (switch.kind == SwitchKind::In).then_some(switch.time);
        thread.add(switch.time, switch.kind);
        match out {
            Some((since, SwitchKind::Blocked)) => Some(since),
            Some(_) => None,
            None => (is_new && switch.kind == SwitchKind::In).then_some(Monotonic(0)),
        }
    }

    /// Returns how long all threads ran, and how long they were preempted, up to a time: since the first switch of each.
    pub(crate) fn runnable(&self, until: Monotonic) -> Runnable {
        let mut sum = self.runnable;
        let since = |then: Monotonic| until.0.saturating_sub(then.0);
        for thread in self.threads.values().filter(|thread| thread.ended.is_none()) {
            sum.ran += thread.runs_since.map_or(0, since);
            sum.preempted += match thread.out {
                Some((then, SwitchKind::Preempted)) => since(then),
                _ => 0,
            };
        }
        sum
    }

    /// Returns the threads that wait for something, and since when.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (u64, Monotonic)> {
        self.threads.iter().filter_map(|(&tid, thread)| match thread.out {
            Some((since, SwitchKind::Blocked)) if thread.ended.is_none() => Some((tid, since)),
            _ => None,
        })
    }

    /// Returns since when a thread waits for something, if it does.
    pub(crate) fn waits_since(&self, tid: u64) -> Option<Monotonic> {
        let thread = self.threads.get(&tid).filter(|thread| thread.ended.is_none())?;
        thread.out.filter(|&(_, kind)| kind == SwitchKind::Blocked).map(|(since, _)| since)
    }

    /// Notes that a thread has ended.
    pub(crate) fn end(&mut self, tid: u64, time: Monotonic) {
        let thread = self.threads.entry(tid).or_default();
        thread.ended = Some(time);
        // No switch tells that an ended thread has left its processor.
        self.runnable.ran += thread.runs_since.take().map_or(0, |then| time.0.saturating_sub(then.0));
    }

    /// Returns when a thread ended, if it has.
    pub(crate) fn ended(&self, tid: u64) -> Option<Monotonic> {
        self.threads.get(&tid)?.ended
    }

    /// Forgets the intervals of threads that ended before a time, but not that they have ended.
    pub(crate) fn forget_ended_before(&mut self, time: Monotonic) {
        for thread in self.threads.values_mut().filter(|thread| thread.ended.is_some_and(|ended| ended < time)) {
            thread.intervals = Vec::new();
        }
    }

    /// Returns how long a thread was off between two times; none if nothing is known of it.
    pub(crate) fn between(&self, tid: u64, from: Monotonic, to: Monotonic) -> Option<OffTime> {
        let thread = self.threads.get(&tid)?;
        let (before, after) = (thread.until(from), thread.until(to));
        Some(OffTime {
            blocked: after.blocked.saturating_sub(before.blocked),
            preempted: after.preempted.saturating_sub(before.preempted),
        })
    }
}

impl OffCpu {
    /// Returns the mean and variance of the moments between two times at which a thread had a processor, in nanoseconds
    /// after the first. None if it had no processor, or if nothing is known of it.
    pub(crate) fn running(&self, tid: u64, from: Monotonic, to: Monotonic) -> Option<(f64, f64)> {
        let thread = self.threads.get(&tid)?;
        let first = thread.intervals.partition_point(|interval| interval.back <= from);
        let off = thread.intervals[first..].iter().map(|interval| (interval.out, interval.back));
        let off = off.chain(thread.out.map(|(out, _)| (out, to))).take_while(|(out, _)| *out < to);
        let (mut start, mut length, mut sum, mut squares) = (from, 0.0, 0.0, 0.0);
        for (out, back) in off.chain([(to, to)]) {
            let (a, b) = ((start.0 - from.0) as f64, (out.max(start).0 - from.0) as f64);
            length += b - a;
            sum += (b.powi(2) - a.powi(2)) / 2.0;
            squares += (b.powi(3) - a.powi(3)) / 3.0;
            start = back.clamp(start, to.max(start));
        }
        let mean = sum / length;
        (length > 0.0).then(|| (mean, (squares / length - mean * mean).max(0.0)))
    }

    /// Returns the waits of a thread between two times, as far as each is remembered.
    pub(crate) fn waits(
        &self,
        tid: u64,
        from: Monotonic,
        to: Monotonic,
    ) -> impl Iterator<Item = (Monotonic, Monotonic)> {
        let intervals = self.threads.get(&tid).map_or(&[][..], |thread| &thread.intervals);
        let first = intervals.partition_point(|interval| interval.back <= from);
        intervals[first..]
            .iter()
            .take_while(move |interval| interval.out < to)
            .filter(|interval| interval.kind == SwitchKind::Blocked)
            .map(move |interval| (interval.out.max(from), interval.back.min(to)))
    }

    /// Returns the wait that a thread was in at a time: its begin, and its end if it has ended.
    pub(crate) fn wait_at(&self, tid: u64, at: Monotonic) -> Option<(Monotonic, Option<Monotonic>)> {
        let thread = self.threads.get(&tid)?;
        if let Some((since, SwitchKind::Blocked)) = thread.out.filter(|&(since, _)| since <= at) {
            return Some((since, None));
        }
        let after = thread.intervals.partition_point(|interval| interval.out <= at);
        let interval = thread.intervals[..after].last()?;
        (interval.kind == SwitchKind::Blocked && interval.back >= at).then_some((interval.out, Some(interval.back)))
    }

    /// Whether a thread waited for something at a time.
    pub(crate) fn is_waiting(&self, tid: u64, at: Monotonic) -> bool {
        self.wait_at(tid, at).is_some_and(|(_, back)| back.is_none_or(|back| back > at))
    }
}

impl Thread {
    fn add(&mut self, time: Monotonic, kind: SwitchKind) {
        // A thread's number may be given to a new thread.
        self.ended = None;
        if kind != SwitchKind::In {
            // If a switch was lost in between, the time before is not known to be off.
            self.out = Some((time, kind));
            return;
        }
        let Some((out, kind)) = self.out.take() else { return };
        let mut until = self.intervals.last().map_or(OffTime::default(), |last| last.until);
        until.add(kind, time.0.saturating_sub(out.0));
        self.intervals.push(Interval { out, back: time, kind, until });
        if self.intervals.len() > MOST {
            let mut index = 0;
            self.intervals.retain(|_| {
                index += 1;
                index > MOST / 2 || index % 2 == 0
            });
        }
    }

    /// Returns the time off the processor from the beginning to this time.
    fn until(&self, time: Monotonic) -> OffTime {
        let after = self.intervals.partition_point(|interval| interval.out <= time);
        let mut sum = match after.checked_sub(1).map(|index| self.intervals[index]) {
            None => OffTime::default(),
            Some(interval) => {
                let mut sum = interval.until;
                sum.take(interval.kind, interval.back.0.saturating_sub(time.0));
                sum
            }
        };
        if let Some((out, kind)) = self.out {
            sum.add(kind, time.0.saturating_sub(out.0));
        }
        sum
    }
}

impl OffTime {
    fn of(&mut self, kind: SwitchKind) -> &mut u64 {
        if kind == SwitchKind::Preempted { &mut self.preempted } else { &mut self.blocked }
    }

    fn add(&mut self, kind: SwitchKind, nanos: u64) {
        *self.of(kind) += nanos;
    }

    fn take(&mut self, kind: SwitchKind, nanos: u64) {
        let sum = self.of(kind);
        *sum = sum.saturating_sub(nanos);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn switches(switches: &[(u64, SwitchKind)]) -> OffCpu {
        let mut off = OffCpu::default();
        for &(time, kind) in switches {
            off.add(Switch { tid: 7, time: Monotonic(time), kind });
        }
        off
    }

    use SwitchKind::{Blocked, In, Preempted};

    #[test]
    fn waits_are_told_when_they_are_over() {
        let mut off = OffCpu::default();
        let mut check = |tid, time, kind, expected: Option<u64>| {
            let told = off.add(Switch { tid, time: Monotonic(time), kind });
            assert_eq!(told, expected.map(Monotonic), "{tid} {time}");
        };
        check(1, 100, In, Some(0));
        check(1, 200, Blocked, None);
        check(1, 300, In, Some(200));
        check(1, 400, Preempted, None);
        check(1, 500, In, None);
        check(1, 600, Blocked, None);
        check(2, 50, Preempted, None);
        check(2, 60, In, None);
        assert_eq!(off.waiting().collect::<Vec<_>>(), [(1, Monotonic(600))]);
        off.end(1, Monotonic(700));
        assert_eq!(off.waiting().count(), 0);
    }

    #[test]
    fn how_long_threads_ran_and_how_long_they_could_have() {
        let mut off = switches(&[(50, Preempted), (70, In), (100, Blocked), (150, In), (200, Preempted), (210, In)]);
        assert_eq!(off.runnable(Monotonic(250)), Runnable { ran: 30 + 50 + 40, preempted: 20 + 10 });
        off.end(7, Monotonic(230));
        assert_eq!(off.runnable(Monotonic(250)), Runnable { ran: 30 + 50 + 20, preempted: 20 + 10 });
        // A switch was lost in between: it is not known when it went.
        let off = switches(&[(10, In), (100, In), (130, Blocked), (140, Preempted), (150, In), (160, Preempted)]);
        assert_eq!(off.runnable(Monotonic(165)), Runnable { ran: 30 + 10, preempted: 10 + 5 });
    }

    #[test]
    fn moments_at_which_a_thread_had_a_processor() {
        let off = switches(&[(100, Blocked), (150, In), (200, Preempted), (210, In), (300, Preempted)]);
        let check = |from: u64, to: u64, expected: Option<(f64, f64)>| {
            let found = off.running(7, Monotonic(from), Monotonic(to));
            match (found, expected) {
                (Some(found), Some(expected)) => {
                    assert!((found.0 - expected.0).abs() < 1e-6, "{from}..{to}: {found:?}");
                    assert!((found.1 - expected.1).abs() < 1e-6, "{from}..{to}: {found:?}");
                }
                _ => assert_eq!(found, expected, "{from}..{to}"),
            }
        };
        check(40, 100, Some((30.0, 300.0)));
        check(40, 140, Some((30.0, 300.0)));
        check(100, 150, None);
        check(120, 210, Some((55.0, 2500.0 / 12.0)));
        // Two equal parts of ten, whose middles are ten off the mean.
        check(190, 220, Some((15.0, 100.0 + 100.0 / 12.0)));
        check(290, 400, Some((5.0, 100.0 / 12.0)));
        check(310, 400, None);
        check(150, 150, None);
        assert_eq!(off.running(8, Monotonic(0), Monotonic(10)), None);
    }

    #[test]
    fn time_off_between_two_times() {
        let off = switches(&[(100, Blocked), (150, In), (200, Preempted), (210, In), (300, Blocked)]);
        let check = |from: u64, to: u64, blocked: u64, preempted: u64| {
            let expected = Some(OffTime { blocked, preempted });
            assert_eq!(off.between(7, Monotonic(from), Monotonic(to)), expected, "{from}..{to}");
        };
        check(0, 100, 0, 0);
        check(0, 120, 20, 0);
        check(120, 130, 10, 0);
        check(120, 205, 30, 5);
        check(0, 1000, 750, 10);
        check(250, 290, 0, 0);
        check(310, 400, 90, 0);
        assert_eq!(off.between(8, Monotonic(0), Monotonic(1)), None);
    }

    #[test]
    fn waits_between_two_times() {
        let off = switches(&[(100, Blocked), (150, In), (200, Preempted), (210, In), (300, Blocked), (320, In)]);
        let check = |from: u64, to: u64, expected: &[(u64, u64)]| {
            let found: Vec<_> = off.waits(7, Monotonic(from), Monotonic(to)).map(|(from, to)| (from.0, to.0)).collect();
            assert_eq!(found, expected, "{from}..{to}");
        };
        check(0, 1000, &[(100, 150), (300, 320)]);
        check(120, 310, &[(120, 150), (300, 310)]);
        check(150, 300, &[]);
        let waiting: Vec<_> = [99, 100, 149, 150, 205, 310].map(|at| off.is_waiting(7, Monotonic(at))).into();
        assert_eq!(waiting, [false, true, true, false, false, true]);
    }

    #[test]
    fn a_switch_that_was_lost_does_no_harm() {
        let off = switches(&[(50, In), (100, Blocked), (120, Preempted), (150, In), (160, In)]);
        assert_eq!(off.between(7, Monotonic(0), Monotonic(200)), Some(OffTime { blocked: 0, preempted: 30 }));
    }

    #[test]
    fn an_ended_thread_is_known_to_have_ended_and_forgotten_later() {
        let mut off = switches(&[(100, Blocked), (150, In)]);
        off.end(7, Monotonic(200));
        assert_eq!(off.ended(7), Some(Monotonic(200)));
        off.forget_ended_before(Monotonic(150));
        assert_eq!(off.between(7, Monotonic(0), Monotonic(200)), Some(OffTime { blocked: 50, preempted: 0 }));
        off.forget_ended_before(Monotonic(300));
        assert_eq!((off.threads[&7].intervals.len(), off.ended(7)), (0, Some(Monotonic(200))));
        off.add(Switch { tid: 7, time: Monotonic(400), kind: In });
        assert_eq!(off.ended(7), None);
    }

    proptest! {
        #[test]
        fn however_many_intervals_their_sum_is_kept(lengths in prop::collection::vec((1u64..50, 1u64..50), 1..30_000)) {
            let (mut off, mut time, mut sum) = (OffCpu::default(), 0, 0);
            for (on, out) in lengths {
                time += on;
                off.add(Switch { tid: 1, time: Monotonic(time), kind: Blocked });
                time += out;
                sum += out;
                off.add(Switch { tid: 1, time: Monotonic(time), kind: In });
            }
            let found = off.between(1, Monotonic(0), Monotonic(time)).unwrap();
            prop_assert_eq!(found, OffTime { blocked: sum, preempted: 0 });
            prop_assert!(off.threads[&1].intervals.len() <= MOST);
        }
    }
}
