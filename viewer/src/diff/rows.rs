//! Rows of a comparison, with their columns.

use std::sync::LazyLock;

use super::key::Key;
use super::measure::Measure;
use super::quantity::{Change, Quantity};
use crate::tables::{Cell, Row, column};

type Column = column::Column<DiffRow>;

/// A row of both sides.
#[derive(Clone, Debug)]
pub struct DiffRow {
    /// What it is of.
    pub key: Key,
    pub(super) base: [Quantity; Measure::ALL.len()],
    pub(super) now: [Quantity; Measure::ALL.len()],
}

impl DiffRow {
    /// Returns a measure of the base, and the same now.
    pub fn quantity(&self, measure: Measure) -> (Quantity, Quantity) {
        (self.base[measure as usize], self.now[measure as usize])
    }

    /// Returns how a measure has changed.
    pub fn change(&self, measure: Measure) -> Change {
        let (base, now) = self.quantity(measure);
        now.change_from(base)
    }

    /// By how much it differs: of the total, or of calls where nothing was timed. What noise explains comes last.
    pub(super) fn weight(&self) -> f64 {
        let (base, now) = self.quantity(Measure::Total);
        let measure = if base.value == 0.0 && now.value == 0.0 { Measure::Calls } else { Measure::Total };
        let (base, now) = self.quantity(measure);
        let difference = (now.value - base.value).abs();
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
        let change = Column::number(concat!($change, "_text"), head(2), |row, _| {
            Cell::text(row.change(Measure::$measure).text())
        });
        $columns.extend([shown(base, 3), shown(now, 2), shown(change.not_in_json(), 0)]);
        $columns.push(Column::json($change, |row, _| Cell::Share(row.change(Measure::$measure).share())));
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
        Column::name("name", "C FUNCTION", |row, _| {
            let name = if row.key.function.is_empty() { "(all)" } else { &row.key.function };
            Cell::text(if row.key.is_direct() { format!("{name}  [direct]") } else { name.to_owned() })
        }),
        Column::name("package", "GO PACKAGE", |row, _| Cell::text(&row.key.package)).on_screen(WIDTH, 1),
        Column::name("called_by", "CALLED BY", |row, _| Cell::text(row.key.callers.join(" < "))),
    ]);
    columns
}

fn time(quantity: Quantity) -> Cell<'static> {
    Cell::Estimate(Some(quantity.measured()))
}

fn count(quantity: Quantity) -> Cell<'static> {
    Cell::Count(Some(quantity.value.round() as u64))
}
