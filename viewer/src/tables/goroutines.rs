//! Goroutines that crossed, those with the most crossings first.

use cgoprof_profile::{Goroutine, Profile};

use super::Row;
use super::cell::Cell;
use super::column::{self, Tone};
use super::part::Part;
use crate::programs;

type Column = column::Column<Goroutine>;

/// Returns the name of the function that a goroutine began with, if it is known.
pub fn began_with<'a>(goroutine: &Goroutine, profile: &'a Profile) -> Option<&'a str> {
    goroutine.function.map(|function| profile.functions[function.0].name.as_str())
}

impl Row for Goroutine {
    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::number("pid", "PID", |row, profile| Cell::Number(programs::pid(profile, row.process)))
                .known(|recording| recording.processes > 0)
                .on_screen(8, 2),
            Column::number("goid", "GOID", |row, _| Cell::Number(Some(row.goid))).with_zero().on_screen(10, 0),
            Column::number("calls", "CROSSINGS", |row, _| Cell::Count(Some(row.calls)))
                .on_screen(13, 0)
                .tone(Tone::Heat),
            Column::number("threads", "THREADS", |row, _| Cell::Count(Some(row.threads))).with_zero().on_screen(8, 1),
            Column::number("migrations", "MIGRATIONS", |row, _| Cell::Count(Some(row.migrations)))
                .with_zero()
                .on_screen(11, 1)
                .tone(Tone::Of(Part::Border)),
            Column::json("locked", |row, _| Cell::Flag(Some(row.locks > 0)))
                .known(|recording| recording.scheduler.locks),
            Column::number("locks", "LOCKS", |row, _| Cell::Count(Some(row.locks)))
                .known(|recording| recording.scheduler.locks)
                .without_zero()
                .on_screen(9, 2)
                .tone(Tone::Of(Part::Locked)),
            Column::name("function", "BEGAN WITH", |row, profile| Cell::optional_text(began_with(row, profile)))
                .on_screen(16, 1),
        ];
        COLUMNS
    }
}
