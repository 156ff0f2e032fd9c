//! Events that took long, in the order in which they came. The timeline is bounded, and counts what it drops. Pure.
//!
//! When there is more than is kept, the shortest are dropped: the least length that is kept at least doubles, until the
//! rest fits.

use std::collections::HashMap;

use super::offcpu::OffTime;
use crate::clock::{Monotonic, Rate};
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::{SlowEvent, SlowKind};

/// Maximum crossings kept.
const MOST_CROSSINGS: usize = 300_000;
/// Maximum intervals kept in which threads waited, and in which goroutines were locked.
const MOST_SPANS: usize = 200_000;
/// Shortest wait that is noted wherever a thread is, in nanoseconds.
const SHORTEST_SLEEP: u64 = 20_000;
/// Maximum looks kept.
const MOST_LOOKS: usize = 60_000;
/// Maximum crossings remembered whose exit may still come.
const MOST_OPEN: usize = 100_000;

/// The whole timeline.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    crossings: Kept<Crossing>,
    waits: Kept<Wait>,
    locks: Kept<Locked>,
    asleep: Kept<Wait>,
    looks: Vec<Counters>,
    /// One look of this many is kept.
    every: usize,
    looks_seen: usize,
    /// Crossings whose exit has not come, by cell and end of the C phase in ticks.
    open: HashMap<(CellId, u64), u64>,
    /// How much of each kind has been handed out.
    taken: [u64; 5],
}

/// A crossing that was slow in C or on its way back. Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crossing {
    pub(crate) cell: CellId,
    pub(crate) tid: u64,
    pub(crate) goid: u64,
    /// When C was called.
    pub(crate) called: Monotonic,
    pub(crate) enter: u64,
    /// None if only the exit was slow.
    pub(crate) c: Option<u64>,
    pub(crate) exit: u64,
    /// Thread on which the goroutine continued, if the exit is known.
    pub(crate) exit_tid: Option<u64>,
    /// Blocked part of the C time.
    pub(crate) blocked: u64,
    /// Part of it in which the thread had lost its processor to another; none if switches are not known.
    pub(crate) preempted: Option<u64>,
    /// Number of crossings that it stands for.
    pub(crate) gap: u64,
}

/// An interval in which a thread waited for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) tid: u64,
    pub(crate) from: Monotonic,
    pub(crate) to: Monotonic,
    /// Number of the stack that a look found in it ([`super::samples::WaitTime::number`]).
    pub(crate) stack: Option<u32>,
}

/// An interval in which a goroutine was locked to its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Locked {
    pub(crate) cell: CellId,
    pub(crate) tid: u64,
    pub(crate) goid: u64,
    pub(crate) from: Monotonic,
    pub(crate) to: Monotonic,
}

/// Number of threads in each state at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) at: Monotonic,
    pub(crate) in_c: u64,
    /// None if switches are not known.
    pub(crate) in_go: Option<u64>,
    /// Waiting, and not in C.
    pub(crate) idle: Option<u64>,
}

/// The part of the timeline that has come since it was last taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) crossings: Vec<Crossing>,
    /// Waits in C.
    pub(crate) waits: Vec<Wait>,
    /// Waits in C or not.
    pub(crate) asleep: Vec<Wait>,
    pub(crate) locks: Vec<Locked>,
    pub(crate) looks: Vec<Counters>,
    /// Whether it is all that is kept.
    pub(crate) whole: bool,
    /// Crossings shorter than this are dropped, and the next field counts them.
    pub(crate) shortest_crossing: u64,
    pub(crate) dropped_crossings: u64,
    /// The same for waits.
    pub(crate) shortest_wait: u64,
    pub(crate) dropped_waits: u64,
    pub(crate) shortest_asleep: u64,
    pub(crate) dropped_asleep: u64,
}

impl Part {
    /// Removes everything that follows from when threads had processors.
    pub(crate) fn forget_switches(&mut self) {
        self.waits.clear();
        self.asleep.clear();
        self.crossings.iter_mut().for_each(|crossing| (crossing.blocked, crossing.preempted) = (0, None));
        self.looks.iter_mut().for_each(|look| (look.in_go, look.idle) = (None, None));
    }
}

/// Something with a length.
trait Long {
    fn nanos(&self) -> u64;
}

/// The longest of all items that came.
#[derive(Clone, Debug)]
struct Kept<T> {
    /// Items with their numbers.
    items: Vec<(u64, T)>,
    most: usize,
    next: u64,
    shortest: u64,
    dropped: u64,
}

impl Timeline {
    /// Adds a slow event, with the time that its thread was off its processor, if that is known.
    pub(crate) fn add(&mut self, event: &SlowEvent, off: Option<OffTime>, rate: Rate) {
        let (from, to) = (rate.monotonic(event.from), rate.monotonic(event.to));
        let (nanos, enter) = (to.0.saturating_sub(from.0), (event.enter as f64 / rate.ticks_per_ns) as u64);
        let (cell, tid, goid) = (event.cell, event.tid, event.goid);
        let crossing = Crossing { cell, tid, goid, called: from, enter, gap: event.weight, ..Crossing::default() };
        match event.kind {
            SlowKind::Exit => self.exit(Crossing { exit: nanos, exit_tid: Some(tid), ..crossing }, event.from),
            SlowKind::Locked => self.locked(Locked { cell, tid, goid, from, to }),
            // The event of its crossing has this phase too, if the crossing is slow.
            SlowKind::Enter => {}
            _ => {
                let (blocked, preempted) = (off.map_or(0, |off| off.blocked), off.map(|off| off.preempted));
                self.crossing(Crossing { c: Some(nanos), blocked, preempted, ..crossing }, event.to);
            }
        }
    }

    /// Adds a crossing whose C phase ended at `returned` ticks. A crossing without a goroutine is direct and has no
    /// exit.
    pub(crate) fn crossing(&mut self, crossing: Crossing, returned: u64) {
        if let Some(number) = self.crossings.add(crossing)
            && crossing.goid != 0
        {
            if self.open.len() >= MOST_OPEN {
                self.open.clear();
            }
            self.open.insert((crossing.cell, returned), number);
        }
    }

    /// Adds the exit of a crossing whose C phase ended at `returned` ticks. It belongs to a crossing that came before,
    /// or to one whose C phase was short.
    pub(crate) fn exit(&mut self, exit: Crossing, returned: u64) {
        let known = self.open.remove(&(exit.cell, returned)).and_then(|number| self.crossings.get(number));
        match known {
            Some(crossing) => (crossing.exit, crossing.exit_tid) = (exit.exit, exit.exit_tid),
            None => {
                self.crossings.add(exit);
            }
        }
    }

    /// Adds a wait, in C or not.
    pub(crate) fn asleep(&mut self, wait: Wait) {
        if wait.nanos() >= SHORTEST_SLEEP {
            self.asleep.add(wait);
        }
    }

    /// Adds a wait in C.
    pub(crate) fn wait(&mut self, wait: Wait) {
        self.waits.add(wait);
    }

    /// Adds the time of a lock.
    pub(crate) fn locked(&mut self, locked: Locked) {
        self.locks.add(locked);
    }

    /// Adds a look.
    pub(crate) fn look(&mut self, counters: Counters) {
        self.looks_seen += 1;
        if !self.looks_seen.is_multiple_of(self.every.max(1)) {
            return;
        }
        self.looks.push(counters);
        if self.looks.len() >= MOST_LOOKS {
            // Every other one is dropped, whatever it shows, so that means are right; the peak is known apart.
            self.every = self.every.max(1) * 2;
            self.looks = self.looks.chunks(2).filter_map(|pair| pair.get(1).copied()).collect();
            self.taken[3] /= 2;
        }
    }

    /// Returns everything that is kept.
    pub(crate) fn all(&self) -> Part {
        Part { whole: true, ..self.part([0; 5]) }
    }

    /// Takes the part that has come since the last call.
    pub(crate) fn take_new(&mut self) -> Part {
        let part = self.part(self.taken);
        self.taken = [self.crossings.next, self.waits.next, self.locks.next, self.looks.len() as u64, self.asleep.next];
        part
    }

    fn part(&self, from: [u64; 5]) -> Part {
        Part {
            whole: false,
            crossings: self.crossings.since(from[0]),
            waits: self.waits.since(from[1]),
            locks: self.locks.since(from[2]),
            asleep: self.asleep.since(from[4]),
            looks: self.looks[(from[3] as usize).min(self.looks.len())..].to_vec(),
            shortest_crossing: self.crossings.shortest,
            dropped_crossings: self.crossings.dropped,
            shortest_wait: self.waits.shortest,
            dropped_waits: self.waits.dropped,
            shortest_asleep: self.asleep.shortest.max(SHORTEST_SLEEP),
            dropped_asleep: self.asleep.dropped,
        }
    }
}

impl Long for Crossing {
    fn nanos(&self) -> u64 {
        self.c.unwrap_or(0).max(self.exit)
    }
}

impl Long for Wait {
    fn nanos(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }
}

impl Long for Locked {
    fn nanos(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }
}

/// Limit of a kind of item.
trait Bounded {
    const MOST: usize;
}

impl Bounded for Crossing {
    const MOST: usize = MOST_CROSSINGS;
}

impl Bounded for Wait {
    const MOST: usize = MOST_SPANS;
}

impl Bounded for Locked {
    const MOST: usize = MOST_SPANS;
}

impl<T: Bounded> Default for Kept<T> {
    fn default() -> Self {
        Kept { items: Vec::new(), most: T::MOST, next: 0, shortest: 0, dropped: 0 }
    }
}

impl<T: Long + Copy> Kept<T> {
    /// Adds an item; returns its number if it is kept.
    fn add(&mut self, item: T) -> Option<u64> {
        let number = self.next;
        self.next += 1;
        if item.nanos() < self.shortest {
            self.dropped += 1;
            return None;
        }
        self.items.push((number, item));
        while self.items.len() > self.most {
            // Keeps half as many at most, so that this is rare.
            let mut lengths: Vec<u64> = self.items.iter().map(|(_, item)| item.nanos()).collect();
            let middle = lengths.len() / 2;
            let (_, &mut median, _) = lengths.select_nth_unstable(middle);
            self.shortest = (median + 1).max(self.shortest * 2);
            let before = self.items.len();
            self.items.retain(|(_, item)| item.nanos() >= self.shortest);
            self.dropped += (before - self.items.len()) as u64;
        }
        Some(number)
    }

    fn get(&mut self, number: u64) -> Option<&mut T> {
        let index = self.items.binary_search_by_key(&number, |&(number, _)| number).ok()?;
        Some(&mut self.items[index].1)
    }

    fn since(&self, number: u64) -> Vec<T> {
        let first = self.items.partition_point(|&(own, _)| own < number);
        self.items[first..].iter().map(|&(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn crossing(c: u64) -> Crossing {
        Crossing { cell: CellId(1), goid: 7, c: Some(c), ..Crossing::default() }
    }

    #[test]
    fn an_exit_finds_its_crossing() {
        let mut timeline = Timeline::default();
        timeline.crossing(crossing(100), 7);
        timeline.crossing(crossing(200), 8);
        timeline.exit(Crossing { exit: 50, exit_tid: Some(3), c: None, ..crossing(0) }, 8);
        timeline.exit(Crossing { exit: 60, exit_tid: Some(4), c: None, ..crossing(0) }, 9);
        let all = timeline.all().crossings;
        let rows: Vec<_> = all.iter().map(|one| (one.c, one.exit, one.exit_tid)).collect();
        assert_eq!(rows, [(Some(100), 0, None), (Some(200), 50, Some(3)), (None, 60, Some(4))]);
    }

    #[test]
    fn what_is_new_is_handed_out_once() {
        let mut timeline = Timeline::default();
        timeline.crossing(crossing(100), 7);
        assert_eq!(timeline.take_new().crossings.len(), 1);
        timeline.crossing(crossing(101), 8);
        timeline.look(Counters::default());
        let new = timeline.take_new();
        assert_eq!((new.crossings, new.looks.len()), (vec![crossing(101)], 1));
        assert_eq!((timeline.take_new().looks.len(), timeline.all().crossings.len()), (0, 2));
    }

    #[test]
    fn looks_grow_apart_evenly_and_show_no_more_than_there_was() {
        let mut timeline = Timeline::default();
        let all = 10 * MOST_LOOKS as u64;
        for at in 0..all {
            // Five of sixteen looks have one thread in C, in no order.
            let in_c = u64::from(
                at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 60 < 5,
            );
            timeline.look(Counters { at: Monotonic(at), in_c, ..Counters::default() });
        }
        let looks = timeline.all().looks;
        assert!(looks.len() < MOST_LOOKS && looks.len() > MOST_LOOKS / 8, "{}", looks.len());
        let apart: Vec<u64> = looks.windows(2).map(|pair| pair[1].at.0 - pair[0].at.0).collect();
        assert!(apart.iter().all(|&distance| distance == apart[0]), "{} to {:?}", apart[0], apart.iter().max());
        assert!(looks.last().unwrap().at.0 >= all - apart[0]);
        let mean = looks.iter().map(|look| look.in_c as f64).sum::<f64>() / looks.len() as f64;
        assert!((mean - 5.0 / 16.0).abs() < 0.02, "{mean}");
    }

    proptest! {
        #[test]
        fn the_longest_are_kept_and_the_others_counted(lengths in prop::collection::vec(1u64..1_000_000, 1..3000)) {
            let mut kept = Kept { most: 100, ..Kept::default() };
            for &length in &lengths {
                kept.add(crossing(length));
            }
            prop_assert!(kept.items.len() <= 100);
            prop_assert_eq!(kept.items.len() as u64 + kept.dropped, lengths.len() as u64);
            let mut expected: Vec<_> = lengths.iter().copied().filter(|&length| length >= kept.shortest).collect();
            let mut found: Vec<_> = kept.items.iter().map(|(_, item)| item.nanos()).collect();
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
