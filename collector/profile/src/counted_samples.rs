//! How many samples of a growing recording have been handed on, by stack.

use std::collections::HashMap;

use crate::code::LocationId;
use crate::model::SampledStack;

/// Samples that were handed on. Their sum is never more than the recording's, though stacks may change: code that is
/// unknown becomes known with its mapping, and its samples are then those of another stack.
#[derive(Debug, Default)]
pub(crate) struct CountedSamples {
    /// By process, cell and stack.
    by_stack: HashMap<(usize, Option<u64>, Vec<LocationId>), u64>,
    total: u64,
}

impl CountedSamples {
    /// Returns how many samples each stack has more than were handed on, in the order of the stacks. What was handed on
    /// for a stack that is another one by now is left out elsewhere.
    pub(crate) fn added(&mut self, stacks: &[SampledStack]) -> Vec<u64> {
        let all: u64 = stacks.iter().map(|stack| stack.samples).sum();
        let mut left = all.saturating_sub(self.total);
        let added = stacks.iter().map(|stack| {
            let key = (stack.process, stack.cell, stack.stack.clone());
            let counted = self.by_stack.entry(key).or_default();
            let added = stack.samples.saturating_sub(*counted).min(left);
            *counted += added;
            left -= added;
            added
        });
        let added: Vec<u64> = added.collect();
        self.total += added.iter().sum::<u64>();
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(location: usize, samples: u64) -> SampledStack {
        SampledStack { stack: vec![LocationId(location)], samples, ..SampledStack::default() }
    }

    #[test]
    fn each_sample_is_handed_on_once() {
        let mut counted = CountedSamples::default();
        assert_eq!(counted.added(&[stack(0, 2), stack(1, 3)]), [2, 3]);
        assert_eq!(counted.added(&[stack(0, 2), stack(1, 4), stack(2, 1)]), [0, 1, 1]);
        assert_eq!(counted.added(&[stack(0, 2), stack(1, 4), stack(2, 1)]), [0, 0, 0]);
    }

    /// Samples in the vDSO were pushed twice: as unknown code, and with its name when its mapping was known.
    #[test]
    fn samples_of_code_that_becomes_known_are_not_handed_on_again() {
        let mut counted = CountedSamples::default();
        assert_eq!(counted.added(&[stack(0, 5), stack(1, 1)]), [5, 1]);
        assert_eq!(counted.added(&[stack(2, 5), stack(1, 1)]), [0, 0]);
        let later = counted.added(&[stack(2, 6), stack(1, 3)]);
        assert_eq!(later.iter().sum::<u64>(), 3);
    }
}
