//! Sums of everything that has been found so far.

use std::collections::HashMap;
use std::sync::Arc;

use super::offcpu::OffTime;
use super::slow::Slow;
use super::waits::{WaitStack, Waited};
use crate::clock::Monotonic;
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::{SlowEvent, SlowKind};
use crate::unwind::Walk;

/// Maximum distinct stacks kept; later ones are counted without their frames.
const MOST_STACKS: usize = 200_000;

/// Sums over samples and slow crossings so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// How often each stack was seen.
    pub(crate) walks: HashMap<Arc<Walk>, u64>,
    /// Stacks in C that waited, with their times.
    pub(crate) waits: HashMap<Arc<WaitStack>, WaitTime>,
    /// Nanoseconds for which every wait was seen. Looks stand for those of the rest.
    pub(crate) every_wait: u64,
    /// Processor time of the recorder for these looks, in nanoseconds.
    pub(crate) looks_cost: u64,
    /// Records that were dropped because their ring was full.
    pub(crate) lost: u64,
    /// Samples of threads that lost their processors, dropped for the same reason.
    pub(crate) lost_begins: u64,
    /// A processor came into use after the start, and nothing that ran on it was seen.
    pub(crate) new_processor: bool,
    /// Slow crossings that have ended, by cell.
    pub(crate) slow: HashMap<CellId, Slow>,
    /// How long slow crossings were blocked, by thread.
    pub(crate) blocked: HashMap<u64, f64>,
    /// How long threads waited outside of C for goroutines that were locked to them, by cell, in nanoseconds.
    pub(crate) idle: HashMap<CellId, u64>,
    /// The same by thread.
    pub(crate) thread_idle: HashMap<u64, u64>,
    /// How long the slow crossings of a thread's locked goroutine were blocked since it was locked, by thread.
    pub(crate) locked_blocked: HashMap<u64, u64>,
    /// `runtime.NumCgoCall` and when it was read, if it could be.
    pub(crate) num_cgo_call: Option<(u64, Monotonic)>,
}

/// Time that a stack was seen to wait, or that looks found it to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct WaitTime {
    /// Nanoseconds.
    pub(crate) sum: f64,
    /// Variance of the sum.
    pub(crate) variance: f64,
    /// Number of waits that were seen on it, or of looks that found it.
    pub(crate) found: u64,
    /// Number of the stack, in the order in which they were first found.
    pub(crate) number: u32,
}

impl Samples {
    /// Adds what a look found. Returns the number of the stack, if it is kept.
    pub(super) fn add_wait(&mut self, waited: Waited) -> Option<u32> {
        let time = self.wait_time(waited.stack)?;
        time.sum += waited.nanos;
        time.variance += waited.variance;
        time.found += 1;
        Some(time.number)
    }

    /// Adds a wait on this stack, of which every nanosecond is seen. Returns the number of the stack, if it is kept.
    pub(super) fn begin_wait(&mut self, stack: &Arc<WaitStack>) -> Option<u32> {
        let time = self.wait_time(Arc::clone(stack))?;
        time.found += 1;
        Some(time.number)
    }

    /// Adds nanoseconds of such a wait.
    pub(super) fn add_waited(&mut self, (stack, nanos): (Arc<WaitStack>, u64)) {
        if let Some(time) = self.wait_time(stack) {
            time.sum += nanos as f64;
            time.found = time.found.max(1);
        }
    }

    /// Returns the time of a stack, if it is kept.
    fn wait_time(&mut self, stack: Arc<WaitStack>) -> Option<&mut WaitTime> {
        if self.waits.len() >= MOST_STACKS && !self.waits.contains_key(&stack) {
            return None;
        }
        let number = self.waits.len() as u32;
        Some(self.waits.entry(stack).or_insert(WaitTime { number, ..WaitTime::default() }))
    }

    /// Adds a slow crossing that has ended. `own` is how long it was blocked outside of the crossings within it.
    pub(super) fn add_slow(&mut self, event: &SlowEvent, off: OffTime, own: u64) {
        let gap = event.weight as f64;
        let sum = self.slow.entry(event.cell).or_default();
        sum.blocked += off.blocked as f64 * gap;
        sum.preempted += off.preempted as f64 * gap;
        *self.blocked.entry(event.tid).or_default() += own as f64 * gap;
        if event.kind == SlowKind::CLocked {
            *self.locked_blocked.entry(event.tid).or_default() += own;
        }
    }

    /// Counts a sample.
    pub(super) fn count(&mut self, mut walk: Walk) {
        if self.walks.len() >= MOST_STACKS && !self.walks.contains_key(&walk) {
            walk.frames.truncate(0);
            walk.truncated = true;
        }
        match self.walks.get_mut(&walk) {
            Some(count) => *count += 1,
            None => {
                self.walks.insert(Arc::new(walk), 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_symbols::Avma;

    use super::*;
    use crate::unwind::Place;

    fn cut() -> Walk {
        Walk { place: Place::Go, frames: Vec::new(), truncated: false, gap: false, tid: None }
    }

    #[test]
    fn more_stacks_than_are_kept_are_counted_without_frames() {
        let mut samples = Samples::default();
        let walk = |at: u64| Walk { frames: vec![Avma(at)], ..cut() };
        let all = MOST_STACKS as u64 + 500;
        for at in 0..all {
            samples.count(walk(at));
        }
        samples.count(walk(7));
        assert_eq!(samples.walks.values().sum::<u64>(), all + 1);
        assert_eq!(samples.walks[&walk(7)], 2);
        assert_eq!(samples.walks[&Walk { truncated: true, ..cut() }], 500);
    }
}
