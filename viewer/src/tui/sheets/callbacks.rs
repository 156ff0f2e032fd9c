//! Go functions that C calls.

use std::borrow::Cow;

use super::super::data::Data;
use super::super::data::measured::Measured;
use super::super::palette::Part;
use super::{Column, Sheet, Sorted, Tint, some_count, some_time};
use crate::scheduler::{self, CallbackRow};
use crate::units::{percent, printable};

/// The callbacks of a profile.
pub(crate) struct Callbacks<'a> {
    rows: Vec<CallbackRow<'a>>,
    total: f64,
    data: &'a Data,
}

const NAME: usize = 0;
const CALLS: usize = 1;
const TOTAL: usize = 2;
const ERROR: usize = 3;
const ACQUIRE: usize = 4;
const GO: usize = 5;
const RELEASE: usize = 6;
const P50: usize = 7;
const P99: usize = 8;
const BORDER_P50: usize = 9;
const BORDER_P99: usize = 10;
const FOREIGN: usize = 11;
const WITHIN: usize = 12;

const COLUMNS: [Column; 13] = [
    Column::name("GO FUNCTION", 18, 0),
    Column::number("CALLS", 12, 0),
    Column::number("TOTAL", 8, 0),
    Column::number("\u{b1}", 7, 1),
    Column::number("GETTING A P", 11, 2),
    Column::number("IN GO", 8, 1),
    Column::number("GIVING IT BACK", 14, 3),
    Column::number("GO P50", 8, 4),
    Column::number("GO P99", 8, 4),
    Column::number("BORDER P50", 10, 5),
    Column::number("BORDER P99", 10, 5),
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
        let callback = self.rows[row].callback;
        match column {
            CALLS => callback.calls as f64,
            TOTAL => self.rows[row].total(),
            ERROR => self.error(row).unwrap_or(0.0),
            ACQUIRE => callback.acquire.sum,
            GO => callback.go.sum,
            RELEASE => callback.release.sum,
            P50 => callback.go_times.quantile(0.5).unwrap_or(0.0),
            P99 => callback.go_times.quantile(0.99).unwrap_or(0.0),
            BORDER_P50 => callback.border_times.quantile(0.5).unwrap_or(0.0),
            BORDER_P99 => callback.border_times.quantile(0.99).unwrap_or(0.0),
            _ => callback.foreign_threads as f64,
        }
    }

    /// The standard error of the total as a share of it.
    fn error(&self, row: usize) -> Option<f64> {
        let callback = self.rows[row].callback;
        let mut total = callback.acquire;
        total += callback.go;
        total += callback.release;
        Measured::from(total).relative_error()
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
            NAME => printable(self.rows[row].name),
            WITHIN => printable(self.rows[row].within.unwrap_or("[foreign threads]")),
            CALLS | FOREIGN => some_count(self.number(row, column) as u64),
            ERROR => self.error(row).map_or_else(String::new, percent),
            _ => some_time(self.number(row, column)),
        }
    }

    fn sorted(&self, row: usize, column: usize) -> Sorted {
        match column {
            NAME | WITHIN => Sorted::Name(self.text(row, column)),
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
            TOTAL => Tint::Heat(self.rows[row].total() / self.total.max(1.0)),
            ACQUIRE | RELEASE => Tint::Part(Part::Waiting),
            GO => Tint::Part(Part::Go),
            ERROR | WITHIN => Tint::Faint,
            _ => Tint::Plain,
        }
    }

    fn is_used(&self, column: usize) -> bool {
        column != ERROR || (0..self.rows.len()).any(|row| self.error(row).is_some())
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
