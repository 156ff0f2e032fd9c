//! Places where goroutines lock themselves to their threads.

use cgoprof_profile::{Lock, Profile};

use super::Row;
use super::cell::Cell;
use super::column::{self, Tone};
use super::part::Part;
use crate::analysis::{self, Position};
use crate::paths::short_path;

type Column = column::Column<Lock>;

/// Returns the line that locks.
pub fn site<'a>(lock: &Lock, profile: &'a Profile) -> Option<Position<'a>> {
    analysis::frames(profile, &lock.stack).first().map(|frame| frame.position)
}

impl Row for Lock {
    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::json("frames", |row, profile| Cell::Frames(analysis::frames(profile, &row.stack))),
            Column::number("locks", "LOCKS", |row, _| Cell::Count(Some(row.locks))).on_screen(10, 0),
            Column::number("held", "STILL", |row, _| Cell::Count(Some(row.held))).without_zero().on_screen(7, 1),
            Column::number("held", "HELD", |row, _| Cell::Nanos(Some(row.held_ns)))
                .on_screen(8, 0)
                .tone(Tone::Of(Part::Locked)),
            Column::number("longest", "LONGEST", |row, _| Cell::Nanos(Some(row.longest_ns)))
                .on_screen(8, 1)
                .tone(Tone::Of(Part::Locked)),
            Column::number("idle", "THREAD IDLE", |row, _| Cell::Nanos(row.idle_ns))
                .on_screen(11, 2)
                .tone(Tone::Of(Part::Idle)),
            Column::name("locked_by", "LOCKED BY", |row, profile| {
                Cell::text(site(row, profile).map_or("", |site| site.function))
            })
            .not_in_json()
            .on_screen(16, 0),
            Column::name("place", "LINE", |row, profile| {
                let place = |at: Position<'_>| format!("{}:{}", short_path(at.file), at.line);
                Cell::text(site(row, profile).map_or_else(String::new, place))
            })
            .not_in_json(),
            Column::name("line", "LINE", |row, profile| {
                let line = |at: Position<'_>| format!("{}:{}", at.file, at.line);
                Cell::text(site(row, profile).map_or_else(String::new, line))
            })
            .not_in_json()
            .not_in_report()
            .on_screen(14, 2)
            .tone(Tone::Faint),
        ];
        COLUMNS
    }
}
