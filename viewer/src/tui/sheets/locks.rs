//! Places where goroutines lock themselves to their threads.

use std::borrow::Cow;

use cgoprof_profile::Lock;

use super::super::data::Data;
use super::super::palette::Part;
use super::{Column, Sheet, Sorted, Tint, some_count, some_time};
use crate::analysis;
use crate::units::printable;

/// The locks of a profile.
pub(crate) struct Locks<'a> {
    pub(crate) data: &'a Data,
}

const COLUMNS: [Column; 7] = [
    Column::number("LOCKS", 10, 0),
    Column::number("STILL", 7, 1),
    Column::number("HELD", 8, 0),
    Column::number("LONGEST", 8, 1),
    Column::number("THREAD IDLE", 11, 2),
    Column::name("LOCKED BY", 16, 0),
    Column::name("LINE", 14, 2),
];

impl Locks<'_> {
    fn row(&self, row: usize) -> &Lock {
        &self.data.profile.locks[row]
    }

    fn number(&self, row: usize, column: usize) -> f64 {
        let lock = self.row(row);
        match column {
            0 => lock.locks as f64,
            1 => lock.held as f64,
            2 => lock.held_ns,
            3 => lock.longest_ns,
            _ => lock.idle_ns.unwrap_or(0.0),
        }
    }

    fn place(&self, row: usize) -> (String, String) {
        let frames = analysis::frames(&self.data.profile, &self.row(row).stack);
        let position = frames.first().map(|frame| frame.position);
        position.map_or_else(Default::default, |at| {
            (printable(at.function), printable(&format!("{}:{}", at.file, at.line)))
        })
    }
}

impl Sheet for Locks<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn rows(&self) -> usize {
        self.data.profile.locks.len()
    }

    fn text(&self, row: usize, column: usize) -> String {
        match column {
            0 | 1 => some_count(self.number(row, column) as u64),
            5 => self.place(row).0,
            6 => self.place(row).1,
            _ => some_time(self.number(row, column)),
        }
    }

    fn sorted(&self, row: usize, column: usize) -> Sorted {
        match column {
            5 | 6 => Sorted::Name(self.text(row, column)),
            _ => Sorted::Number(self.number(row, column)),
        }
    }

    fn name(&self, row: usize) -> Cow<'_, str> {
        let (function, line) = self.place(row);
        Cow::Owned(format!("{function} {line}"))
    }

    fn key(&self, row: usize) -> String {
        format!("{:?}", self.row(row).stack)
    }

    fn tint(&self, _: usize, column: usize) -> Tint {
        match column {
            2 | 3 => Tint::Part(Part::Locked),
            4 => Tint::Part(Part::Idle),
            6 => Tint::Faint,
            _ => Tint::Plain,
        }
    }

    fn empty(&self) -> String {
        if let Some(not_known) = self.data.not_in_span() {
            return not_known;
        }
        match self.data.profile.recording.scheduler.locks {
            true => "no goroutine locked itself to its thread (runtime.LockOSThread)".into(),
            false => "locks were not followed: engine trampoline does that".into(),
        }
    }
}
