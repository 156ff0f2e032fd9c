//! Goroutines that crossed.

use std::borrow::Cow;

use cgoprof_profile::Goroutine;

use super::super::data::Data;
use super::super::palette::Part;
use super::{Column, Sheet, Sorted, Tint, some_count};
use crate::units::printable;

/// The goroutines of a profile.
pub(crate) struct Goroutines<'a> {
    pub(crate) data: &'a Data,
}

const COLUMNS: [Column; 6] = [
    Column::number("GOID", 10, 0),
    Column::number("CROSSINGS", 13, 0),
    Column::number("THREADS", 8, 1),
    Column::number("MIGRATIONS", 11, 1),
    Column::number("LOCKS", 9, 2),
    Column::name("BEGAN WITH", 16, 1),
];

impl Goroutines<'_> {
    fn row(&self, row: usize) -> &Goroutine {
        &self.data.profile.goroutines[row]
    }

    fn number(&self, row: usize, column: usize) -> u64 {
        let goroutine = self.row(row);
        match column {
            0 => goroutine.goid,
            1 => goroutine.calls,
            2 => goroutine.threads,
            3 => goroutine.migrations,
            _ => goroutine.locks,
        }
    }

    fn began_with(&self, row: usize) -> String {
        let function = self.row(row).function;
        function.map_or_else(String::new, |function| printable(&self.data.profile.functions[function.0].name))
    }
}

impl Sheet for Goroutines<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn rows(&self) -> usize {
        self.data.profile.goroutines.len()
    }

    fn text(&self, row: usize, column: usize) -> String {
        match column {
            0 => self.row(row).goid.to_string(),
            5 => self.began_with(row),
            _ => some_count(self.number(row, column)),
        }
    }

    fn sorted(&self, row: usize, column: usize) -> Sorted {
        match column {
            5 => Sorted::Name(self.began_with(row)),
            _ => Sorted::Number(self.number(row, column) as f64),
        }
    }

    fn name(&self, row: usize) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", self.row(row).goid, self.began_with(row)))
    }

    fn tint(&self, row: usize, column: usize) -> Tint {
        match column {
            1 => Tint::Heat(self.row(row).calls as f64 / self.data.totals.crossings.max(1) as f64),
            3 => Tint::Part(Part::Border),
            4 => Tint::Part(Part::Locked),
            _ => Tint::Plain,
        }
    }

    fn empty(&self) -> String {
        self.data.not_in_span().unwrap_or_else(|| "goroutines were not followed: engine trampoline does that".into())
    }
}
