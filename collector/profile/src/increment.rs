//! Increments of a growing recording, in the values of pprof's samples.

use std::collections::HashMap;

use crate::code::LocationId;
use crate::counted_samples::CountedSamples;
use crate::encode::{CPU, SAMPLE_TYPES, sampling_errors, values};
use crate::metrics::Stats;
use crate::model::{Cell, Profile};

/// The values of a sample, in the order of [`SAMPLE_TYPES`].
pub type Values = [i64; SAMPLE_TYPES.len()];

/// A stack with what its crossings or its samples of processor time add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValuedStack {
    /// The process, by its index in [`Profile::processes`]; 0 in a recording of one process.
    pub process: usize,
    /// Innermost first.
    pub stack: Vec<LocationId>,
    /// Whether the user had locked the goroutine to its thread.
    pub locked: bool,
    /// At least one is not 0, and none is negative.
    pub values: Values,
}

/// A part of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Increment {
    /// Begin, in nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// Duration in nanoseconds.
    pub duration_ns: u64,
    /// What was added in this time.
    pub stacks: Vec<ValuedStack>,
}

impl Increment {
    /// Returns the whole of a recording.
    pub fn whole(profile: &Profile) -> Increment {
        Increments::default().next(profile, true)
    }
}

/// Divides a growing recording into increments, whose sum is the recording.
///
/// Estimates of times fall now and then, and increments can't take time back: servers drop negative values. So the last
/// increment has three times the error of each time from timing only some crossings, and the drift of the clock's share. Times
/// come one increment later: a crossing that has not ended counts with its time so far, which is left out if it ends untimed
/// or turns out to have been preempted. If an estimate falls further, its increments are larger than the recording by that.
#[derive(Debug, Default)]
pub struct Increments {
    /// By [`crate::Cell::id`].
    cells: HashMap<u64, Counted>,
    samples: CountedSamples,
    until_ns: u64,
}

/// The values of a cell that were counted.
#[derive(Debug, Default)]
struct Counted {
    values: Values,
    /// Its values at the last call.
    before: Values,
}

impl Increments {
    /// Returns what was added to a recording since the last call. Nothing comes after the last increment.
    pub fn next(&mut self, profile: &Profile, is_last: bool) -> Increment {
        let begin_ns = std::mem::replace(&mut self.until_ns, profile.recording.duration_ns);
        let mut increment = Increment {
            start_unix_ns: profile.recording.start_unix_ns + begin_ns,
            duration_ns: self.until_ns.saturating_sub(begin_ns),
            stacks: Vec::new(),
        };
        for cell in &profile.cells {
            if let Some(values) = self.added(cell, profile.recording.clock_read_ns, is_last) {
                let (process, stack, locked) = (cell.process, cell.stack.clone(), cell.locked);
                increment.stacks.push(ValuedStack { process, stack, locked, values });
            }
        }
        let added = self.samples.added(&profile.samples);
        for (sampled, samples) in profile.samples.iter().zip(added).filter(|&(_, samples)| samples > 0) {
            let mut values = Values::default();
            values[CPU] = samples.saturating_mul(profile.recording.sample_period_ns) as i64;
            let (process, stack) = (sampled.process, sampled.stack.clone());
            increment.stacks.push(ValuedStack { process, stack, locked: false, values });
        }
        increment
    }

    /// Returns by how much the values of a cell are beyond what was counted; none if none is.
    fn added(&mut self, cell: &Cell, clock_read_ns: f64, is_last: bool) -> Option<Values> {
        let counted = self.cells.entry(cell.id).or_default();
        let now = values(&cell.stats);
        let before = std::mem::replace(&mut counted.before, now);
        let certain = if is_last { now } else { certain(&cell.stats, clock_read_ns, now, before) };
        let added: Values = std::array::from_fn(|at| (certain[at] - counted.values[at]).max(0));
        counted.values.iter_mut().zip(added).for_each(|(counted, added)| *counted += added);
        (added != Values::default()).then_some(added)
    }
}

/// Standard errors below its estimate down to which a time is certain: estimates vary by less while a recording grows. What
/// is wrong in the same way throughout a recording does not vary.
const CERTAIN: f64 = 3.0;

/// Part of the clock's share of a time by which that varies within a recording, with the processor's speed and its other
/// work. The share that is subtracted is always the same.
const DRIFT: f64 = 0.1;

/// Readings of the clock that each value of a crossing has a share of, in the order of [`SAMPLE_TYPES`].
const READINGS: [f64; SAMPLE_TYPES.len()] = [0.0, 3.0, 1.0, 2.0, 1.0, 0.0, 0.0];

/// Returns the certain part of the values of a cell's sample: of times, no more than was there before.
fn certain(stats: &Stats, clock_read_ns: f64, values: Values, before: Values) -> Values {
    let errors = sampling_errors(stats);
    let drift = DRIFT * clock_read_ns * stats.calls as f64;
    let mut certain: Values = std::array::from_fn(|at| {
        let uncertain = CERTAIN * errors[at] + drift * READINGS[at];
        values[at].saturating_sub(uncertain.ceil() as i64).max(0)
    });
    (1..SAMPLE_TYPES.len()).for_each(|at| certain[at] = certain[at].min(before[at]));
    certain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SampledStack;
    use crate::{Estimate, Recording};

    fn profile(duration_ns: u64, calls: u64, c_ns: f64, samples: u64) -> Profile {
        let stack = vec![LocationId(0)];
        let c = Estimate { sum: c_ns, ..Estimate::default() };
        let stats = Stats { calls, c, ..Stats::default() };
        Profile {
            recording: Recording { start_unix_ns: 1000, duration_ns, sample_period_ns: 5, ..Recording::default() },
            cells: vec![Cell { id: 7, stack: stack.clone(), stats, ..Cell::default() }],
            samples: vec![SampledStack { cell: Some(7), stack, samples, ..SampledStack::default() }],
            ..Profile::default()
        }
    }

    /// Returns crossings, time in C and processor time.
    fn sums(increment: &Increment) -> [i64; 3] {
        [0, 2, CPU].map(|at| increment.stacks.iter().map(|stack| stack.values[at]).sum())
    }

    #[test]
    fn increments_add_up_to_the_recording() {
        let mut increments = Increments::default();
        let first = increments.next(&profile(50, 3, 10.4, 0), false);
        assert_eq!((first.start_unix_ns, first.duration_ns, sums(&first)), (1000, 50, [3, 0, 0]), "times come later");
        let second = increments.next(&profile(70, 5, 21.4, 2), false);
        assert_eq!((second.start_unix_ns, second.duration_ns, sums(&second)), (1050, 20, [2, 10, 10]));
        let third = increments.next(&profile(90, 5, 21.4, 2), true);
        assert_eq!((third.start_unix_ns, third.duration_ns, sums(&third)), (1070, 20, [0, 11, 0]));
    }

    /// Place of `blocked` in [`SAMPLE_TYPES`].
    const BLOCKED: usize = 6;

    /// A server once had 4 % more blocked time than the file.
    #[test]
    fn time_that_turns_out_not_to_be_blocked_is_not_handed_on() {
        let mut increments = Increments::default();
        let mut at = |duration_ns, blocked, is_last| {
            let mut profile = profile(duration_ns, 1, 0.0, 0);
            profile.cells[0].stats.blocked = blocked;
            increments.next(&profile, is_last).stacks.iter().map(|stack| stack.values[BLOCKED]).sum::<i64>()
        };
        assert_eq!([at(1, 50.0, false), at(2, 0.0, false), at(3, 20.0, false), at(4, 30.0, false)], [0, 0, 0, 20]);
        assert_eq!(at(5, 35.0, true), 15);
        assert_eq!(SAMPLE_TYPES[BLOCKED].0, "blocked");
    }

    #[test]
    fn an_estimate_that_falls_gives_no_negative_value_and_is_made_up_for_later() {
        let mut increments = Increments::default();
        let seen = [(10, 100.0), (11, 90.0), (12, 95.0), (13, 120.0)];
        let seen = seen.map(|(calls, c_ns)| sums(&increments.next(&profile(calls, calls, c_ns, 0), false)));
        assert_eq!(seen, [[10, 0, 0], [1, 90, 0], [1, 0, 0], [1, 5, 0]]);
    }

    /// A preempted crossing had half a millisecond so far, and was not timed in the end: a server had 4 % more time in C.
    #[test]
    fn the_time_so_far_of_a_crossing_that_ends_untimed_is_not_handed_on() {
        let mut increments = Increments::default();
        let mut at = |duration_ns, c_ns, is_last| sums(&increments.next(&profile(duration_ns, 1, c_ns, 0), is_last))[1];
        assert_eq!(
            [at(1, 100.0, false), at(2, 645.0, false), at(3, 110.0, false), at(4, 120.0, true)],
            [0, 100, 10, 10]
        );
    }

    /// Its time in C was once 3 % larger on a server than in the file, though no error from timing few crossings was that large.
    #[test]
    fn the_time_of_an_empty_function_that_a_faster_processor_lessens_adds_up_to_the_recording() {
        let mut increments = Increments::default();
        let mut at = |duration_ns, c_ns, is_last| {
            let mut profile = profile(duration_ns, 1000, c_ns, 0);
            profile.recording.clock_read_ns = 10.0;
            sums(&increments.next(&profile, is_last))[1]
        };
        assert_eq!([at(1, 5000.0, false), at(2, 4500.0, false), at(3, 4200.0, true)], [0, 3500, 700]);
    }

    /// Times of functions that take next to no time were up to a fifth larger on a server than in the file.
    #[test]
    fn an_estimate_that_falls_within_its_error_adds_up_to_the_recording() {
        let mut increments = Increments::default();
        let mut at = |duration_ns, c_ns, is_last| {
            let mut profile = profile(duration_ns, duration_ns, c_ns, 0);
            profile.cells[0].stats.c.variance = 400.0;
            sums(&increments.next(&profile, is_last))[1]
        };
        assert_eq!([at(1, 100.0, false), at(2, 110.0, false), at(3, 95.0, false), at(4, 105.0, true)], [0, 50, 0, 55]);
    }
}
