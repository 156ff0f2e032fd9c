//! The thread that reads the target's perf records: it adds up its samples, and looks up how long slow crossings were
//! off the processor.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use cgoprof_hook::layout::Event;
use nix::sys::eventfd::EventFd;

use crate::clock::{Moment, Rate};
use crate::offcpu::{Monotonic, OffCpu, OffTime, Switch};
use crate::perf::{Record, Session};
use crate::process::maps::Mapping;
use crate::unwind::{Unwinder, Walk};

/// Longest time between two looks at the rings.
const PAUSE: Duration = Duration::from_millis(100);
/// Different stacks that are kept; what comes later is counted without its frames.
const MOST_STACKS: usize = 200_000;

/// How long what a thread did before it ended is kept, for events that come late.
const KEPT: u64 = 2_000_000_000;

/// What has been sampled so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// How often each stack was seen.
    pub(crate) walks: HashMap<Arc<Walk>, u64>,
    /// Records that found no room in their ring.
    pub(crate) lost: u64,
    /// By the address of their cell, the slow crossings that have ended.
    pub(crate) slow: HashMap<u64, Slow>,
}

/// All that the thread has found.
#[derive(Default)]
struct Found {
    samples: Samples,
    /// When threads were off their processor.
    off: OffCpu,
    /// Executable mappings that have come.
    mappings: Vec<Mapping>,
}

/// Slow crossings of one cell: sums in nanoseconds, each weighted with the crossings it stands for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slow {
    pub(crate) blocked: f64,
    pub(crate) preempted: f64,
}

/// Slow crossings as they come from the tables.
pub(crate) type Events = Arc<Mutex<Vec<Event>>>;

/// What has come but is not yet told apart: a switch may lie in a ring that was read before another.
#[derive(Default)]
struct Pending {
    switches: Vec<Switch>,
    exits: Vec<(u64, Monotonic)>,
    events: Vec<Event>,
}

/// The running thread; dropped, it stops.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    found: Arc<Mutex<Found>>,
    waker: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Starts to read; `events` is where slow crossings are put.
    pub(crate) fn start(mut session: Session, mut unwinder: Unwinder, events: Events) -> Sampler {
        let stop = Arc::new(AtomicBool::new(false));
        let found = Arc::new(Mutex::new(Found::default()));
        let waker = session.waker();
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&found));
        let thread = std::thread::spawn(move || {
            let (start, mut pending) = (Moment::now(), Pending::default());
            loop {
                // Whatever was written before the order to stop is read.
                let last = stopped.load(Ordering::Acquire);
                let now = Moment::now();
                let mut found = shared.lock().unwrap_or_else(PoisonError::into_inner);
                session.read(|record| found.add(record, &mut unwinder, &mut pending));
                pending.events.append(&mut events.lock().unwrap_or_else(PoisonError::into_inner));
                found.settle(&mut pending, now.monotonic, Rate::between(start, now));
                drop(found);
                if last {
                    return;
                }
                session.wait(PAUSE);
            }
        });
        Sampler { stop, found, waker, thread: Some(thread) }
    }

    /// What has been sampled so far.
    pub(crate) fn samples(&self) -> Samples {
        self.found().samples.clone()
    }

    /// How long a thread was off its processor between two times, and when it ended if it has.
    pub(crate) fn off(&self, tid: u64, from: Monotonic, to: Monotonic) -> (OffTime, Option<Monotonic>) {
        let found = self.found();
        let ended = found.off.ended(tid);
        (found.off.between(tid, from, ended.map_or(to, |ended| to.min(ended))).unwrap_or_default(), ended)
    }

    /// Executable mappings that have come since the last call.
    pub(crate) fn take_mappings(&self) -> Vec<Mapping> {
        std::mem::take(&mut self.found().mappings)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is left and stops.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.waker.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Found {
    fn add(&mut self, record: Record<'_>, unwinder: &mut Unwinder, pending: &mut Pending) {
        match record {
            Record::Sample(sample) => self.samples.count(unwinder.walk(&sample)),
            Record::Switch(switch) => pending.switches.push(switch),
            Record::Exit { tid, time } => pending.exits.push((tid, time)),
            Record::Mapped(mapping) => {
                unwinder.add_mapping(&mapping);
                self.mappings.push(mapping);
            }
            Record::Lost(count) => self.samples.lost += count,
        }
    }

    /// Takes over what happened before a moment: by then all rings had been written.
    fn settle(&mut self, pending: &mut Pending, before: Monotonic, rate: Rate) {
        pending.switches.sort_by_key(|switch| switch.time);
        let settled = pending.switches.partition_point(|switch| switch.time < before);
        pending.switches.drain(..settled).for_each(|switch| self.off.add(switch));
        for (tid, time) in pending.exits.extract_if(.., |(_, time)| *time < before) {
            self.off.end(tid, time);
        }
        pending.events.retain(|event| {
            let (called, returned) = (rate.monotonic(event.called), rate.monotonic(event.returned));
            if returned >= before {
                return true;
            }
            let off = self.off.between(event.tid, called, returned).unwrap_or_default();
            let sum = self.samples.slow.entry(event.cell).or_default();
            sum.blocked += off.blocked as f64 * event.gap as f64;
            sum.preempted += off.preempted as f64 * event.gap as f64;
            false
        });
        self.off.forget_ended_before(Monotonic(before.0.saturating_sub(KEPT)));
    }
}

impl Samples {
    fn count(&mut self, mut walk: Walk) {
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

    #[test]
    fn more_stacks_than_are_kept_are_counted_without_frames() {
        let mut samples = Samples::default();
        let walk = |at: u64| Walk { place: Place::Go, frames: vec![Avma(at)], truncated: false };
        let all = MOST_STACKS as u64 + 500;
        for at in 0..all {
            samples.count(walk(at));
        }
        samples.count(walk(7));
        assert_eq!(samples.walks.values().sum::<u64>(), all + 1);
        assert_eq!(samples.walks[&walk(7)], 2);
        assert_eq!(samples.walks[&Walk { place: Place::Go, frames: Vec::new(), truncated: true }], 500);
    }
}
