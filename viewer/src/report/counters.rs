//! The metrics that JSON shows under their own names.

use cgoprof_profile::metrics::{METRICS, Metric};
use cgoprof_profile::{Recording, Stats};
use serde_json::{Map, Value};

use crate::tables::Cell;

/// The fields of a row: null where a recording does not know a metric.
pub(super) fn counters(stats: &Stats, recording: &Recording) -> Map<String, Value> {
    METRICS.iter().filter(|metric| metric.shown.in_json()).flat_map(|metric| fields(metric, stats, recording)).collect()
}

/// Those of one metric.
fn fields(metric: &Metric, stats: &Stats, recording: &Recording) -> Vec<(String, Value)> {
    let cell = Cell::from((metric.of)(stats));
    let cell = if metric.known.of(recording) { cell } else { cell.unknown() };
    let fields = cell.fields(metric.name).into_iter();
    fields.map(|(name, field)| (name, serde_json::to_value(field).unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::metrics::{Known, Reading, Shown};
    use cgoprof_profile::{Distribution, Estimate};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_metric_of_any_kind_has_its_fields() {
        let check = |of: fn(&Stats) -> Reading<'_>, known, expected: &[(&str, Value)]| {
            let metric = Metric { name: "m", known, shown: Shown::Json, of };
            let stats = Stats {
                c: Estimate { sum: 5.0, variance: 4.0, common: 0.0 },
                c_times: Distribution { extremes: Some((1.0, 2.0)), buckets: vec![(1.0, 1), (2.0, 1)] },
                ..Stats::default()
            };
            let found: Map<String, Value> = fields(&metric, &stats, &Recording::default()).into_iter().collect();
            let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            assert_eq!(found, expected);
        };
        check(|_| Reading::Count(3), Known::Counted, &[("m", json!(3))]);
        check(|_| Reading::Count(3), Known::Ps, &[("m", Value::Null)]);
        check(|_| Reading::Nanos(1.5), Known::Counted, &[("m_ns", json!(1.5))]);
        check(|stats| Reading::Estimate(stats.c), Known::Timed, &[("m_ns", json!(5.0)), ("m_se_ns", json!(2.0))]);
        let times = json!({"min_ns": 1.0, "p50_ns": 1.0, "p90_ns": 2.0, "p99_ns": 2.0, "max_ns": 2.0});
        check(|stats| Reading::Times(&stats.c_times), Known::Timed, &[("m", times)]);
    }
}
