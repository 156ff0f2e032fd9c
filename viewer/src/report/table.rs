//! Columns of text: numbers to the right, names to the left, empty columns left out.

use std::fmt::Write as _;

use cgoprof_profile::Profile;

use crate::tables::{Align, Column, Row};
use crate::text_width::{left, right, width};

/// What is shown of a table.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Maximum rows.
    pub limit: usize,
    /// All quantiles of distributions.
    pub quantiles: bool,
}

impl Extent {
    /// So many rows, without the rarer quantiles.
    pub fn rows(limit: usize) -> Extent {
        Extent { limit, quantiles: false }
    }
}

/// Writes the first rows with their heads, and how many there are more. First come the columns with numbers, then those
/// with names. A column with nothing but its head is left out.
pub(super) fn write<'a, R: Row>(
    text: &mut String,
    profile: &'a Profile,
    rows: impl IntoIterator<Item = &'a R>,
    Extent { limit, quantiles }: Extent,
) {
    let mut rows = rows.into_iter();
    let reported = |align| {
        R::columns()
            .iter()
            .filter(move |column| column.align() == align && column.is_reported(&profile.recording, quantiles))
    };
    let columns: Vec<&Column<R>> = reported(Align::Right).chain(reported(Align::Left)).collect();
    let lines: Vec<Vec<String>> = rows
        .by_ref()
        .take(limit)
        .map(|row| columns.iter().map(|column| column.reported(row, profile)).collect())
        .collect();
    let more = rows.count();
    let mut shown = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let widest = lines.iter().map(|line| width(&line[at])).max();
        if widest != Some(0) {
            shown.push((at, column, widest.unwrap_or(0).max(width(column.head()))));
        }
    }
    let mut write = |cell: &dyn Fn(usize, &Column<R>) -> String| {
        let cells = shown.iter().map(|&(at, column, width)| match column.align() {
            Align::Left => left(&cell(at, column), width),
            Align::Right => right(&cell(at, column), width),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    write(&|_, column| column.head().to_owned());
    for line in &lines {
        write(&|at, _| line[at].clone());
    }
    write_more(text, more, LIMIT);
}

/// The option that limits the rows of a table.
pub(super) const LIMIT: &str = "--limit";

/// Says how many rows there are beyond the limit, and which option sets that.
pub(super) fn write_more(text: &mut String, rows: usize, option: &str) {
    if rows > 0 {
        let _ = writeln!(text, "... {rows} more ({option})");
    }
}
