//! How a value differs from a base recording's.

use std::cmp::Ordering;

use crate::measured::Measured;

/// A difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// It was not there.
    New,
    /// It is not there any more.
    Gone,
    /// It was not measured.
    Unknown,
    /// As a share of what it was, and whether the errors of both estimates may be all of it.
    By { share: f64, may_be_error: bool },
}

/// Differences within so many standard errors may be errors.
const SURE: f64 = 2.0;

impl Change {
    /// From a value of the base, if what has it was there, to the same one now.
    pub(crate) fn between(before: Option<Measured>, now: Measured) -> Change {
        let Some(before) = before else { return Change::New };
        if before.value == 0.0 {
            return if now.value == 0.0 { Change::By { share: 0.0, may_be_error: false } } else { Change::Unknown };
        }
        if now.value == 0.0 {
            return Change::Gone;
        }
        let may_be_error = (now.value - before.value).abs() <= SURE * now.error.hypot(before.error);
        Change::By { share: now.value / before.value - 1.0, may_be_error }
    }

    /// What it is sorted by.
    pub(crate) fn share(self) -> f64 {
        match self {
            Change::New => f64::INFINITY,
            Change::Gone => -1.0,
            Change::Unknown => f64::NEG_INFINITY,
            Change::By { share, .. } => share,
        }
    }

    /// `+3.1 %`; with a `~` where it may be an error.
    pub(crate) fn text(self) -> String {
        match self {
            Change::New => "new".into(),
            Change::Gone => "gone".into(),
            Change::Unknown => String::new(),
            Change::By { share, .. } if share.abs() < 0.0005 => "=".into(),
            Change::By { share, may_be_error } => {
                let about = if may_be_error { "~" } else { "" };
                if share >= 9.995 {
                    format!("{about}x{:.0}", share + 1.0)
                } else {
                    format!("{about}{:+.1} %", share * 100.0)
                }
            }
        }
    }

    /// `Δ +3.1 %`, for where no head says what it is.
    pub(crate) fn shown(self) -> String {
        match self {
            Change::Unknown => "\u{394} unknown".into(),
            _ => format!("\u{394} {}", self.text()),
        }
    }

    /// Whether it is surely more or less, by 5 % at least.
    pub(crate) fn direction(self) -> Ordering {
        match self {
            Change::New => Ordering::Greater,
            Change::By { share, may_be_error: false } if share > 0.05 => Ordering::Greater,
            Change::Gone => Ordering::Less,
            Change::By { share, may_be_error: false } if share < -0.05 => Ordering::Less,
            _ => Ordering::Equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ordering::{Equal, Greater, Less};

    #[test]
    fn differences_are_told_from_errors() {
        let check = |before: Option<(f64, f64)>, now: (f64, f64), text: &str, direction: Ordering| {
            let measured = |(value, error)| Measured { value, error };
            let change = Change::between(before.map(measured), measured(now));
            assert_eq!((change.text().as_str(), change.direction()), (text, direction), "{before:?} {now:?}");
        };
        check(None, (1.0, 0.0), "new", Greater);
        check(Some((0.0, 0.0)), (0.0, 0.0), "=", Equal);
        check(Some((0.0, 0.0)), (1.0, 0.0), "", Equal);
        check(Some((1.0, 0.0)), (0.0, 0.0), "gone", Less);
        check(Some((100.0, 0.0)), (110.0, 0.0), "+10.0 %", Greater);
        check(Some((100.0, 0.0)), (104.0, 0.0), "+4.0 %", Equal);
        check(Some((100.0, 3.0)), (108.0, 4.0), "~+8.0 %", Equal);
        check(Some((100.0, 3.0)), (80.0, 4.0), "-20.0 %", Less);
        check(Some((1.0, 0.0)), (12.0, 0.0), "x12", Greater);
    }
}
