//! Waits in C of which every one is seen: the kernel samples each thread that loses its processor. Pure.
//!
//! Where that is not permitted, or where threads switch too often for it, looks stand for the waits instead
//! ([`super::waits`]). A look also finds the stack of a wait that had begun before, or whose sample was dropped.

use std::collections::HashMap;
use std::sync::Arc;

use super::offcpu::OffCpu;
use super::waits::WaitStack;
use crate::clock::Monotonic;

/// Nanoseconds for which a stack waited.
pub(super) type TimedWait = (Arc<WaitStack>, u64);

/// The waits while every one is seen.
#[derive(Default)]
pub(super) struct EveryWait {
    /// From when on every wait is seen; none while looks stand for them.
    from: Option<Monotonic>,
    /// Nanoseconds for which every wait was seen, up to `seen_until`.
    seen: u64,
    /// Up to when it is known whether samples were dropped.
    seen_until: Monotonic,
    /// Samples were dropped since then.
    lost_some: bool,
    /// Waits that go on, by thread.
    open: HashMap<u64, Open>,
    /// Begin of the last wait of each thread whose stack is known.
    known: HashMap<u64, Monotonic>,
    /// Looks at threads, until it is known which wait they found.
    looks: Vec<Look>,
}

struct Open {
    since: Monotonic,
    stack: Arc<WaitStack>,
    /// Whether the copy of the stack reached its crossing. If not, a look may still find the whole stack.
    is_whole: bool,
}

/// A wait that is over.
#[derive(Debug, PartialEq)]
pub(super) struct EndedWait {
    pub(super) since: Monotonic,
    pub(super) stack: Arc<WaitStack>,
    pub(super) nanos: u64,
    /// Whether this is the first that is heard of its stack.
    pub(super) is_new: bool,
}

struct Look {
    tid: u64,
    at: Monotonic,
    stack: Arc<WaitStack>,
}

/// A wait whose stack a look has found.
pub(super) struct FoundByLook {
    pub(super) tid: u64,
    pub(super) at: Monotonic,
    pub(super) stack: Arc<WaitStack>,
    /// How long it took, if it is over.
    pub(super) nanos: Option<u64>,
}

impl EveryWait {
    /// Whether every wait is seen now.
    pub(super) fn is_on(&self) -> bool {
        self.from.is_some()
    }

    /// Every wait is seen from this time on.
    pub(super) fn begin(&mut self, from: Monotonic) {
        if self.from.is_none() {
            (self.from, self.seen_until, self.lost_some) = (Some(from), from, false);
        }
    }

    /// Every wait was seen up to this time. Returns the time of those that go on.
    pub(super) fn end(&mut self, at: Monotonic) -> Vec<TimedWait> {
        let waited = self.so_far(at);
        self.see_until(at);
        *self = EveryWait { seen: self.seen, ..EveryWait::default() };
        waited
    }

    /// All samples before a time have been read.
    pub(super) fn see_until(&mut self, until: Monotonic) {
        if self.from.is_some() && until > self.seen_until {
            self.seen = self.seen(until);
            (self.seen_until, self.lost_some) = (until, false);
        }
    }

    /// Samples were dropped: the stacks of some waits are not known.
    pub(super) fn lose_samples(&mut self) {
        self.lost_some = true;
    }

    /// Nanoseconds up to a time for which every wait was seen.
    pub(super) fn seen(&self, until: Monotonic) -> u64 {
        let is_seen = self.from.is_some() && !self.lost_some;
        self.seen + if is_seen { until.0.saturating_sub(self.seen_until.0) } else { 0 }
    }

    /// A thread begins to wait on this stack. `is_whole` tells whether the stack reaches its crossing.
    pub(super) fn blocked(&mut self, tid: u64, since: Monotonic, stack: Arc<WaitStack>, is_whole: bool) {
        if !self.is_on() {
            return;
        }
        if is_whole {
            self.known.insert(tid, since);
        }
        self.open.insert(tid, Open { since, stack, is_whole });
    }

    /// A thread's wait that began at this time is over. Returns it, if its stack is known.
    pub(super) fn back(&mut self, tid: u64, since: Monotonic, at: Monotonic) -> Option<EndedWait> {
        let open = self.open.remove(&tid).filter(|open| open.since == since)?;
        Some(self.end_wait(tid, open, at))
    }

    /// A thread has ended. Returns its last wait, if that was not over.
    pub(super) fn ended(&mut self, tid: u64, at: Monotonic) -> Option<EndedWait> {
        let ended = self.open.remove(&tid).map(|open| self.end_wait(tid, open, at));
        self.known.remove(&tid);
        ended
    }

    /// Ends a wait. A look that has found the rest of its stack, but has not been settled, is used now.
    fn end_wait(&mut self, tid: u64, Open { since, stack, is_whole }: Open, at: Monotonic) -> EndedWait {
        let is_of_wait = |look: &mut Look| look.tid == tid && (since..=at).contains(&look.at);
        let looked = if is_whole { None } else { self.looks.extract_if(.., is_of_wait).last() };
        self.known.insert(tid, since);
        let stack = looked.map_or(stack, |look| look.stack);
        EndedWait { since, stack, nanos: self.length(since, at), is_new: !is_whole }
    }

    /// Records were dropped. What had begun may be over; a look tells.
    pub(super) fn lose_track(&mut self) {
        self.open.clear();
        self.known.clear();
        self.lost_some = true;
    }

    /// Whether the wait that a thread began at this time needs no look.
    pub(super) fn needs_no_look(&self, tid: u64, since: Monotonic) -> bool {
        self.known.get(&tid) == Some(&since) || self.looks.iter().any(|look| look.tid == tid && look.at >= since)
    }

    /// A look has found a thread waiting on this stack.
    pub(super) fn look(&mut self, tid: u64, at: Monotonic, stack: Arc<WaitStack>) {
        self.looks.push(Look { tid, at, stack });
    }

    /// Returns the waits that looks before a time have found: all switches before that are known.
    pub(super) fn settle(&mut self, before: Monotonic, off: &OffCpu) -> Vec<FoundByLook> {
        let due: Vec<_> = self.looks.extract_if(.., |look| look.at < before).collect();
        let mut found = Vec::new();
        for Look { tid, at, stack } in due {
            // A later wait of the thread is known only if this one was over.
            let is_new = |since: Monotonic| self.known.get(&tid).is_none_or(|&known| known < since);
            let Some((since, back)) = off.wait_at(tid, at).filter(|&(since, _)| is_new(since)) else { continue };
            self.known.insert(tid, since);
            if back.is_none() {
                self.open.insert(tid, Open { since, stack: Arc::clone(&stack), is_whole: true });
            }
            found.push(FoundByLook { tid, at, stack, nanos: back.map(|back| self.length(since, back)) });
        }
        found
    }

    /// Returns how long the waits that go on have been seen up to a time.
    pub(super) fn so_far(&self, until: Monotonic) -> Vec<TimedWait> {
        self.open.values().map(|open| (Arc::clone(&open.stack), self.length(open.since, until))).collect()
    }

    fn length(&self, since: Monotonic, at: Monotonic) -> u64 {
        at.0.saturating_sub(since.max(self.from.unwrap_or(since)).0)
    }
}

/// Whether threads lose their processors seldom enough for every wait to be seen. Pure.
pub(super) struct SwitchRate {
    is_low: bool,
    /// Begin of the time in which switches are counted.
    since: Monotonic,
    switches: u64,
}

/// Switches a second from which on not every wait is seen any more, and below which every one is again. A sample of a
/// switch takes the program 2 to 5 us (`cargo bench --bench overhead -- blocked`).
const RATES: [u64; 2] = [5_000, 2_500];
/// Nanoseconds for which switches are counted.
const COUNTED: u64 = 250_000_000;

impl SwitchRate {
    pub(super) fn new(now: Monotonic) -> SwitchRate {
        SwitchRate { is_low: true, since: now, switches: 0 }
    }

    /// A thread lost its processor at a time. What happened before switches are counted does not count.
    pub(super) fn add(&mut self, time: Monotonic) {
        self.switches += u64::from(time >= self.since);
    }

    /// Returns whether the rate is low, as of now.
    pub(super) fn is_low(&mut self, now: Monotonic) -> bool {
        let elapsed = now.0.saturating_sub(self.since.0);
        let [most, least] = RATES.map(|rate| rate * elapsed.max(COUNTED) / 1_000_000_000);
        if elapsed >= COUNTED {
            self.is_low = self.switches < if self.is_low { most } else { least };
            (self.since, self.switches) = (now, 0);
        } else {
            // A burst fills the rings before the time is over.
            self.is_low &= self.switches < most;
        }
        self.is_low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::waits::WaitsIn;
    use crate::counts::cell_id::CellId;
    use crate::perf::{Switch, SwitchKind};
    use crate::unwind::Walk;

    fn stack(cell: u32) -> Arc<WaitStack> {
        Arc::new(WaitStack { walk: Walk::of_crossing(CellId(cell)), waits_in: WaitsIn::Page })
    }

    fn ended(since: u64, cell: u32, nanos: u64) -> EndedWait {
        EndedWait { since: at(since), stack: stack(cell), nanos, is_new: false }
    }

    fn at(nanos: u64) -> Monotonic {
        Monotonic(nanos)
    }

    #[test]
    fn a_wait_counts_from_its_begin_to_its_end_as_far_as_every_wait_is_seen() {
        let mut waits = EveryWait::default();
        waits.blocked(1, at(50), stack(1), true);
        assert_eq!(waits.back(1, at(50), at(60)), None, "looks stand for it");
        waits.begin(at(100));
        waits.blocked(1, at(90), stack(1), true);
        assert_eq!(waits.back(1, at(90), at(130)), Some(ended(90, 1, 30)));
        waits.blocked(1, at(200), stack(2), true);
        assert_eq!(waits.so_far(at(250)), [(stack(2), 50)]);
        assert_eq!(waits.back(1, at(199), at(260)), None, "another wait");
        waits.blocked(2, at(300), stack(3), true);
        waits.blocked(3, at(300), stack(3), true);
        assert_eq!(waits.ended(3, at(310)), Some(ended(300, 3, 10)));
        assert_eq!(waits.end(at(400)), [(stack(3), 100)]);
        assert_eq!(waits.back(2, at(300), at(500)), None, "looks stand for the rest");
        waits.begin(at(1000));
        assert_eq!((waits.seen(at(1100)), waits.is_on()), (300 + 100, true));
        waits.blocked(2, at(1000), stack(3), true);
        waits.lose_track();
        assert_eq!(waits.back(2, at(1000), at(1500)), None, "it may have been back meanwhile");
    }

    #[test]
    fn time_in_which_samples_were_dropped_is_not_time_in_which_every_wait_was_seen() {
        let mut waits = EveryWait::default();
        waits.begin(at(100));
        waits.see_until(at(200));
        waits.lose_samples();
        assert_eq!(waits.seen(at(250)), 100);
        waits.see_until(at(300));
        waits.see_until(at(350));
        assert_eq!((waits.seen(at(400)), waits.end(at(420)).len(), waits.seen(at(500))), (200, 0, 220));
    }

    /// Its copy of 8 KiB ended before the crossing, and a look would have found the rest.
    #[test]
    fn a_deep_stack_is_looked_at_while_it_waits() {
        let (mut waits, mut off) = (EveryWait::default(), OffCpu::default());
        waits.begin(at(0));
        for tid in [1, 2] {
            off.add(Switch { tid, time: at(50), kind: SwitchKind::Blocked });
            waits.blocked(tid, at(50), stack(1), false);
        }
        assert!(!waits.needs_no_look(1, at(50)));
        waits.look(1, at(60), stack(7));
        assert!(waits.needs_no_look(1, at(50)), "one look is enough");
        assert_eq!(waits.settle(at(70), &off).len(), 1);
        assert_eq!(waits.back(1, at(50), at(90)), Some(ended(50, 7, 40)));
        assert_eq!(waits.back(2, at(50), at(90)), Some(EndedWait { is_new: true, ..ended(50, 1, 40) }));
        // The look is settled only after the wait is over.
        off.add(Switch { tid: 1, time: at(200), kind: SwitchKind::Blocked });
        waits.blocked(1, at(200), stack(1), false);
        waits.look(1, at(210), stack(7));
        assert_eq!(waits.back(1, at(200), at(230)), Some(EndedWait { is_new: true, ..ended(200, 7, 30) }));
        off.add(Switch { tid: 1, time: at(230), kind: SwitchKind::In });
        assert_eq!(waits.settle(at(300), &off).len(), 0, "it is not counted twice");
    }

    #[test]
    fn a_look_whose_wait_was_over_before_the_next_began_is_not_counted_twice() {
        let (mut waits, mut off) = (EveryWait::default(), OffCpu::default());
        waits.begin(at(0));
        for (time, kind) in [(50, SwitchKind::Blocked), (90, SwitchKind::In), (100, SwitchKind::Blocked)] {
            off.add(Switch { tid: 1, time: at(time), kind });
        }
        waits.blocked(1, at(100), stack(2), true);
        waits.look(1, at(60), stack(1));
        waits.look(1, at(110), stack(2));
        assert_eq!(waits.settle(at(120), &off).len(), 0);
        waits.lose_track();
        waits.look(1, at(130), stack(3));
        assert_eq!(waits.settle(at(140), &off).len(), 1, "what was lost is found again");
        assert_eq!(waits.back(1, at(100), at(200)), Some(ended(100, 3, 100)));
    }

    #[test]
    fn a_look_finds_a_wait_that_has_no_stack_yet() {
        let (mut waits, mut off) = (EveryWait::default(), OffCpu::default());
        let mut switch = |tid, time, kind| {
            off.add(Switch { tid, time: at(time), kind });
        };
        for tid in 1..=4 {
            switch(tid, 10, SwitchKind::In);
            switch(tid, 50, SwitchKind::Blocked);
        }
        switch(2, 200, SwitchKind::In);
        switch(3, 120, SwitchKind::In);
        waits.begin(at(100));
        waits.blocked(4, at(50), stack(4), true);
        (1..=4).for_each(|tid| waits.look(tid, at(150), stack(tid as u32)));
        assert_eq!(waits.settle(at(150), &off).len(), 0, "not all is known yet");
        let found = waits.settle(at(151), &off);
        let found: Vec<_> = found.iter().map(|found| (found.tid, found.nanos)).collect();
        // The third ran again when it was looked at, the fourth had told its stack.
        assert_eq!(found, [(1, None), (2, Some(100))]);
        assert!(waits.needs_no_look(1, at(50)) && !waits.needs_no_look(1, at(300)));
        assert_eq!(waits.back(1, at(50), at(300)), Some(ended(50, 1, 200)));
    }

    #[test]
    fn every_wait_is_seen_while_threads_switch_seldom() {
        let mut rate = SwitchRate::new(at(0));
        let mut check = |millis: u64, switches: u64, expected: bool| {
            (0..switches).for_each(|_| rate.add(at(millis * 1_000_000)));
            assert_eq!(rate.is_low(at(millis * 1_000_000)), expected, "{millis}");
        };
        check(100, 1_249, true);
        check(101, 1, false);
        check(250, 0, false);
        check(500, 1_000, false);
        check(750, 600, true);
        check(1000, 1_000, true);
        check(2000, 5_100, false);
    }
}
