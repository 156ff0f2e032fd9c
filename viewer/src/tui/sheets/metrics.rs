//! The columns of metrics that tables show under their own names.

use cgoprof_profile::Stats;
use cgoprof_profile::metrics::{Known, METRICS, Metric, Reading};

use super::super::palette::Part;
use super::{Column, Tint, some_count, some_time};

/// Rank of the first one's column. Those that are declared later go first where there is no room.
const RANK: u8 = 6;

/// How many there are.
pub(super) const COLUMNS: usize = {
    let (mut count, mut place) = (0, 0);
    while place < METRICS.len() {
        count += METRICS[place].shown.on_screen().is_some() as usize;
        place += 1;
    }
    count
};

fn shown() -> impl Iterator<Item = (&'static Metric, &'static str)> {
    METRICS.iter().filter_map(|metric| metric.shown.on_screen().map(|head| (metric, head)))
}

fn metric(place: usize) -> Option<&'static Metric> {
    shown().nth(place).map(|(metric, _)| metric)
}

/// Returns the columns.
pub(super) fn columns() -> impl Iterator<Item = Column> {
    shown().zip(0..).map(|((_, head), place)| Column::number(head, 9.max(head.len() as u16), RANK + 4 * place))
}

/// Returns the sort key of a row.
pub(super) fn number(place: usize, stats: &Stats) -> f64 {
    match metric(place).map(|metric| (metric.of)(stats)) {
        Some(Reading::Count(count)) => count as f64,
        Some(Reading::Nanos(nanos)) => nanos,
        Some(Reading::Estimate(sum)) => sum.sum,
        Some(Reading::Times(times)) => times.quantile(0.5).unwrap_or(0.0),
        None => 0.0,
    }
}

/// Returns the text of a cell.
pub(super) fn text(place: usize, stats: &Stats) -> String {
    match metric(place).map(|metric| (metric.of)(stats)) {
        Some(Reading::Count(count)) => some_count(count),
        _ => some_time(number(place, stats)),
    }
}

/// Returns the colour of a column.
pub(super) fn tint(place: usize) -> Tint {
    match metric(place).map(|metric| metric.known) {
        Some(Known::Ps | Known::PsTimed) => Tint::Part(Part::Waiting),
        _ => Tint::Plain,
    }
}
