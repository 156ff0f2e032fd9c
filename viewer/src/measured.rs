//! A value with its error.

use cgoprof_profile::Estimate;

use crate::analysis::Cpu;
use crate::units::percent;
use crate::waits::BlockedTime;

/// A value and the standard error of its estimate, 0 where it is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// The value.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

impl Measured {
    /// A count is no estimate.
    pub(crate) fn count(count: u64) -> Measured {
        Measured { value: count as f64, error: 0.0 }
    }

    /// Of each of so many.
    pub(crate) fn each(self, count: u64) -> Measured {
        let count = count.max(1) as f64;
        Measured { value: self.value / count, error: self.error / count }
    }

    /// The standard error as a share of the value, where it is worth showing.
    pub(crate) fn relative_error(self) -> Option<f64> {
        let share = self.error / self.value;
        (self.value > 0.0 && share > 0.0005).then_some(share)
    }

    /// ` ±1.6 %`, or nothing.
    pub(crate) fn error_text(self) -> String {
        self.relative_error().map_or_else(String::new, |share| format!(" \u{b1}{}", percent(share)))
    }
}

impl From<Estimate> for Measured {
    fn from(estimate: Estimate) -> Measured {
        Measured { value: estimate.sum, error: estimate.standard_error() }
    }
}

impl From<Cpu> for Measured {
    fn from(cpu: Cpu) -> Measured {
        Measured { value: cpu.nanos, error: cpu.standard_error }
    }
}

impl From<&BlockedTime> for Measured {
    fn from(time: &BlockedTime) -> Measured {
        Measured { value: time.nanos(), error: time.standard_error() }
    }
}
