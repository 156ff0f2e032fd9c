//! Stacks of crossings. The text report draws them; these columns are those of JSON.

use cgoprof_profile::{Recording, Via};

use super::cell::Cell;
use super::column;
use super::crossings;
use crate::analysis::StackRow;
use crate::measured::Measured;

type Column<'p> = column::Column<StackRow<'p>>;

/// Returns the columns.
pub fn columns<'p>() -> [Column<'p>; 8] {
    [
        Column::json("frames", |row, _| Cell::Frames(row.frames.clone())),
        Column::json("truncated", |row, _| Cell::Flag(Some(row.truncated))),
        Column::json("function", |row, _| Cell::text(&row.function.name)),
        Column::json("calls", |row, _| Cell::Count(Some(row.stats.calls))).known(Recording::counted),
        Column::json("total", |row, _| crossings::total(&row.stats)),
        Column::json("c", |row, _| crossings::c(&row.stats)),
        Column::json("overhead", |row, _| {
            let is_there = row.stats.timed > 0 && row.via == Via::Cgocall;
            Cell::Estimate(is_there.then(|| Measured::from(row.stats.overhead())))
        }),
        Column::json("cpu", |row, _| Cell::Estimate(row.cpu.map(Measured::from))),
    ]
}
