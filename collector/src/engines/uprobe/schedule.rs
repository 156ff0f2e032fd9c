//! Follows threads and goroutines by hits of probes: which goroutine crossed on which thread, how many were in C at
//! once. Pure.

use std::collections::HashMap;

use cgoprof_symbols::Avma;

use crate::counts::cell_id::CellId;
use crate::counts::snapshot::{BirthCopy, ForgottenCopy, GoroutineCopy, InCSnapshot, Made, ThreadCopy, ThreadEvents};

/// Maximum goroutines kept apart; when there are more, the half with the fewest crossings is forgotten.
const MOST_GOROUTINES: usize = 100_000;
/// Maximum threads that have ended and are kept apart, and maximum threads being made.
const MOST_THREADS: usize = 10_000;
/// Nanoseconds from one look at the threads in C to the next.
const BETWEEN_LOOKS: u64 = 10_000_000;

/// Everything that threads and goroutines did.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    goroutines: HashMap<GoroutineId, Goroutine>,
    forgotten: ForgottenCopy,
    /// Threads that have ended.
    gone: Vec<ThreadCopy>,
    threads: HashMap<u64, ThreadCopy>,
    /// Threads in C, each with the crossing in whose C it is.
    in_c: HashMap<u64, CellId>,
    seen: ThreadEvents,
    looks: Vec<InCSnapshot>,
    next_look: u64,
}

#[derive(Clone, Debug)]
struct Goroutine {
    calls: u64,
    migrations: u64,
    last: u64,
    threads: Vec<u64>,
    cell: CellId,
}

/// Identity of a goroutine: each runtime numbers its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct GoroutineId {
    pub(super) runtime: usize,
    pub(super) goid: u64,
}

/// A crossing that begins.
pub(super) struct Begun {
    pub(super) tid: u64,
    pub(super) m: u64,
    pub(super) goroutine: GoroutineId,
    pub(super) cell: CellId,
    pub(super) function: Avma,
    pub(super) direct: bool,
    pub(super) locked: bool,
}

impl Schedule {
    /// Notes a crossing. Returns whether its goroutine's previous one was on another thread.
    pub(super) fn begin(&mut self, begun: &Begun) -> bool {
        let thread =
            self.threads.entry(begun.tid).or_insert_with(|| ThreadCopy { tid: begun.tid, ..Default::default() });
        thread.m = begun.m;
        let made = thread.made.entry((begun.function, begun.direct)).or_default();
        made.calls += 1;
        made.locked += u64::from(begun.locked);
        if begun.direct {
            return false;
        }
        if self.goroutines.len() >= MOST_GOROUTINES && !self.goroutines.contains_key(&begun.goroutine) {
            self.forget();
        }
        let goroutine = self.goroutines.entry(begun.goroutine).or_insert_with(|| Goroutine {
            calls: 0,
            migrations: 0,
            last: begun.tid,
            threads: vec![begun.tid],
            cell: begun.cell,
        });
        goroutine.calls += 1;
        let migrated = goroutine.last != begun.tid;
        if migrated {
            goroutine.migrations += 1;
            goroutine.last = begun.tid;
            if !goroutine.threads.contains(&begun.tid) {
                goroutine.threads.push(begun.tid);
            }
        }
        migrated
    }

    /// Notes how long a crossing was in C, in nanoseconds.
    pub(super) fn end(&mut self, tid: u64, function: Avma, nanos: u64) {
        if let Some(made) = self.threads.get_mut(&tid).and_then(|thread| thread.made.get_mut(&(function, false))) {
            made.c += nanos as f64;
        }
    }

    /// Notes that from now on a thread is in C by this crossing, or by none.
    pub(super) fn set(&mut self, tid: u64, crossing: Option<CellId>, now: u64) {
        self.look_until(now);
        match crossing {
            Some(cell) => drop(self.in_c.insert(tid, cell)),
            None => drop(self.in_c.remove(&tid)),
        }
        if self.in_c.len() > self.seen.peak.in_c.len() {
            self.seen.peak = self.look(now);
        }
    }

    /// Looks at the threads in C at regular intervals up to a time.
    pub(super) fn look_until(&mut self, now: u64) {
        if self.next_look == 0 {
            self.next_look = now;
        }
        while self.next_look < now {
            self.looks.push(self.look(self.next_look));
            self.next_look += BETWEEN_LOOKS;
        }
    }

    fn look(&self, at: u64) -> InCSnapshot {
        InCSnapshot { at, in_c: self.in_c.iter().map(|(&tid, &cell)| (tid, cell)).collect() }
    }

    /// Notes that a thread makes another, by this direct crossing.
    pub(super) fn birth(&mut self, creator: u64, cell: CellId, at: u64, function_of: impl Fn(CellId) -> Avma) {
        if self.seen.births.len() >= MOST_THREADS {
            self.seen.more_births += 1;
            return;
        }
        let in_c = self.in_c.keys().filter(|&&tid| tid != creator).count() as u64;
        let mut holders: HashMap<Avma, (u64, CellId)> = HashMap::new();
        for (_, &cell) in self.in_c.iter().filter(|&(&tid, _)| tid != creator) {
            holders.entry(function_of(cell)).or_insert((0, cell)).0 += 1;
        }
        let mut holders: Vec<_> = holders.into_values().collect();
        holders.sort_unstable_by(|one, other| other.cmp(one));
        self.seen.births.push(BirthCopy { at, creator, cell, in_c, holders });
    }

    /// Notes that a thread has ended.
    pub(super) fn end_thread(&mut self, tid: u64, now: u64) {
        self.set(tid, None, now);
        let Some(thread) = self.threads.remove(&tid) else { return };
        let full = self.gone.len() >= MOST_THREADS;
        match self.gone.last_mut().filter(|_| full) {
            None => self.gone.push(thread),
            Some(last) => {
                for (function, made) in thread.made {
                    let sum: &mut Made = last.made.entry(function).or_default();
                    sum.calls += made.calls;
                    sum.locked += made.locked;
                    sum.c += made.c;
                }
            }
        }
    }

    /// Forgets which threads are in C.
    pub(super) fn lose_track(&mut self) {
        self.in_c.clear();
    }

    /// Returns all threads that crossed.
    pub(super) fn threads(&self) -> Vec<ThreadCopy> {
        self.gone.iter().chain(self.threads.values()).cloned().collect()
    }

    /// Returns all goroutines that are kept, and the sums of the others.
    pub(super) fn goroutines(&self) -> (Vec<GoroutineCopy>, ForgottenCopy) {
        let copy = |(id, goroutine): (&GoroutineId, &Goroutine)| GoroutineCopy {
            beyond: false,
            goid: id.goid,
            calls: goroutine.calls,
            threads: goroutine.threads.len() as u64,
            migrations: goroutine.migrations,
            locks: 0,
            cell: goroutine.cell,
        };
        (self.goroutines.iter().map(copy).collect(), self.forgotten)
    }

    /// Takes the looks since the last call.
    pub(super) fn take_looks(&mut self) -> Vec<InCSnapshot> {
        std::mem::take(&mut self.looks)
    }

    /// Returns threads being made, how many more were not kept, and when most threads were in C.
    pub(super) fn seen(&self) -> ThreadEvents {
        self.seen.clone()
    }

    /// Forgets the half of the goroutines with the fewest crossings. Any of them may still be alive.
    fn forget(&mut self) {
        let mut calls: Vec<u64> = self.goroutines.values().map(|goroutine| goroutine.calls).collect();
        let middle = calls.len() / 2;
        let (_, &mut median, _) = calls.select_nth_unstable(middle);
        let mut room = middle;
        let forgotten = &mut self.forgotten;
        self.goroutines.retain(|_, goroutine| {
            if room == 0 || goroutine.calls > median {
                return true;
            }
            room -= 1;
            forgotten.goroutines += 1;
            forgotten.alive += 1;
            forgotten.calls += goroutine.calls;
            forgotten.migrations += goroutine.migrations;
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(tid: u64, goid: u64) -> Begun {
        let (cell, function) = (CellId(tid as u32), Avma(0x900));
        let goroutine = GoroutineId { runtime: 0, goid };
        Begun { tid, m: tid + 100, goroutine, cell, function, direct: false, locked: false }
    }

    #[test]
    fn goroutines_over_threads() {
        let mut schedule = Schedule::default();
        let migrated: Vec<_> =
            [(1, 7), (1, 7), (2, 7), (1, 7), (1, 8)].map(|(tid, goid)| schedule.begin(&begun(tid, goid))).into();
        assert_eq!(migrated, [false, false, true, true, false]);
        let (mut goroutines, _) = schedule.goroutines();
        goroutines.sort_by_key(|goroutine| goroutine.goid);
        let rows: Vec<_> = goroutines.iter().map(|one| (one.goid, one.calls, one.threads, one.migrations)).collect();
        assert_eq!(rows, [(7, 4, 2, 2), (8, 1, 1, 0)]);
    }

    #[test]
    fn more_goroutines_than_are_kept_are_all_counted() {
        let mut schedule = Schedule::default();
        let all = 3 * MOST_GOROUTINES as u64;
        for goid in 0..all {
            schedule.begin(&begun(1, goid));
        }
        let (kept, forgotten) = schedule.goroutines();
        assert_eq!(kept.len() as u64 + forgotten.goroutines, all);
        assert_eq!(kept.iter().map(|one| one.calls).sum::<u64>() + forgotten.calls, all);
    }

    #[test]
    fn the_peak_and_the_looks_between() {
        let mut schedule = Schedule::default();
        schedule.set(1, Some(CellId(1)), 1_000);
        schedule.set(2, Some(CellId(2)), 5_000_000);
        schedule.set(1, None, 15_000_000);
        schedule.set(2, None, 42_000_000);
        assert_eq!((schedule.seen.peak.at, schedule.seen.peak.in_c.len()), (5_000_000, 2));
        let looks: Vec<_> = schedule.take_looks().iter().map(|look| (look.at, look.in_c.len())).collect();
        assert_eq!(looks, [(1_000, 1), (10_001_000, 2), (20_001_000, 1), (30_001_000, 1), (40_001_000, 1)]);
        assert!(schedule.take_looks().is_empty());
    }

    #[test]
    fn who_holds_threads_when_another_is_made() {
        let mut schedule = Schedule::default();
        for tid in 1..=4 {
            schedule.set(tid, Some(CellId(tid as u32)), tid);
        }
        schedule.birth(4, CellId(9), 50, |cell| Avma(if cell.0 == 1 { 0x100 } else { 0x200 }));
        let births = schedule.seen().births;
        assert_eq!((births[0].in_c, births[0].creator), (3, 4));
        assert_eq!(births[0].holders.iter().map(|&(count, _)| count).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn a_thread_that_ends_leaves_what_it_did() {
        let mut schedule = Schedule::default();
        schedule.begin(&begun(1, 7));
        schedule.end(1, Avma(0x900), 50);
        schedule.set(1, Some(CellId(1)), 1);
        schedule.end_thread(1, 2);
        schedule.begin(&begun(1, 8));
        let made: Vec<_> = schedule.threads().iter().map(|thread| thread.made[&(Avma(0x900), false)]).collect();
        assert_eq!(made, [Made { calls: 1, locked: 0, c: 50.0 }, Made { calls: 1, locked: 0, c: 0.0 }]);
        assert!(schedule.in_c.is_empty());
    }
}
