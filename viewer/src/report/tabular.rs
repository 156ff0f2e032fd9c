//! A report's table for other programs (CSV) and for documents (Markdown).

use cgoprof_profile::Profile;
use serde_json::{Value, json};

use super::By;
use super::table::{LIMIT, head, side, write_more};
use super::view::{UnknownColumn, View};
use crate::comma_separated;
use crate::tables::{
    Align, Column, Field, Row, advice, callbacks, functions, inside, packages, processes, sites, threads,
};
use crate::units::printable;

/// Form of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Comma-separated values: the fields of a row in the JSON report, those of objects in it as `object_field`, times
    /// in nanoseconds. What a recording did not measure is empty.
    Csv,
    /// A table of Markdown, with the columns of the text report.
    Markdown,
    /// The same as a part of a document, which has no options to name.
    Document,
}

/// Why a report is not written in a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TabularError {
    /// The report is no table.
    #[error("these rows are no table: use --format text or json")]
    NoTable,
    /// A column is not known.
    #[error(transparent)]
    Column(#[from] UnknownColumn),
}

/// Returns the table of a report.
///
/// # Errors
/// See [`TabularError`].
pub fn write(profile: &Profile, by: By, view: &View, form: Form) -> Result<Vec<u8>, TabularError> {
    let written = match by {
        By::Function => table(profile, &functions::rows(profile), view, form),
        By::Site => table(profile, &sites::rows(profile), view, form),
        By::Package => table(profile, &packages::rows(profile), view, form),
        By::Process => table(profile, &processes::rows(profile), view, form),
        By::Inside(group) => table(profile, &inside::rows(profile, group), view, form),
        By::Thread => table(profile, &threads::rows(profile), view, form),
        By::Goroutine => table(profile, &profile.goroutines, view, form),
        By::Callback => table(profile, &callbacks::rows(profile), view, form),
        By::Advice => table(profile, &advice::rows(profile), view, form),
        By::Stack | By::Blocked | By::Slowest => return Err(TabularError::NoTable),
    };
    Ok(written?)
}

pub(crate) fn table<R: Row>(profile: &Profile, rows: &[R], view: &View, form: Form) -> Result<Vec<u8>, UnknownColumn> {
    let mut rows = view.of(profile, rows)?;
    let more = rows.len().saturating_sub(view.limit);
    rows.truncate(view.limit);
    match form {
        Form::Csv => csv(profile, &rows, view),
        Form::Markdown | Form::Document => {
            let mut text = markdown(profile, &rows, view)?;
            if more > 0 && form == Form::Markdown {
                text += "\n";
                write_more(&mut text, more, LIMIT);
            } else if more > 0 {
                let rows = if more == 1 { "row is" } else { "rows are" };
                text += &format!("\n{more} more {rows} left out.\n");
            }
            Ok(text.into_bytes())
        }
    }
}

fn csv<R: Row>(profile: &Profile, rows: &[&R], view: &View) -> Result<Vec<u8>, UnknownColumn> {
    let columns: Vec<&Column<R>> =
        if view.columns.is_empty() { R::columns().iter().collect() } else { view.columns(profile)? };
    let chosen = !view.columns.is_empty();
    let fields = |row: &&R| columns.iter().flat_map(|column| fields(column, row, profile, chosen)).collect::<Vec<_>>();
    let heads = match rows.first() {
        Some(row) => fields(row).into_iter().map(|(name, _)| name).collect(),
        // Their units are those of values, of which there is none.
        None => columns.iter().map(|column| column.key().to_owned()).collect(),
    };
    let lines = rows.iter().map(|row| fields(row).into_iter().map(|(_, value)| value).collect());
    Ok(comma_separated::lines(&std::iter::once(heads).chain(lines).collect::<Vec<_>>()))
}

/// Returns the names and values that a row has in a column: as in JSON, or as people see it if only people see a chosen
/// column.
fn fields<R: Row>(column: &Column<R>, row: &R, profile: &Profile, chosen: bool) -> Vec<(String, String)> {
    let fields = column.fields(row, profile);
    if fields.is_empty() && chosen {
        return vec![(column.key().to_owned(), column.reported(row, profile))];
    }
    let parts = fields.into_iter().flat_map(|(name, field)| match field {
        Field::Scalar(value) => vec![(name, text(&value))],
        Field::Times(times) => {
            let part = |(part, nanos): (&str, Option<f64>)| (format!("{name}_{part}"), text(&json!(nanos)));
            times.parts().map(part).into()
        }
        Field::Frames(_) | Field::Birth(_) => Vec::new(),
    });
    parts.collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        value => value.to_string(),
    }
}

fn markdown<R: Row>(profile: &Profile, rows: &[&R], view: &View) -> Result<String, UnknownColumn> {
    let columns = view.columns::<R>(profile)?;
    let cells = |row: &&R| columns.iter().map(|column| column.reported(row, profile)).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let is_shown = |at: &usize| !view.columns.is_empty() || lines.iter().any(|line| !line[*at].is_empty());
    let shown: Vec<usize> = (0..columns.len()).filter(is_shown).collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(shown.iter().map(|&at| head(columns[at])).collect());
    text += &line(
        shown
            .iter()
            .map(|&at| match side(columns[at], profile, rows.first()) {
                Align::Left => "---".to_owned(),
                Align::Right => "---:".to_owned(),
            })
            .collect(),
    );
    for cells in &lines {
        text += &line(shown.iter().map(|&at| escaped(&cells[at])).collect());
    }
    Ok(text)
}

/// Returns a text in which nothing is Markdown (CommonMark 2.4, backslash escapes).
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_{}[]<>|~&".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_has_heads() {
        let write = |form| {
            let written = write(&Profile::default(), By::Function, &View::all(), form).expect("a table");
            String::from_utf8(written).expect("text")
        };
        let csv = write(Form::Csv);
        assert!(csv.starts_with("name,package,") && csv.contains(",calls,"), "{csv}");
        assert_eq!((csv.lines().count(), write(Form::Markdown).lines().count()), (1, 2));
    }

    #[test]
    fn names_are_no_markup() {
        assert_eq!(escaped("a|b_c <x> main.(*T).f"), "a\\|b\\_c \\<x\\> main.(\\*T).f");
    }
}
