//! The metrics that JSON shows under their own names.

use cgoprof_profile::metrics::{METRICS, Metric, Reading};
use cgoprof_profile::{Recording, Stats};
use serde_json::{Map, Value, json};

use super::fields::Spread;

/// The fields of a row: null where a recording does not know a metric.
pub(super) fn counters(stats: &Stats, recording: &Recording) -> Map<String, Value> {
    METRICS.iter().filter(|metric| metric.shown.in_json()).flat_map(|metric| fields(metric, stats, recording)).collect()
}

/// Those of one metric. Times have their unit in the name.
fn fields(metric: &Metric, stats: &Stats, recording: &Recording) -> Vec<(String, Value)> {
    let known = |value: Value| if metric.known.of(recording) { value } else { Value::Null };
    let name = metric.name;
    match (metric.of)(stats) {
        Reading::Count(count) => vec![(name.into(), known(json!(count)))],
        Reading::Nanos(nanos) => vec![(format!("{name}_ns"), known(json!(nanos)))],
        Reading::Estimate(sum) => vec![
            (format!("{name}_ns"), known(json!(sum.sum))),
            (format!("{name}_se_ns"), known(json!(sum.standard_error()))),
        ],
        Reading::Times(times) => vec![(name.into(), known(json!(Spread::new(times))))],
    }
}
