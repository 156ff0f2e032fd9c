//! C functions.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::LazyLock;

use cgoprof_profile::Stats;

use super::super::data::Data;
use super::super::data::change::Change;
use super::super::data::functions::Row;
use super::super::data::measured::Measured;
use super::super::live::Rates;
use super::super::palette::Part;
use super::{Column, Sheet, Sorted, Tint, metrics, some_count, some_time};
use crate::units::{count, percent, time};

/// The functions of a profile, with rates when it goes on, and differences where there is a base.
pub(crate) struct Functions<'a> {
    pub(crate) data: &'a Data,
    pub(crate) rates: Option<&'a Rates>,
    pub(crate) base: Option<&'a Data>,
    /// Those that only the base has, with nothing in them.
    pub(crate) gone: &'a [Row],
}

const NAME: usize = 0;
pub(crate) const CALLS: usize = 1;
const CHANGE: usize = 2;
const RATE: usize = 3;
const SPARK: usize = 4;
/// What it is sorted by at first.
pub(crate) const TOTAL: usize = 5;
const ERROR: usize = 6;
const MORE: usize = 7;
const EACH: usize = 8;
const RUN: usize = 9;
const C: usize = 10;
const OVERHEAD: usize = 11;
/// In place of the overhead where all that is known of it is how long crossings waited to get back.
const BACK: usize = 12;
const P50: usize = 13;
const P99: usize = 14;
const BLOCKED: usize = 15;
pub(crate) const CPU: usize = 16;
const THREADS: usize = 17;
/// The first of the metrics' columns.
const METRICS: usize = 18;
const PACKAGE: usize = METRICS + metrics::COLUMNS;

const COLUMNS: [Column; METRICS] = [
    Column::name("C FUNCTION", 24, 0),
    Column::number("CALLS", 13, 1),
    Column::number("\u{394} CALLS", 8, 4),
    Column::number("CALLS/S", 11, 6),
    Column::number("LAST SECONDS", 12, 4),
    Column::number("TOTAL", 8, 1),
    Column::number("\u{b1}", 7, 2),
    Column::number("\u{394} TOTAL", 8, 2),
    Column::number("\u{394} EACH", 8, 3),
    Column::number("RUN", 7, 8),
    Column::number("C", 8, 2),
    Column::number("OVERHEAD", 8, 3),
    Column::number("BACK", 8, 3),
    Column::number("C P50", 8, 7),
    Column::number("C P99", 8, 5),
    Column::number("BLOCKED", 8, 4),
    Column::number("CPU", 8, 8),
    Column::number("THREADS", 7, 7),
];

impl Functions<'_> {
    fn row(&self, row: usize) -> &Row {
        self.data.functions.get(row).unwrap_or_else(|| &self.gone[row - self.data.functions.len()])
    }

    /// The same function of the base.
    fn before(&self, row: usize) -> Option<&Stats> {
        self.base?.same_function(self.row(row)).map(|before| &before.stats)
    }

    fn calls_changed(&self, row: usize) -> Change {
        let calls = |stats: &Stats| Measured::count(stats.calls);
        Change::between(self.before(row).map(calls), calls(&self.row(row).stats))
    }

    fn total_changed(&self, row: usize) -> Change {
        let total = |stats: &Stats| Measured::from(stats.total());
        Change::between(self.before(row).map(total), total(&self.row(row).stats))
    }

    fn each_changed(&self, row: usize) -> Change {
        let each = |stats: &Stats| Measured::from(stats.total()).each(stats.calls);
        Change::between(self.before(row).map(each), each(&self.row(row).stats))
    }

    /// More than the base is bad, less is good; of sums only where both are of whole runs.
    fn change_tint(&self, change: Change, of_sums: bool) -> Tint {
        match change.direction() {
            _ if of_sums && self.rates.is_some() => Tint::Faint,
            Ordering::Greater => Tint::Bad,
            Ordering::Less => Tint::Good,
            Ordering::Equal => Tint::Faint,
        }
    }

    fn number(&self, row: usize, column: usize) -> f64 {
        let Row { stats, cpu, threads, .. } = self.row(row);
        match column {
            CALLS => stats.calls as f64,
            CHANGE => self.calls_changed(row).share(),
            RATE | SPARK => self.rate(row).unwrap_or(0.0),
            TOTAL => stats.total().sum,
            RUN => stats.total().sum / self.data.totals.duration.max(1.0),
            ERROR => self.row(row).relative_error().unwrap_or(0.0),
            MORE => self.total_changed(row).share(),
            EACH => self.each_changed(row).share(),
            C => stats.c.sum,
            OVERHEAD => stats.overhead().sum,
            BACK => stats.exit.sum,
            P50 => stats.c_times.quantile(0.5).unwrap_or(f64::NEG_INFINITY),
            P99 => stats.c_times.quantile(0.99).unwrap_or(f64::NEG_INFINITY),
            BLOCKED => stats.blocked,
            CPU => cpu.map_or(0.0, |cpu| cpu.nanos),
            THREADS => threads.unwrap_or(0) as f64,
            METRICS..PACKAGE => metrics::number(column - METRICS, stats),
            _ => 0.0,
        }
    }

    /// Calls a second: now, or over the whole recording.
    fn rate(&self, row: usize) -> Option<f64> {
        let Row { id, via, stats, .. } = self.row(row);
        match self.rates {
            Some(rates) => Some(rates.rate(*id, *via)),
            None => {
                let seconds = self.data.totals.duration / 1e9;
                (seconds > 0.0).then(|| stats.calls as f64 / seconds)
            }
        }
    }
}

impl Sheet for Functions<'_> {
    fn columns(&self) -> &'static [Column] {
        static ALL: LazyLock<Vec<Column>> = LazyLock::new(|| {
            let package = Column::name("GO PACKAGE", 12, 11);
            COLUMNS.into_iter().chain(metrics::columns()).chain([package]).collect()
        });
        &ALL
    }

    fn rows(&self) -> usize {
        self.data.functions.len() + self.gone.len()
    }

    fn text(&self, row: usize, column: usize) -> String {
        let Row { id, via, name, package, stats, .. } = self.row(row);
        let number = self.number(row, column);
        // What was not measured is not 0.
        let timed = |text: String| if stats.timed > 0 { text } else { String::new() };
        match column {
            NAME => name.clone(),
            PACKAGE => package.clone(),
            CALLS | THREADS => some_count(number as u64),
            METRICS..PACKAGE => metrics::text(column - METRICS, stats),
            CHANGE => self.calls_changed(row).text(),
            MORE => self.total_changed(row).text(),
            EACH => self.each_changed(row).text(),
            RATE if number > 0.0 && number < 9.95 => format!("{number:.1}"),
            RATE => some_count(number.round() as u64),
            SPARK => self.rates.map_or_else(String::new, |rates| rates.sparkline(*id, *via, 12)),
            ERROR => self.row(row).relative_error().map_or_else(String::new, percent),
            RUN => timed(percent(number)),
            BLOCKED | CPU => some_time(number),
            P50 | P99 if number < 0.0 => String::new(),
            _ => timed(time(number)),
        }
    }

    fn sorted(&self, row: usize, column: usize) -> Sorted {
        match column {
            NAME => Sorted::Name(self.row(row).name.clone()),
            PACKAGE => Sorted::Name(self.row(row).package.clone()),
            TOTAL | MORE | EACH | RUN | C | OVERHEAD | BACK if self.row(row).stats.timed == 0 => {
                Sorted::Number(f64::NEG_INFINITY)
            }
            _ => Sorted::Number(self.number(row, column)),
        }
    }

    fn name(&self, row: usize) -> Cow<'_, str> {
        Cow::Borrowed(&self.row(row).name)
    }

    fn key(&self, row: usize) -> String {
        let row = self.row(row);
        format!("{} {}", row.name, row.package)
    }

    fn tint(&self, row: usize, column: usize) -> Tint {
        let totals = &self.data.totals;
        match column {
            CALLS | RATE => Tint::Heat(self.row(row).stats.calls as f64 / totals.crossings.max(1) as f64),
            TOTAL | RUN => Tint::Heat(self.row(row).stats.total_self() / totals.total.max(1.0)),
            C => Tint::Part(Part::C),
            OVERHEAD | BACK => Tint::Part(Part::Border),
            BLOCKED => Tint::Part(Part::Blocked),
            SPARK => Tint::Part(Part::Go),
            METRICS..PACKAGE => metrics::tint(column - METRICS),
            CHANGE => self.change_tint(self.calls_changed(row), true),
            MORE => self.change_tint(self.total_changed(row), true),
            EACH => self.change_tint(self.each_changed(row), false),
            ERROR | PACKAGE => Tint::Faint,
            _ => Tint::Plain,
        }
    }

    fn is_used(&self, column: usize) -> bool {
        let any = |of: fn(&Row) -> bool| self.data.functions.iter().any(of);
        let phases = self.data.profile.recording.phases_timed();
        match column {
            SPARK => self.rates.is_some(),
            CHANGE | MORE | EACH => self.base.is_some(),
            CALLS | RATE => self.data.profile.recording.counted(),
            TOTAL | RUN | C => any(|row| row.stats.timed > 0),
            OVERHEAD => phases && any(|row| row.stats.overhead().sum > 0.0),
            BACK => !phases && any(|row| row.stats.exit.sum > 0.0),
            P50 | P99 => any(|row| row.stats.c_times.extremes.is_some()),
            ERROR => any(|row| row.relative_error().is_some()),
            BLOCKED => any(|row| row.stats.blocked > 0.0),
            CPU => any(|row| row.cpu.is_some_and(|cpu| cpu.nanos > 0.0)),
            METRICS..PACKAGE => {
                self.data.functions.iter().any(|row| metrics::number(column - METRICS, &row.stats) > 0.0)
            }
            THREADS => any(|row| row.threads.is_some()),
            _ => true,
        }
    }

    fn is_drawn(&self, column: usize) -> bool {
        column == SPARK
    }

    fn rank(&self, column: usize) -> u8 {
        match column {
            // Of a recording it is no more than calls by the time they took.
            RATE if self.rates.is_some() => 2,
            _ => self.columns()[column].rank,
        }
    }

    fn empty(&self) -> String {
        if self.data.span().is_some() {
            "no slow crossings in this span of time".into()
        } else if self.data.profile.recording.counted() {
            "no crossings".into()
        } else {
            format!(
                "no samples in C; {} crossings by the runtime's own count",
                count(self.data.profile.recording.num_cgo_call.unwrap_or(0))
            )
        }
    }
}
