//! Looks at threads that wait in C: which wait each is to stand for, and how many there may be. Pure.
//!
//! Looks are taken at moments that do not depend on the program, so that the time between two moments stands for each
//! wait that is found at the second. A wait that goes on is looked at once, because its stack does not move. When more
//! threads begin to wait than may be looked at, some are chosen by chance and stand for the others.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Monotonic;
use crate::process::kernel_symbols::KernelEntry;
use crate::unwind::Walk;

/// How the stacks of waits in C are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitsMode {
    /// That of every wait while this is permitted and threads switch seldom; otherwise by looks.
    #[default]
    Auto,
    /// That of every wait, if this is permitted.
    Every,
    /// By looks.
    Looks,
}

/// A stack that waits, and in what.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct WaitStack {
    pub(crate) walk: Walk,
    pub(crate) waits_in: WaitsIn,
}

/// What a thread waits in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum WaitsIn {
    /// The system call of this number.
    Call(u64),
    /// None: it needs a page, or was stopped by a signal.
    Page,
    /// What the kernel's outermost calls tell.
    Kernel(KernelEntry),
}

/// What was found at one moment of a thread that waits.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Waited {
    pub(crate) tid: u64,
    /// When a look found it; none if the look was taken at an earlier moment, and the wait goes on.
    pub(crate) looked_at: Option<Monotonic>,
    pub(crate) stack: Arc<WaitStack>,
    /// Nanoseconds that it stands for.
    pub(crate) nanos: f64,
    /// What it adds to the variance of their sum: nothing if the same wait was found before.
    pub(crate) variance: f64,
}

/// A thread in C, and since when it waits. None if the records so far don't say that it does: it may have begun to since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waiting {
    pub(crate) tid: u64,
    pub(crate) since: Option<Monotonic>,
}

/// Nanoseconds between two moments, on average.
const BETWEEN: u64 = 20_000_000;
/// Share of a processor that looks may take.
const SHARE: f64 = 0.003;
/// Nanoseconds of processor time that may be saved up.
const MOST_SAVED: f64 = 4_000_000.0;
/// Nanoseconds that a moment takes, and a look, before the first.
const FIRST_MOMENT_COST: f64 = 5_000.0;
const FIRST_COST: f64 = 30_000.0;
/// A moment that takes more than so many times the usual is counted as taking that.
const MOST_TIMES: f64 = 3.0;
/// By how much the usual time changes with each moment, as a share.
const STEP: f64 = 0.02;
/// Maximum nanoseconds that a moment stands for. More would make the sums vary: a moment that comes late, because there was
/// no processor time for it, tells no more than the others.
const LONGEST: u64 = 3 * BETWEEN;
/// The same of the first moment at which threads are in C again.
const LONGEST_IDLE: u64 = 10 * BETWEEN;

/// Plan of the looks.
pub(crate) struct WaitLooks {
    last: Option<Monotonic>,
    due: Monotonic,
    /// Waits that go on, by thread.
    known: HashMap<u64, (Monotonic, Arc<WaitStack>)>,
    /// Nanoseconds of processor time that are left.
    saved: f64,
    /// Until when time was saved up.
    earned_until: Monotonic,
    /// Nanoseconds that a look takes usually.
    cost: f64,
    /// Nanoseconds that a moment without a look takes usually.
    moment_cost: f64,
    random: u64,
    /// Whether a thread was in C at the last moment.
    found_some: bool,
}

impl Default for WaitLooks {
    fn default() -> Self {
        WaitLooks {
            last: None,
            due: Monotonic(0),
            known: HashMap::new(),
            saved: MOST_SAVED,
            earned_until: Monotonic(0),
            cost: FIRST_COST,
            moment_cost: FIRST_MOMENT_COST,
            random: 0x9e37_79b9_7f4a_7c15,
            found_some: false,
        }
    }
}

impl WaitLooks {
    /// Looks stand for waits from now on.
    pub(crate) fn begin(&mut self, now: Monotonic) {
        (self.last, self.due) = (Some(now), now);
        self.known.clear();
    }

    /// Whether it is time for the next moment.
    pub(crate) fn is_due(&self, now: Monotonic) -> bool {
        now >= self.due
    }

    /// When the next moment is due, if threads were in C at the last.
    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.found_some.then_some(self.due)
    }

    /// Looks at the threads that are in C now. `look` returns the stack of a thread that waits, and when it looked. Those that waited a moment
    /// ago may not wait any more, and others may by now: on average these are as many.
    pub(crate) fn look(
        &mut self,
        now: Monotonic,
        threads: &[Waiting],
        mut look: impl FnMut(u64) -> Option<(WaitStack, Monotonic)>,
    ) -> Vec<Waited> {
        self.due = Monotonic(now.0 + BETWEEN / 2 + self.below(BETWEEN));
        let is_idle = !std::mem::replace(&mut self.found_some, !threads.is_empty());
        let is_known = |one: &Waiting| self.known.get(&one.tid).is_some_and(|&(since, _)| Some(since) == one.since);
        let mut new: Vec<Waiting> = threads.iter().filter(|one| !is_known(one)).copied().collect();
        let (began, may_look) = (new.len(), ((self.saved - self.moment_cost) / self.cost).max(0.0) as usize);
        // Without threads in C, moments are further apart.
        let longest = if is_idle { LONGEST_IDLE } else { LONGEST };
        let elapsed = self.last.map_or(BETWEEN, |last| now.0.saturating_sub(last.0)).min(longest);
        if began > 0 && may_look == 0 {
            // The next moment then stands for this time too.
            return Vec::new();
        }
        self.last = Some(now);
        let length = elapsed as f64;
        let mut before = std::mem::take(&mut self.known);
        let mut found = Vec::new();
        for one in threads {
            let known = before.remove(&one.tid).filter(|&(since, _)| Some(since) == one.since);
            if let Some((since, stack)) = known {
                let waited =
                    Waited { tid: one.tid, looked_at: None, stack: Arc::clone(&stack), nanos: length, variance: 0.0 };
                found.push(waited);
                self.known.insert(one.tid, (since, stack));
            }
        }
        while new.len() > may_look {
            let index = self.below(new.len() as u64) as usize;
            new.swap_remove(index);
        }
        // Each stands for those that were not chosen too.
        let nanos = length * began as f64 / new.len().max(1) as f64;
        for one in &new {
            let Some((stack, at)) = look(one.tid) else { continue };
            let stack = Arc::new(stack);
            if let Some(since) = one.since {
                self.known.insert(one.tid, (since, Arc::clone(&stack)));
            }
            found.push(Waited { tid: one.tid, looked_at: Some(at), stack, nanos, variance: nanos * nanos });
        }
        found
    }

    /// Notes the processor time that a moment took at which so many threads were looked at.
    pub(crate) fn spend(&mut self, nanos: f64, looks: usize, now: Monotonic) {
        // Both follow the median: a moment that was interrupted contains the kernel's work for others.
        let follow = |usual: &mut f64, now: f64| *usual *= if now > *usual { 1.0 + STEP } else { 1.0 - STEP };
        match looks {
            0 => follow(&mut self.moment_cost, nanos),
            looks => follow(&mut self.cost, (nanos - self.moment_cost) / looks as f64),
        }
        let usual = self.moment_cost + self.cost * looks as f64;
        let earned = now.0.saturating_sub(self.earned_until.0) as f64 * SHARE;
        self.earned_until = now;
        self.saved = (self.saved + earned - nanos.min(MOST_TIMES * usual)).min(MOST_SAVED);
        // Moments are rarer where one of them, with a look, takes more than was saved up.
        let missing = (self.moment_cost + self.cost - self.saved).max(0.0);
        self.due = self.due.max(Monotonic(now.0 + (missing / SHARE) as u64));
    }

    /// A number below this, by chance (Marsaglia's xorshift).
    fn below(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % most.max(1)
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_symbols::Avma;

    use super::*;
    use crate::counts::cell_id::CellId;
    use crate::unwind::Place;

    fn stack(frame: u64) -> WaitStack {
        let frames = vec![Avma(frame)];
        let walk = Walk { place: Place::Crossing(CellId(1)), frames, truncated: false, gap: false, tid: None };
        WaitStack { walk, waits_in: WaitsIn::Call(202) }
    }

    /// Threads that wait in turn for these lengths on the stacks of these numbers, with a pause after each.
    struct Program {
        threads: u64,
        waits: Vec<(u64, u64)>,
        pause: u64,
    }

    impl Program {
        fn turn(&self) -> u64 {
            self.waits.iter().map(|&(length, _)| length + self.pause).sum()
        }

        /// Since when a thread waits at a time, and on which stack.
        fn wait(&self, tid: u64, at: u64) -> Option<(Monotonic, u64)> {
            let shifted = at + tid * 7_919_003;
            let mut begin = shifted / self.turn() * self.turn();
            for &(length, frame) in &self.waits {
                if (begin..begin + length).contains(&shifted) {
                    return Some((Monotonic(begin), frame));
                }
                begin += length + self.pause;
            }
            None
        }

        /// Nanoseconds that looks over a time find by stack, with their standard errors, and the number of looks.
        fn looked_at(&self, length: u64, cost: f64) -> (HashMap<u64, (f64, f64)>, usize) {
            let (mut looks, mut sums, mut number) = (WaitLooks::default(), HashMap::new(), 0);
            let mut now = Monotonic(0);
            while now.0 < length {
                let since = |tid| self.wait(tid, now.0).map(|(since, _)| since);
                let threads: Vec<_> = (1..=self.threads).map(|tid| Waiting { tid, since: since(tid) }).collect();
                let mut looked = 0;
                let found = looks.look(now, &threads, |tid| {
                    looked += 1;
                    // Some time after the threads were listed.
                    let at = Monotonic(now.0 + looked as u64 * 100_000);
                    self.wait(tid, at.0).map(|(_, frame)| (stack(frame), at))
                });
                for waited in found {
                    let sum = sums.entry(waited.stack.walk.frames[0].0).or_insert((0.0, 0.0));
                    *sum = (sum.0 + waited.nanos, sum.1 + waited.variance);
                }
                looks.spend(cost * looked as f64, looked, now);
                number += looked;
                now = looks.due;
            }
            (sums.into_iter().map(|(frame, (sum, variance))| (frame, (sum, variance.sqrt()))).collect(), number)
        }
    }

    #[test]
    fn looks_find_the_time_of_each_stack_within_their_errors() {
        const SECOND: u64 = 1_000_000_000;
        for (what, threads, waits, cost) in [
            ("short waits", 3, vec![(2_000_000, 1), (500_000, 2), (50_000, 3)], 30_000.0),
            ("long waits", 2, vec![(3 * SECOND, 1), (SECOND, 2), (20_000_000, 3)], 30_000.0),
            ("more than may be looked at", 300, vec![(4_000_000, 1), (1_000_000, 2), (1_500_000, 3)], 50_000.0),
        ] {
            let program = Program { threads, waits, pause: 1_000_000 };
            // Whole turns, of which the share of each wait is known.
            let length = (100 * SECOND).next_multiple_of(program.turn());
            let (found, looks) = program.looked_at(length, cost);
            for &(wait, frame) in &program.waits {
                let truth = threads as f64 * length as f64 * wait as f64 / program.turn() as f64;
                let (sum, error) = found[&frame];
                // An interval that is longer than the time between two moments is known to a part of that.
                let error = error.max(BETWEEN as f64);
                assert!((sum - truth).abs() < 4.0 * error, "{what}, {frame}: {sum} of {truth}, error {error}");
                assert!(error < truth * 0.25, "{what}, {frame}: error {error} of {truth}");
            }
            let spent = looks as f64 * cost / length as f64;
            assert!(spent < 1.1 * SHARE + MOST_SAVED / length as f64, "{what}: {spent} of a processor");
        }
    }

    #[test]
    fn a_wait_that_goes_on_is_looked_at_once() {
        let mut looks = WaitLooks::default();
        let waiting = [Waiting { tid: 1, since: Some(Monotonic(5)) }];
        let mut seen = 0;
        let mut nanos = 0.0;
        for moment in 1..=10u64 {
            let found = looks.look(Monotonic(moment * BETWEEN), &waiting, |_| {
                seen += 1;
                Some((stack(1), Monotonic(moment * BETWEEN + 7)))
            });
            let looked_at = (moment == 1).then_some(Monotonic(BETWEEN + 7));
            assert!(found.iter().all(|waited| waited.looked_at == looked_at), "{found:?}");
            nanos += found.iter().map(|waited| waited.nanos).sum::<f64>();
        }
        assert_eq!((seen, nanos), (1, 10.0 * BETWEEN as f64));
        // The next wait of the thread is another.
        looks.look(Monotonic(11 * BETWEEN), &[Waiting { tid: 1, since: Some(Monotonic(6)) }], |_| {
            seen += 1;
            None
        });
        assert_eq!(seen, 2);
    }
}
