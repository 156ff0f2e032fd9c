//! Rows of a comparison, with their columns.

use std::sync::LazyLock;

use super::key::Key;
use super::measure::Measure;
use super::quantity::{Change, Quantity};
use crate::tables::functions::{via_name, way};
use crate::tables::{Cell, Row, column};

type Column = column::Column<DiffRow>;

/// A row of both sides.
#[derive(Clone, Debug)]
pub struct DiffRow {
    /// What it is of; empty for all crossings.
    pub key: Key,
    /// Whether it is of all crossings.
    pub is_all: bool,
    pub(super) base: Quantities,
    pub(super) now: Quantities,
}

/// Each measure; none where it was not measured.
pub(super) type Quantities = [Option<Quantity>; Measure::ALL.len()];

impl DiffRow {
    /// Returns a measure of the base, and the same now.
    pub fn quantity(&self, measure: Measure) -> (Option<Quantity>, Option<Quantity>) {
        (self.base[measure as usize], self.now[measure as usize])
    }

    /// Returns how a measure has changed. What has no crossings on one side is new or gone.
    pub fn change(&self, measure: Measure) -> Change {
        let calls = |(base, now): (Option<Quantity>, Option<Quantity>)| {
            [base, now].map(|calls| calls.map_or(0.0, |calls| calls.value))
        };
        match (calls(self.quantity(Measure::Calls)), self.quantity(measure)) {
            ([0.0, 0.0], _) => Change::Unknown,
            ([0.0, _], _) => Change::New,
            ([_, 0.0], _) => Change::Gone,
            (_, (Some(base), Some(now))) => now.change_from(base),
            _ => Change::Unknown,
        }
    }

    /// By how much it differs: of the total, or of calls where times are not known. What noise explains comes last.
    pub(super) fn weight(&self) -> f64 {
        let is_known = self.quantity(Measure::Total) != (None, None);
        let measure = if is_known { Measure::Total } else { Measure::Calls };
        let (base, now) = self.quantity(measure);
        let value = |quantity: Option<Quantity>| quantity.map_or(0.0, |quantity| quantity.value);
        let difference = (value(now) - value(base)).abs();
        match self.change(measure) {
            Change::By { is_noise: true, .. } => -1.0 / difference.max(f64::MIN_POSITIVE),
            _ => difference,
        }
    }
}

impl Row for DiffRow {
    fn columns() -> &'static [Column] {
        static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(columns);
        &COLUMNS
    }
}

/// Declares the columns of a measure: of the base, now, and the change as text and as a share.
macro_rules! measure {
    ($columns:ident, $measure:ident, $cell:expr, $base_key:literal, $key:literal, $change:literal, $heads:expr) => {
        let heads: Option<[&'static str; 3]> = $heads;
        let head = |at: usize| heads.map_or("", |heads| heads[at]);
        // The base is the first to go where a terminal has no room, the change the last.
        let shown = |column: Column, rank| match heads {
            Some(_) => column.on_screen(WIDTH, rank),
            None => column.not_in_report(),
        };
        let base = Column::number($base_key, head(0), |row, _| ($cell)(row.quantity(Measure::$measure).0));
        let now = Column::number($key, head(1), |row, _| ($cell)(row.quantity(Measure::$measure).1));
        let difference = Column::number($change, head(2), |row, _| change(row.change(Measure::$measure)));
        $columns.extend([shown(base, 3), shown(now, 2), shown(difference, 0)]);
    };
}

/// Columns of the terminal that a number needs.
const WIDTH: u16 = 10;

fn columns() -> Vec<Column> {
    let mut columns = Vec::new();
    measure!(
        columns,
        Total,
        time,
        "total_base",
        "total",
        "total_change",
        Some(["TOTAL BASE", "TOTAL", "\u{394} TOTAL"])
    );
    measure!(
        columns,
        Calls,
        count,
        "calls_base",
        "calls",
        "calls_change",
        Some(["CALLS BASE", "CALLS", "\u{394} CALLS"])
    );
    measure!(columns, Each, time, "each_base", "each", "each_change", Some(["EACH BASE", "EACH", "\u{394} EACH"]));
    measure!(columns, C, time, "c_base", "c", "c_change", None);
    measure!(columns, CEach, time, "c_each_base", "c_each", "c_each_change", None);
    measure!(columns, Overhead, time, "overhead_base", "overhead", "overhead_change", None);
    measure!(columns, OverheadEach, time, "overhead_each_base", "overhead_each", "overhead_each_change", None);
    measure!(columns, Blocked, time, "blocked_base", "blocked", "blocked_change", None);
    columns.extend([
        Column::name("name", "C FUNCTION", |row, _| Cell::text(&row.key.function)).not_in_report(),
        Column::name("function", "C FUNCTION", |row, _| {
            let name = if row.is_all { "(all)" } else { &row.key.function };
            Cell::text(format!("{name}{}", way(row.key.via)))
        })
        .not_in_json(),
        Column::json("via", |row, _| Cell::text(via_name(row.key.via))),
        Column::name("package", "GO PACKAGE", |row, _| Cell::text(&row.key.package)).on_screen(WIDTH, 1),
        Column::name("called_by", "CALLED BY", |row, _| Cell::text(row.key.callers.join(" < "))),
    ]);
    columns
}

fn time(quantity: Option<Quantity>) -> Cell<'static> {
    Cell::Estimate(quantity.map(Quantity::measured))
}

fn count(quantity: Option<Quantity>) -> Cell<'static> {
    Cell::Count(quantity.map(|quantity| quantity.value.round() as u64))
}

fn change(change: Change) -> Cell<'static> {
    Cell::Change { text: change.text(), rank: change.rank(), share: change.share() }
}
