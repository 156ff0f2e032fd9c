//! Go functions that C calls.

use std::borrow::Cow;

use super::super::data::Data;
use super::super::palette::Part;
use super::{Column, Sheet, Sorted, Tint, some_count, some_time};
use crate::scheduler::{self, CallbackRow};
use crate::units::printable;

/// The callbacks of a profile.
pub(crate) struct Callbacks<'a> {
    rows: Vec<CallbackRow<'a>>,
    total: f64,
    data: &'a Data,
}

const COLUMNS: [Column; 10] = [
    Column::name("GO FUNCTION", 18, 0),
    Column::number("CALLS", 12, 0),
    Column::number("TOTAL", 8, 0),
    Column::number("GETTING A P", 11, 2),
    Column::number("IN GO", 8, 1),
    Column::number("GIVING IT BACK", 14, 3),
    Column::number("GO P50", 8, 4),
    Column::number("GO P99", 8, 4),
    Column::number("FOREIGN THREADS", 15, 5),
    Column::name("CALLED BY", 14, 1),
];

impl<'a> Callbacks<'a> {
    pub(crate) fn new(data: &'a Data) -> Callbacks<'a> {
        let rows = scheduler::by_callback(&data.profile);
        let total = rows.iter().map(CallbackRow::total).sum();
        Callbacks { rows, total, data }
    }

    fn number(&self, row: usize, column: usize) -> f64 {
        let row = &self.rows[row];
        let callback = row.callback;
        match column {
            1 => callback.calls as f64,
            2 => row.total(),
            3 => callback.acquire.sum,
            4 => callback.go.sum,
            5 => callback.release.sum,
            6 => callback.go_times.quantile(0.5).unwrap_or(0.0),
            7 => callback.go_times.quantile(0.99).unwrap_or(0.0),
            _ => callback.foreign_threads as f64,
        }
    }
}

impl Sheet for Callbacks<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn text(&self, row: usize, column: usize) -> String {
        match column {
            0 => printable(self.rows[row].name),
            9 => printable(self.rows[row].within.unwrap_or("[foreign threads]")),
            1 | 8 => some_count(self.number(row, column) as u64),
            _ => some_time(self.number(row, column)),
        }
    }

    fn sorted(&self, row: usize, column: usize) -> Sorted {
        match column {
            0 | 9 => Sorted::Name(self.text(row, column)),
            _ => Sorted::Number(self.number(row, column)),
        }
    }

    fn name(&self, row: usize) -> Cow<'_, str> {
        Cow::Owned(printable(self.rows[row].name))
    }

    fn key(&self, row: usize) -> String {
        format!("{} {:?}", self.rows[row].name, self.rows[row].within)
    }

    fn tint(&self, row: usize, column: usize) -> Tint {
        match column {
            2 => Tint::Heat(self.rows[row].total() / self.total.max(1.0)),
            3 | 5 => Tint::Part(Part::Waiting),
            4 => Tint::Part(Part::Go),
            9 => Tint::Faint,
            _ => Tint::Plain,
        }
    }

    fn empty(&self) -> String {
        if let Some(not_known) = self.data.not_in_span() {
            return not_known;
        }
        if self.data.profile.recording.scheduler.callbacks {
            "C did not call Go"
        } else {
            "callbacks were not followed: engine trampoline does that"
        }
        .into()
    }
}
