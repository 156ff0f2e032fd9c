//! How times are spread: a bar for each power of two.

use cgoprof_profile::Distribution;

use crate::units::time;

/// A bar: from where on, how many crossings, and how long it is as a share of the longest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) from: String,
    pub(super) count: u64,
    pub(super) share: f64,
}

/// By powers of two from the first that has any to the last.
pub(super) fn bars(times: &Distribution) -> Vec<Bar> {
    let exponent = |nanos: f64| nanos.max(1.0).log2().floor() as i32;
    let mut counts = std::collections::BTreeMap::<i32, u64>::new();
    for &(middle, count) in times.buckets.iter().filter(|&&(_, count)| count > 0) {
        let own = counts.entry(exponent(middle)).or_default();
        *own = own.saturating_add(count);
    }
    let (Some((&first, _)), Some((&last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
        return Vec::new();
    };
    let most = counts.values().copied().max().unwrap_or(1);
    let bar = |exponent: i32| {
        let count = counts.get(&exponent).copied().unwrap_or(0);
        let from = if exponent == 0 { "0".to_owned() } else { time(f64::from(exponent).exp2()) };
        Bar { from, count, share: count as f64 / most as f64 }
    };
    (first..=last).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_go_by_powers_of_two() {
        let buckets = vec![(0.5, 1), (5.0, 10), (7.0, 10), (40.0, 5)];
        let bars = bars(&Distribution { extremes: Some((0.5, 40.0)), buckets });
        let counts: Vec<u64> = bars.iter().map(|bar| bar.count).collect();
        assert_eq!(counts, [1, 0, 20, 0, 0, 5]);
        assert_eq!(bars[2].share, 1.0);
        assert_eq!(bars[2].from, "4.00 ns");
        assert!(super::bars(&Distribution::default()).is_empty());
    }
}
