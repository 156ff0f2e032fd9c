//! Log-linear histogram of durations in ticks: exact below 16, then eight buckets an octave (12.5 % or finer).

use crate::layout::CellRef;

/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = 16 + (OCTAVES * 8);
/// Octaves above the linear part: up to 2^44 ticks, over an hour; longer ones fall into the last bucket.
const OCTAVES: usize = 40;

/// Buckets that lie together.
pub const OCTAVE: usize = 8;

/// Counts by bucket: the first two in place, the next six in [`More`]; once there are more, all of them in [`Octaves`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Histogram {
    /// Weighted number of durations in each of `buckets`.
    pub counts: [u64; FIRST],
    /// See `counts`.
    pub buckets: [u16; FIRST],
    /// Its [`More`]; none until there are more than two buckets. Its [`Octaves`] once the first bucket is [`SPREAD`].
    pub more: CellRef,
}

/// In place of a histogram's first bucket: all counts are in octaves.
pub const SPREAD: u16 = u16::MAX;
/// Buckets in a [`Histogram`].
pub const FIRST: usize = 2;
/// Buckets in a [`More`].
pub const NEXT: usize = 6;

/// Further counts of a histogram.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct More {
    /// As [`Histogram::counts`].
    pub counts: [u64; NEXT],
    /// See `counts`.
    pub buckets: [u16; NEXT],
    /// The [`Octaves`] as long as counts are moved there.
    pub octaves: CellRef,
}

/// Where the counts of a histogram are: [`OCTAVE`] words each, none where all are 0.
#[repr(C, align(64))]
pub struct Octaves(pub [CellRef; BUCKETS / OCTAVE]);

/// Bucket of a duration.
#[inline(always)]
pub const fn bucket(ticks: u64) -> usize {
    if ticks < 16 {
        return ticks as usize;
    }
    let octave = 63 - ticks.leading_zeros() as usize;
    let index = 16 + (octave - 4) * 8 + ((ticks >> (octave - 3)) & 7) as usize;
    if index < BUCKETS { index } else { BUCKETS - 1 }
}

/// Smallest duration of a bucket, in ticks; that of the next bucket is its end.
pub const fn lower_bound(bucket: usize) -> u64 {
    if bucket < 16 {
        return bucket as u64;
    }
    let octave = (bucket - 16) / 8 + 4;
    let step = ((bucket - 16) % 8) as u64;
    (8 + step) << (octave - 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_duration_lies_within_its_bucket(ticks in 0u64..1 << 43) {
            let index = bucket(ticks);
            prop_assert!(lower_bound(index) <= ticks);
            prop_assert!(ticks < lower_bound(index + 1));
        }

        #[test]
        fn a_bucket_is_no_wider_than_an_eighth(index in 16..BUCKETS - 1) {
            let width = lower_bound(index + 1) - lower_bound(index);
            prop_assert!(width as f64 <= lower_bound(index) as f64 * 0.125);
        }
    }

    #[test]
    fn longest_durations_share_the_last_bucket() {
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket(1 << 44), BUCKETS - 1);
    }
}
