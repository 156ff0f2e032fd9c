//! Distributions of times.

use prost::Message;

/// Distribution of a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Smallest and largest time, if there is any.
    pub extremes: Option<(f64, f64)>,
    /// Middle of each bucket in nanoseconds, and the number of crossings in it; ascending.
    pub buckets: Vec<(f64, u64)>,
}

/// Maximum difference between the middles of one bucket at two times, as a share. Middles follow the clock's rate as
/// known by then, and the hooks' share that is subtracted. Buckets are 6 % apart at least.
const SAME: f64 = 0.02;

impl Distribution {
    /// Returns the crossings that were added to each bucket since `before`; empty if the buckets can't be matched.
    pub fn since(&self, before: &Distribution) -> Distribution {
        let mut buckets = self.buckets.clone();
        let mut at = 0;
        for &(middle, count) in &before.buckets {
            while buckets.get(at).is_some_and(|bucket| bucket.0 < middle * (1.0 - SAME)) {
                at += 1;
            }
            match buckets.get_mut(at).filter(|bucket| bucket.0 <= middle * (1.0 + SAME)) {
                Some(bucket) => bucket.1 = bucket.1.saturating_sub(count),
                None => return Distribution::default(),
            }
        }
        buckets.retain(|&(_, count)| count > 0);
        let extremes = buckets.first().zip(buckets.last()).map(|(first, last)| (first.0, last.0));
        Distribution { extremes, buckets }
    }

    /// Adds another distribution. Buckets of the same times become one, with the middle that this one has.
    pub fn merge(&mut self, other: &Distribution) {
        self.extremes = match (self.extremes, other.extremes) {
            (Some((low, high)), Some((a, b))) => Some((low.min(a), high.max(b))),
            (one, None) => one,
            (None, other) => other,
        };
        let mut merged = Vec::with_capacity(self.buckets.len().max(other.buckets.len()));
        let (mut ours, mut theirs) =
            (self.buckets.iter().copied().peekable(), other.buckets.iter().copied().peekable());
        loop {
            match (ours.peek(), theirs.peek()) {
                (Some(&(a, count)), Some(&(b, more))) if (a - b).abs() <= a.min(b) * SAME => {
                    merged.push((a, count.saturating_add(more)));
                    ours.next();
                    theirs.next();
                }
                (Some(&(a, _)), Some(&(b, _))) => merged.extend(if a < b { ours.next() } else { theirs.next() }),
                (Some(_), None) => merged.extend(ours.next()),
                (None, Some(_)) => merged.extend(theirs.next()),
                (None, None) => break,
            }
        }
        self.buckets = merged;
    }

    /// Returns the time that a share of the crossings does not exceed, within the width of a bucket (12.5 %).
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let (low, high) = self.extremes?;
        let total = self.buckets.iter().fold(0u64, |sum, &(_, count)| sum.saturating_add(count));
        let wanted = (share * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for &(middle, count) in &self.buckets {
            seen = u64::saturating_add(seen, count);
            if seen >= wanted {
                return Some(middle.clamp(low, high));
            }
        }
        None
    }
}

/// A [`Distribution`] in a file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Wire {
    #[prost(bool, tag = "1")]
    pub(crate) present: bool,
    #[prost(double, tag = "2")]
    pub(crate) min: f64,
    #[prost(double, tag = "3")]
    pub(crate) max: f64,
    #[prost(double, repeated, tag = "4")]
    pub(crate) middle: Vec<f64>,
    #[prost(uint64, repeated, tag = "5")]
    pub(crate) count: Vec<u64>,
}

impl Distribution {
    /// Returns the part that a member of a file adds to those before it.
    pub(crate) fn written(&self, before: &Distribution) -> Wire {
        let (min, max) = self.extremes.unwrap_or_default();
        let mut earlier = before.buckets.iter().peekable();
        let mut written = Wire { present: self.extremes.is_some(), min, max, ..Wire::default() };
        for &(middle, count) in &self.buckets {
            while earlier.next_if(|(other, _)| *other < middle).is_some() {}
            let had = earlier.next_if(|(other, _)| *other == middle).map_or(0, |&(_, count)| count);
            if count > had {
                written.middle.push(middle);
                written.count.push(count - had);
            }
        }
        written
    }

    /// Reads the part that a member of a file holds, which may be anything.
    pub(crate) fn read(found: Option<Wire>) -> Distribution {
        let found = found.unwrap_or_default();
        let mut buckets: Vec<_> = found.middle.into_iter().zip(found.count).collect();
        buckets.retain(|&(middle, count)| middle.is_finite() && count < 1 << 62);
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let known = found.present && found.min.is_finite() && found.max.is_finite() && found.min <= found.max;
        Distribution { extremes: known.then_some((found.min, found.max)), buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(buckets: &[(f64, u64)]) -> Distribution {
        let extremes = buckets.first().zip(buckets.last()).map(|(first, last)| (first.0, last.0));
        Distribution { extremes, buckets: buckets.to_vec() }
    }

    #[test]
    fn distributions_merge_by_bucket() {
        let mut one = distribution(&[(1.0, 2), (3.0, 1)]);
        one.merge(&distribution(&[(2.0, 5), (3.0, 4)]));
        assert_eq!(one, distribution(&[(1.0, 2), (2.0, 5), (3.0, 5)]));
        one.merge(&Distribution::default());
        assert_eq!(one.buckets.len(), 3);
    }

    #[test]
    fn times_that_can_not_be_told_apart_are_not_shown() {
        let check = |now: &[(f64, u64)], before: &[(f64, u64)], left: &[(f64, u64)]| {
            assert_eq!(distribution(now).since(&distribution(before)), distribution(left), "{now:?} {before:?}");
        };
        check(&[(0.0, 5), (10.0, 3), (3e6, 9)], &[(0.0, 5), (3.0001e6, 4)], &[(10.0, 3), (3e6, 5)]);
        check(&[(10.0, 3)], &[(10.0, 3)], &[]);
        check(&[(10.0, 3)], &[], &[(10.0, 3)]);
        // The hooks' own time has another known value now.
        check(&[(10.0, 3), (500.0, 3)], &[(20.0, 3)], &[]);
    }

    #[test]
    fn quantiles_of_a_distribution() {
        let times = distribution(&[(10.0, 90), (20.0, 9), (1000.0, 1)]);
        let check = |share, expected| assert_eq!(times.quantile(share), Some(expected), "{share}");
        check(0.5, 10.0);
        check(0.9, 10.0);
        check(0.91, 20.0);
        check(0.99, 20.0);
        check(1.0, 1000.0);
        assert_eq!(Distribution::default().quantile(0.5), None);
    }
}
