//! Columns of text: numbers to the right, names to the left, empty columns left out.

use std::fmt::Write as _;

use cgoprof_profile::Profile;

use super::fit::{GAP, Wanted, fit};
use super::view::{UnknownColumn, View};
use crate::tables::{Align, Cell, Column, Row};
use crate::text_width::{end, left, right, width};

/// Rank of a number that has no place on the screen, where ranks are given.
const NO_PLACE: u8 = u8::MAX;

/// Writes the rows of a view with their heads, how many more there are, and which columns had no room. A column with
/// nothing but its head is left out, unless it was chosen.
pub(crate) fn write<'a, R: Row>(
    text: &mut String,
    profile: &Profile,
    rows: impl IntoIterator<Item = &'a R>,
    view: &View,
) -> Result<(), UnknownColumn> {
    let (rows, columns) = (view.of(profile, rows)?, view.columns::<R>(profile)?);
    let limit = rows.len().min(view.limit);
    let line = |row: &&R| columns.iter().map(|column| column.reported(row, profile)).collect();
    let lines: Vec<Vec<String>> = rows[..limit].iter().map(line).collect();
    let widest = |at: usize| lines.iter().map(|line| width(&line[at])).max();
    let is_shown = |at: &usize| !view.columns.is_empty() || widest(*at) != Some(0);
    let shown: Vec<usize> = (0..columns.len()).filter(is_shown).collect();
    let sides: Vec<Align> = columns.iter().map(|column| side(column, profile, rows.first())).collect();
    let wanted = shown.iter().map(|&at| Wanted {
        width: widest(at).unwrap_or(0).max(width(&head(columns[at]))),
        align: sides[at],
        rank: match (columns[at].place(), sides[at]) {
            (Some(place), _) => place.rank,
            // Names tell rows apart. They are shortened first.
            (None, Align::Left) => 0,
            (None, Align::Right) => NO_PLACE,
        },
    });
    let first_name = shown.iter().copied().find(|&at| sides[at] == Align::Left);
    let widths = fit(&wanted.collect::<Vec<_>>(), view.width);
    let mut write = |cell: &dyn Fn(usize) -> String, style: [&str; 2]| {
        let cells = shown.iter().zip(&widths).filter_map(|(&at, width)| {
            let width = (*width)?;
            Some(match sides[at] {
                // Paths, and Go names with their packages, are told apart by their ends.
                Align::Left if Some(at) != first_name => left(&end(&cell(at), width), width),
                Align::Left => left(&cell(at), width),
                Align::Right => right(&cell(at), width),
            })
        });
        let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
        let [begin, end] = style;
        let _ = writeln!(text, "{begin}{}{end}", line.trim_end());
    };
    write(&|at| head(columns[at]), if view.bold { ["\x1b[1m", "\x1b[0m"] } else { [""; 2] });
    for line in &lines {
        write(&|at| line[at].clone(), [""; 2]);
    }
    write_more(text, rows.len() - limit, LIMIT);
    let left_out = shown.iter().zip(&widths).filter(|(_, width)| width.is_none());
    let left_out: Vec<String> = left_out.map(|(&at, _)| head(columns[at])).collect();
    if !left_out.is_empty() {
        let _ =
            writeln!(text, "... no room for {} (--columns chooses; a wider terminal has more)", left_out.join(", "));
    }
    Ok(())
}

/// Returns the head of a column; one made of its key where it has none, because only other forms of the report show it.
pub(super) fn head<R>(column: &Column<R>) -> String {
    if column.head().is_empty() { column.key().replace('_', " ").to_uppercase() } else { column.head().to_owned() }
}

/// Returns on which side a column's values stand. One that only other forms of the report show tells by its first value.
pub(super) fn side<R>(column: &Column<R>, profile: &Profile, row: Option<&&R>) -> Align {
    match row.map(|row| column.cell(row, profile)) {
        Some(Cell::Text(_) | Cell::OptionalText(_)) if column.head().is_empty() => Align::Left,
        _ => column.align(),
    }
}

/// The option that limits the rows of a table.
pub(super) const LIMIT: &str = "--limit";

/// Says how many rows there are beyond the limit, and which option sets that.
pub(super) fn write_more(text: &mut String, rows: usize, option: &str) {
    if rows > 0 {
        let _ = writeln!(text, "... {rows} more ({option})");
    }
}
