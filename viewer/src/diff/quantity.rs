//! A quantity of one recording or of repeats, and whether two of them differ by more than noise.

use crate::measured::Measured;
use crate::units::percent;

/// A value with what is known of its noise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantity {
    /// The value; of repeats their mean.
    pub value: f64,
    /// Standard error: of an estimate, or of the mean of repeats.
    pub error: f64,
    /// Degrees of freedom of the error; none where it comes from an estimate and not from repeats.
    freedom: Option<f64>,
}

/// How a quantity differs from that of the base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// It was not there.
    New,
    /// It is not there any more.
    Gone,
    /// It was not measured.
    Unknown,
    /// As a share of what it was, and whether noise explains it.
    By {
        /// 0.1 for a tenth more; infinite where it was 0.
        share: f64,
        /// Whether the difference may be noise, at a confidence of 99 %.
        is_noise: bool,
    },
}

impl Quantity {
    /// Returns the quantity of repeats, or of one recording.
    pub(crate) fn of(repeats: &[Measured]) -> Quantity {
        let count = repeats.len() as f64;
        let mean = repeats.iter().map(|one| one.value).sum::<f64>() / count.max(1.0);
        match repeats {
            [] => Quantity::default(),
            [one] => Quantity { value: one.value, error: one.error, freedom: None },
            _ => {
                let squares: f64 = repeats.iter().map(|one| (one.value - mean).powi(2)).sum();
                let freedom = count - 1.0;
                Quantity { value: mean, error: (squares / freedom / count).sqrt(), freedom: Some(freedom) }
            }
        }
    }

    /// Returns the value and its error.
    pub(super) fn measured(self) -> Measured {
        Measured { value: self.value, error: self.error }
    }

    /// Returns the difference from the same quantity of the base.
    pub fn change_from(self, base: Quantity) -> Change {
        let difference = self.value - base.value;
        let share = if difference == 0.0 { 0.0 } else { difference / base.value };
        Change::By { share, is_noise: difference.abs() <= noise(base, self) }
    }
}

/// Returns the largest difference that noise explains with a confidence of 99 %: Welch's test.
fn noise(one: Quantity, other: Quantity) -> f64 {
    let (a, b) = (one.error.powi(2), other.error.powi(2));
    let part = |square: f64, freedom: Option<f64>| freedom.map_or(0.0, |freedom| square.powi(2) / freedom);
    let parts = part(a, one.freedom) + part(b, other.freedom);
    let freedom = if parts > 0.0 { (a + b).powi(2) / parts } else { f64::INFINITY };
    student(freedom) * (a + b).sqrt()
}

/// Returns the value that Student's t stays below with a probability of 99.5 %.
fn student(freedom: f64) -> f64 {
    /// For 1, 2, 3... degrees of freedom.
    const QUANTILES: [f64; 30] = [
        63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947,
        2.921, 2.898, 2.878, 2.861, 2.845, 2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750,
    ];
    const NORMAL: f64 = 2.576;
    match QUANTILES.get((freedom as usize).saturating_sub(1)) {
        Some(&quantile) => quantile,
        // The error of this approximation is below 0.4 %.
        None => NORMAL * (1.0 + 1.9 / freedom),
    }
}

impl Change {
    /// `+3.1 %`; with a `~` where noise explains it.
    pub fn text(self) -> String {
        match self {
            Change::New => "new".into(),
            Change::Gone => "gone".into(),
            Change::Unknown => String::new(),
            Change::By { share, .. } if share.abs() < 0.0005 => "=".into(),
            Change::By { share, is_noise } => {
                let (about, sign) = (if is_noise { "~" } else { "" }, if share > 0.0 { "+" } else { "-" });
                let by = if share.is_finite() { percent(share.abs()) } else { "from 0".to_owned() };
                format!("{about}{sign}{by}")
            }
        }
    }

    /// Returns what rows are sorted by: what is new grew most.
    pub(super) fn rank(self) -> f64 {
        match self {
            Change::New => f64::INFINITY,
            Change::Gone => -1.0,
            Change::Unknown => f64::NEG_INFINITY,
            Change::By { share, .. } => share,
        }
    }

    /// Returns the change as a share of the base; none where the base is 0 or not known.
    pub fn share(self) -> Option<f64> {
        match self {
            Change::New | Change::Unknown => None,
            Change::Gone => Some(-1.0),
            Change::By { share, .. } => Some(share).filter(|share| share.is_finite()),
        }
    }

    /// Whether it grew by more than this share, and not by noise.
    pub fn exceeds(self, limit: f64) -> bool {
        match self {
            Change::New => true,
            Change::Gone | Change::Unknown => false,
            Change::By { share, is_noise } => share > limit && !is_noise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Quantity {
        Quantity::of(&values.iter().map(|&value| Measured { value, error: 0.0 }).collect::<Vec<_>>())
    }

    #[test]
    fn changes_are_told_from_noise() {
        let one = |value, error| Quantity::of(&[Measured { value, error }]);
        let check = |base: Quantity, now: Quantity, text: &str, exceeds: bool| {
            let change = now.change_from(base);
            assert_eq!((change.text().as_str(), change.exceeds(0.05)), (text, exceeds), "{base:?} {now:?}");
        };
        check(one(100.0, 0.0), one(110.0, 0.0), "+10.0 %", true);
        check(one(100.0, 0.0), one(104.0, 0.0), "+4.0 %", false);
        check(one(100.0, 3.0), one(110.0, 3.0), "~+10.0 %", false);
        check(one(100.0, 0.0), one(100.0, 0.0), "=", false);
        check(one(100.0, 0.0), one(0.0, 0.0), "-100.0 %", false);
        check(one(0.0, 0.0), one(1.0, 0.0), "+from 0", true);
        check(one(0.0, 0.0), one(0.0, 0.0), "=", false);
        check(of(&[0.0; 5]), of(&[0.0, 0.0, 5.0, 0.0, 0.0]), "~+from 0", false);
        check(of(&[100.0, 101.0, 99.0, 100.0]), of(&[120.0, 121.0, 119.0, 120.0]), "+20.0 %", true);
        check(of(&[100.0, 120.0, 80.0, 100.0]), of(&[110.0, 130.0, 90.0, 110.0]), "~+10.0 %", false);
        check(of(&[1000.0; 3]), of(&[1100.0; 3]), "+10.0 %", true);
    }

    #[test]
    fn few_repeats_tell_less_than_many() {
        for (freedom, expected) in [(1.0, 63.657), (4.9, 4.604), (30.0, 2.750), (60.0, 2.660), (1e9, 2.576)] {
            assert!((student(freedom) - expected).abs() < 0.003, "{freedom}: {}", student(freedom));
        }
    }
}
