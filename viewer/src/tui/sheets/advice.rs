//! What could be done.

use std::borrow::Cow;

use super::super::data::Data;
use super::super::data::findings::Row;
use super::super::palette::Part;
use super::{Column, Sheet, Sorted, Tint, some_time};

/// The advice on a profile.
pub(crate) struct Findings<'a> {
    pub(crate) data: &'a Data,
}

const COLUMNS: [Column; 5] = [
    Column::number("SAVES", 8, 0),
    Column::name("KIND", 13, 0),
    Column::name("C FUNCTION", 16, 0),
    Column::name("CALLED BY", 16, 2),
    Column::name("LINE", 20, 1),
];

impl Findings<'_> {
    fn row(&self, row: usize) -> &Row {
        &self.data.findings()[row]
    }
}

impl Sheet for Findings<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn rows(&self) -> usize {
        self.data.findings().len()
    }

    fn text(&self, row: usize, column: usize) -> String {
        let advice = self.row(row);
        match column {
            0 => some_time(advice.saving),
            1 => advice.kind.into(),
            2 => advice.function.clone(),
            3 => advice.caller.clone(),
            _ => advice.line.clone(),
        }
    }

    fn sorted(&self, row: usize, column: usize) -> Sorted {
        match column {
            0 => Sorted::Number(self.row(row).saving),
            _ => Sorted::Name(self.text(row, column)),
        }
    }

    fn name(&self, row: usize) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", self.row(row).function, self.row(row).kind))
    }

    fn key(&self, row: usize) -> String {
        let row = self.row(row);
        format!("{} {} {}", row.function, row.kind, row.line)
    }

    fn tint(&self, row: usize, column: usize) -> Tint {
        match column {
            0 => Tint::Heat(self.row(row).saving / self.data.totals.total.max(1.0)),
            1 => Tint::Part(Part::Border),
            3 | 4 => Tint::Faint,
            _ => Tint::Plain,
        }
    }

    fn empty(&self) -> String {
        if let Some(not_known) = self.data.not_in_span() {
            return not_known;
        }
        match self.data.profile.recording.counted() {
            true => "nothing stands out: no advice".into(),
            false => "engine sample sees no crossings: no advice".into(),
        }
    }
}
