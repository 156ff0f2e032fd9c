//! Estimated sums.

use prost::Message;

/// A sum over all crossings, estimated from the timed ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Nanoseconds.
    pub sum: f64,
    /// Square of the standard error of the sum, as far as the errors of its parts are independent.
    pub variance: f64,
    /// Error of the sum that all its parts have in common.
    pub common: f64,
}

impl Estimate {
    /// Standard error of the sum.
    pub fn standard_error(&self) -> f64 {
        (self.variance.max(0.0) + self.common.powi(2)).sqrt()
    }
}

impl Estimate {
    /// Returns the growth of a sum since `before`. The growth of the common error is in it too.
    pub fn since(&self, before: &Estimate) -> Estimate {
        Estimate {
            sum: (self.sum - before.sum).max(0.0),
            variance: (self.variance - before.variance).max(0.0),
            common: (self.common - before.common).max(0.0),
        }
    }
}

impl std::ops::AddAssign for Estimate {
    fn add_assign(&mut self, other: Estimate) {
        self.sum += other.sum;
        self.variance += other.variance;
        self.common += other.common;
    }
}

/// An [`Estimate`] in a file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Wire {
    #[prost(double, tag = "1")]
    pub(crate) sum: f64,
    #[prost(double, tag = "2")]
    pub(crate) variance: f64,
    #[prost(double, tag = "3")]
    pub(crate) common: f64,
}

impl Estimate {
    /// Returns the part that a member of a file adds to those before it.
    pub(crate) fn written(&self, before: &Estimate) -> Wire {
        let (sum, variance) = (self.sum - before.sum, self.variance - before.variance);
        Wire { sum, variance, common: self.common - before.common }
    }

    /// Reads the part that a member of a file holds, which may be anything.
    pub(crate) fn read(found: Option<Wire>) -> Estimate {
        let found = found.unwrap_or_default();
        Estimate { sum: finite(found.sum), variance: finite(found.variance), common: finite(found.common) }
    }
}

/// Returns a number of a file; 0 if it is not finite.
pub(crate) fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
