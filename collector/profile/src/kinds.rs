//! Kinds of metrics: how their values add up, are subtracted, and are written.

use crate::distribution::{self, Distribution};
use crate::estimate::{self, Estimate, finite};

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading<'a> {
    /// A number of events.
    Count(u64),
    /// Nanoseconds.
    Nanos(f64),
    /// Nanoseconds, with an error.
    Estimate(Estimate),
    /// Distribution of times.
    Times(&'a Distribution),
}

/// Behaviour of a kind's values.
pub(crate) trait Kind {
    /// Type of the value in [`crate::Stats`].
    type Value;
    /// Type of the value in a member of a file.
    type Written;

    /// Adds the value of other crossings.
    fn add(sum: &mut Self::Value, other: &Self::Value);
    /// Returns the growth since an earlier look at the same crossings; nothing if it was more then.
    fn since(now: &Self::Value, before: &Self::Value) -> Self::Value;
    /// Returns the part that a member of a file adds to those before it.
    fn written(now: &Self::Value, before: &Self::Value) -> Self::Written;
    /// Adds the part that a member of a file holds, which may be anything.
    fn read(sum: &mut Self::Value, written: Self::Written);
    /// Returns the value for a table.
    fn reading(value: &Self::Value) -> Reading<'_>;
}

/// The type of a kind's values, by its name.
pub(crate) mod value {
    pub(crate) type Count = u64;
    pub(crate) type Net = u64;
    pub(crate) type Latest = u64;
    pub(crate) type Nanos = f64;
    pub(crate) type Longest = f64;
    pub(crate) type Sum = crate::estimate::Estimate;
    pub(crate) type Times = crate::distribution::Distribution;
}

/// A number that only grows.
pub(crate) struct Count;

/// A number that grows, but may be corrected downwards later.
pub(crate) struct Net;

/// The current number of something.
pub(crate) struct Latest;

/// A sum of times.
pub(crate) struct Nanos;

/// The longest of some times.
pub(crate) struct Longest;

/// A sum of times, estimated.
pub(crate) struct Sum;

/// Distribution of times.
pub(crate) struct Times;

impl Kind for Count {
    type Value = value::Count;
    type Written = u64;

    fn add(sum: &mut u64, other: &u64) {
        *sum = sum.saturating_add(*other);
    }

    fn since(now: &u64, before: &u64) -> u64 {
        now.saturating_sub(*before)
    }

    fn written(now: &u64, before: &u64) -> u64 {
        now.saturating_sub(*before)
    }

    fn read(sum: &mut u64, written: u64) {
        Self::add(sum, &written);
    }

    fn reading(value: &u64) -> Reading<'_> {
        Reading::Count(*value)
    }
}

impl Kind for Net {
    type Value = value::Net;
    type Written = i64;

    fn add(sum: &mut u64, other: &u64) {
        Count::add(sum, other);
    }

    fn since(now: &u64, before: &u64) -> u64 {
        Count::since(now, before)
    }

    fn written(now: &u64, before: &u64) -> i64 {
        (*now as i64).wrapping_sub(*before as i64)
    }

    fn read(sum: &mut u64, written: i64) {
        *sum = sum.saturating_add_signed(written);
    }

    fn reading(value: &u64) -> Reading<'_> {
        Reading::Count(*value)
    }
}

impl Kind for Latest {
    type Value = value::Latest;
    type Written = i64;

    fn add(sum: &mut u64, other: &u64) {
        Count::add(sum, other);
    }

    fn since(now: &u64, _: &u64) -> u64 {
        *now
    }

    fn written(now: &u64, before: &u64) -> i64 {
        Net::written(now, before)
    }

    fn read(sum: &mut u64, written: i64) {
        Net::read(sum, written);
    }

    fn reading(value: &u64) -> Reading<'_> {
        Reading::Count(*value)
    }
}

impl Kind for Nanos {
    type Value = value::Nanos;
    type Written = f64;

    fn add(sum: &mut f64, other: &f64) {
        *sum += other;
    }

    fn since(now: &f64, before: &f64) -> f64 {
        (now - before).max(0.0)
    }

    fn written(now: &f64, before: &f64) -> f64 {
        now - before
    }

    fn read(sum: &mut f64, written: f64) {
        *sum += finite(written);
    }

    fn reading(value: &f64) -> Reading<'_> {
        Reading::Nanos(*value)
    }
}

impl Kind for Longest {
    type Value = value::Longest;
    type Written = f64;

    fn add(sum: &mut f64, other: &f64) {
        *sum = sum.max(*other);
    }

    /// Returns the longest of all, because it is not known when it was.
    fn since(now: &f64, _: &f64) -> f64 {
        *now
    }

    fn written(now: &f64, _: &f64) -> f64 {
        *now
    }

    fn read(sum: &mut f64, written: f64) {
        Self::add(sum, &finite(written));
    }

    fn reading(value: &f64) -> Reading<'_> {
        Reading::Nanos(*value)
    }
}

impl Kind for Sum {
    type Value = value::Sum;
    type Written = Option<estimate::Wire>;

    fn add(sum: &mut Estimate, other: &Estimate) {
        *sum += *other;
    }

    fn since(now: &Estimate, before: &Estimate) -> Estimate {
        now.since(before)
    }

    fn written(now: &Estimate, before: &Estimate) -> Option<estimate::Wire> {
        Some(now.written(before))
    }

    fn read(sum: &mut Estimate, written: Option<estimate::Wire>) {
        *sum += Estimate::read(written);
    }

    fn reading(value: &Estimate) -> Reading<'_> {
        Reading::Estimate(*value)
    }
}

impl Kind for Times {
    type Value = value::Times;
    type Written = Option<distribution::Wire>;

    fn add(sum: &mut Distribution, other: &Distribution) {
        sum.merge(other);
    }

    fn since(now: &Distribution, before: &Distribution) -> Distribution {
        now.since(before)
    }

    fn written(now: &Distribution, before: &Distribution) -> Option<distribution::Wire> {
        Some(now.written(before))
    }

    fn read(sum: &mut Distribution, written: Option<distribution::Wire>) {
        sum.merge(&Distribution::read(written));
    }

    fn reading(value: &Distribution) -> Reading<'_> {
        Reading::Times(value)
    }
}
