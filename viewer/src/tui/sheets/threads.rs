//! Threads: what they did, who made them and why.

use std::borrow::Cow;

use super::super::data::Data;
use super::super::data::threads::Row;
use super::super::palette::Part;
use super::{Column, Sheet, Sorted, Tint, some_count, some_time};
use crate::units::time;

/// The threads of a profile.
pub(crate) struct Threads<'a> {
    pub(crate) data: &'a Data,
}

const COLUMNS: [Column; 11] = [
    Column::number("TID", 8, 0),
    Column::number("M", 5, 3),
    Column::number("CROSSINGS", 13, 1),
    Column::number("C", 8, 1),
    Column::number("BLOCKED", 8, 2),
    Column::number("LOCKED", 8, 4),
    Column::number("IDLE LOCKED", 11, 6),
    Column::number("STARTED", 8, 5),
    Column::number("ENDED", 8, 5),
    Column::name("NAME", 10, 2),
    Column::name("MADE BECAUSE", 20, 4),
];

impl Threads<'_> {
    fn row(&self, row: usize) -> &Row {
        &self.data.threads()[row]
    }

    fn number(&self, row: usize, column: usize) -> f64 {
        let row = self.row(row);
        match column {
            0 => row.tid as f64,
            1 => row.m.map_or(f64::NEG_INFINITY, |m| m as f64),
            2 => row.crossings as f64,
            3 => row.c_ns,
            4 => row.blocked_ns,
            5 => row.locked_ns,
            6 => row.locked_idle_ns,
            7 => row.created_ns.unwrap_or(0) as f64,
            _ => row.exited_ns.map_or(f64::INFINITY, |nanos| nanos as f64),
        }
    }
}

impl Sheet for Threads<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn rows(&self) -> usize {
        self.data.threads().len()
    }

    fn text(&self, row: usize, column: usize) -> String {
        let thread = self.row(row);
        let number = self.number(row, column);
        match column {
            0 => thread.tid.to_string(),
            1 => thread.m.map_or_else(String::new, |m| m.to_string()),
            2 => some_count(number as u64),
            7 => thread.created_ns.map_or_else(String::new, |nanos| time(nanos as f64)),
            8 => thread.exited_ns.map_or_else(String::new, |nanos| time(nanos as f64)),
            9 => thread.name.clone(),
            10 => thread.because.clone(),
            _ => some_time(number),
        }
    }

    fn sorted(&self, row: usize, column: usize) -> Sorted {
        match column {
            9 | 10 => Sorted::Name(self.text(row, column)),
            _ => Sorted::Number(self.number(row, column)),
        }
    }

    fn name(&self, row: usize) -> Cow<'_, str> {
        Cow::Owned(format!("{} {}", self.row(row).tid, self.row(row).name))
    }

    fn tint(&self, row: usize, column: usize) -> Tint {
        match column {
            3 => Tint::Heat(self.row(row).c_ns / self.data.totals.c.max(1.0)),
            4 => Tint::Part(Part::Blocked),
            5 => Tint::Part(Part::Locked),
            6 => Tint::Part(Part::Idle),
            7..=10 => Tint::Faint,
            _ => Tint::Plain,
        }
    }

    fn is_used(&self, column: usize) -> bool {
        let any = |of: fn(&Row) -> bool| self.data.threads().iter().any(of);
        match column {
            1 => any(|row| row.m.is_some()),
            4 => any(|row| row.blocked_ns > 0.0),
            5 => any(|row| row.locked_ns > 0.0),
            6 => any(|row| row.locked_idle_ns > 0.0),
            7 => any(|row| row.created_ns.is_some()),
            8 => any(|row| row.exited_ns.is_some()),
            10 => any(|row| !row.because.is_empty()),
            _ => true,
        }
    }

    fn empty(&self) -> String {
        if self.data.profile.recording.counted() {
            "threads were not watched"
        } else {
            "engine sample does not follow threads"
        }
        .into()
    }
}
