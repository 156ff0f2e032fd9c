//! Log-linear histogram of durations in ticks: exact below 16, then eight buckets an octave (12.5 % or finer).
//! `adding.rs` adds to it.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Acquire;

use crate::cell_ref::CellRef;

/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = 16 + (OCTAVES * OCTAVE);
/// Octaves above the linear part: up to 2^44 ticks, over an hour; longer ones fall into the last bucket.
const OCTAVES: usize = 40;
/// Buckets of an octave.
pub const OCTAVE: usize = 8;

/// Counts by bucket: the first two in place, the next six in [`More`]; once there are more, all of them in [`Spread`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Histogram {
    /// Weighted number of durations in each of `buckets`.
    pub counts: [u64; FIRST],
    /// Buckets of `counts`. Holds [`SPREAD`] and the first bucket of the window once all counts are in [`Spread`].
    pub buckets: [u16; FIRST],
    /// Its [`More`], or its [`Spread`]; none until there are more than two buckets.
    pub more: CellRef,
}

impl Histogram {
    /// Returns `buckets` and `more` as they belong together: both change at once when all counts are moved.
    ///
    /// # Safety
    /// `histogram` must be readable.
    pub unsafe fn places(histogram: *const Histogram) -> ([u16; FIRST], CellRef) {
        // SAFETY: the caller's promise; both fields lie in one aligned word.
        let word = unsafe { AtomicU64::from_ptr((&raw const (*histogram).buckets).cast_mut().cast()).load(Acquire) };
        ([word as u16, (word >> 16) as u16], CellRef((word >> 32) as u32))
    }
}

/// Value in place of a histogram's first bucket: all counts are in [`Spread`].
pub const SPREAD: u16 = u16::MAX;
/// Buckets in a [`Histogram`].
pub const FIRST: usize = 2;
/// Buckets in a [`More`].
pub const NEXT: usize = 6;
/// Buckets in the window of a [`Spread`].
pub const WINDOW: usize = 8 * OCTAVE;

/// Further counts of a histogram.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct More {
    /// As [`Histogram::counts`].
    pub counts: [u64; NEXT],
    /// See `counts`.
    pub buckets: [u16; NEXT],
    /// The [`Spread`] that does not hold the counts yet, because there was no room for all of them.
    pub spread: CellRef,
}

/// All counts of a histogram with many buckets. Most durations of a function are alike, so they are in the window,
/// which needs no further reference.
#[repr(C, align(64))]
pub struct Spread {
    /// Counts of the buckets from the window's first on.
    pub window: [u64; WINDOW],
    /// [`Octaves`] of the other buckets; none until there are any.
    pub octaves: CellRef,
}

/// Places of the counts outside a window: [`OCTAVE`] words each, none where all are 0.
#[repr(C, align(64))]
pub struct Octaves(pub [CellRef; BUCKETS / OCTAVE]);

/// Returns the bucket of a duration.
#[inline(always)]
pub const fn bucket(ticks: u64) -> usize {
    if ticks < 16 {
        return ticks as usize;
    }
    let octave = 63 - ticks.leading_zeros() as usize;
    let index = 16 + (octave - 4) * 8 + ((ticks >> (octave - 3)) & 7) as usize;
    if index < BUCKETS { index } else { BUCKETS - 1 }
}

/// Returns the smallest duration of a bucket, in ticks; that of the next bucket is its end.
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
