//! The thread that reads the target's perf records and adds up its samples.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::perf::{Record, Session};
use crate::unwind::{Unwinder, Walk};

/// Longest time between two looks at the rings.
const PAUSE: Duration = Duration::from_millis(100);
/// Different stacks that are kept; what comes later is counted without its frames.
const MOST_STACKS: usize = 200_000;

/// What has been sampled so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// How often each stack was seen.
    pub(crate) walks: HashMap<Walk, u64>,
    /// Records that found no room in their ring.
    pub(crate) lost: u64,
}

/// The running thread; dropped, it stops.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    samples: Arc<Mutex<Samples>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Starts to read.
    pub(crate) fn start(mut session: Session, mut unwinder: Unwinder) -> Sampler {
        let stop = Arc::new(AtomicBool::new(false));
        let samples = Arc::new(Mutex::new(Samples::default()));
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&samples));
        let thread = std::thread::spawn(move || {
            loop {
                // Whatever was written before the order to stop is read.
                let last = stopped.load(Ordering::Acquire);
                let mut samples = shared.lock().unwrap_or_else(PoisonError::into_inner);
                session.read(|record| samples.add(&record, &mut unwinder));
                drop(samples);
                if last {
                    return;
                }
                session.wait(PAUSE);
            }
        });
        Sampler { stop, samples, thread: Some(thread) }
    }

    /// What has been sampled so far.
    pub(crate) fn samples(&self) -> Samples {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads what is left and stops.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
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

impl Samples {
    fn add(&mut self, record: &Record<'_>, unwinder: &mut Unwinder) {
        match record {
            Record::Sample(sample) => self.count(unwinder.walk(sample)),
            Record::Mapped(mapping) => unwinder.add_mapping(mapping),
            Record::Lost(count) => self.lost += count,
        }
    }

    fn count(&mut self, mut walk: Walk) {
        if self.walks.len() >= MOST_STACKS && !self.walks.contains_key(&walk) {
            walk.frames.truncate(0);
            walk.truncated = true;
        }
        *self.walks.entry(walk).or_default() += 1;
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
