//! Histograms of times: the buckets that are not empty, in their order, each with its count.

/// Times of a bucket, in ticks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bucket {
    /// The shortest.
    pub shortest: u64,
    /// The longest.
    pub longest: u64,
}

/// Counts by bucket.
pub(crate) type Histogram = Vec<(Bucket, u64)>;

impl Bucket {
    /// Returns the bucket of a time: exact below 16, then eight buckets an octave.
    pub fn of(ticks: u64) -> Bucket {
        let width = match ticks.checked_ilog2() {
            Some(octave @ 4..) => 1u64 << (octave - 3),
            _ => 1,
        };
        let shortest = ticks & !(width - 1);
        Bucket { shortest, longest: shortest + (width - 1) }
    }

    /// Returns the time in its middle.
    pub fn middle(self) -> f64 {
        (self.shortest as f64 + self.longest as f64) / 2.0
    }
}

/// Counts a time.
pub(crate) fn count(times: &mut Histogram, ticks: u64) {
    let new = Bucket::of(ticks);
    match times.binary_search_by_key(&new, |&(bucket, _)| bucket) {
        Ok(index) => times[index].1 += 1,
        Err(index) => times.insert(index, (new, 1)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_lies_within_its_bucket_which_is_no_wider_than_an_eighth(ticks: u64) {
            let Bucket { shortest, longest } = Bucket::of(ticks);
            prop_assert!(shortest <= ticks && ticks <= longest);
            prop_assert!(longest - shortest < shortest.max(8).div_ceil(8));
            prop_assert_eq!((Bucket::of(shortest), Bucket::of(longest)), (Bucket::of(ticks), Bucket::of(ticks)));
        }
    }

    #[test]
    fn times_are_counted_in_the_order_of_their_buckets() {
        let mut times = Histogram::new();
        [100, 3, 101, u64::MAX, 3].into_iter().for_each(|ticks| count(&mut times, ticks));
        let counts: Vec<_> = times.iter().map(|(bucket, count)| (bucket.shortest, *count)).collect();
        assert_eq!(counts, [(3, 2), (96, 2), (15 << 60, 1)]);
        assert_eq!(times[1].0.middle(), 99.5);
    }
}
