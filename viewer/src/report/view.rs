//! Which rows and columns of a table are shown.

use cgoprof_profile::Profile;
pub use regex::Regex;
use regex::RegexBuilder;

use crate::tables::{Align, Cell, Column, Row, SortKey};

/// What is shown of a report's tables.
#[derive(Clone, Debug)]
pub struct View {
    /// Maximum rows.
    pub limit: usize,
    /// Whether the rarer quantiles of distributions are shown.
    pub quantiles: bool,
    /// Key or head of the column by which rows are sorted; none for the table's own order.
    pub sort: Option<String>,
    /// Keys or heads of the columns; empty for the usual ones.
    pub columns: Vec<String>,
    /// Expression that a name in a row must match.
    pub filter: Option<Regex>,
    /// Columns of the terminal; none for any width.
    pub width: Option<usize>,
    /// Whether heads are bold.
    pub bold: bool,
}

/// A table has no column of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no column `{name}` in this table; it has {}", known.join(", "))]
pub struct UnknownColumn {
    name: String,
    known: Vec<&'static str>,
}

impl View {
    /// The usual columns of so many rows.
    pub fn rows(limit: usize) -> View {
        View { limit, quantiles: false, sort: None, columns: Vec::new(), filter: None, width: None, bold: false }
    }

    /// The usual columns of all rows.
    pub fn all() -> View {
        View::rows(usize::MAX)
    }

    /// Returns the view of a table beside the one that columns were chosen of.
    pub(super) fn beside(&self) -> View {
        View { sort: None, columns: Vec::new(), ..self.clone() }
    }

    /// Whether a name is to be shown.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.is_match(name))
    }

    /// Returns the rows that are to be shown, in their order, beyond the limit too.
    pub(crate) fn of<'a, R: Row>(
        &self,
        profile: &Profile,
        rows: impl IntoIterator<Item = &'a R>,
    ) -> Result<Vec<&'a R>, UnknownColumn> {
        let is_named = |row: &&R| {
            let mut names = R::columns().iter().filter_map(|column| match column.cell(row, profile) {
                Cell::Text(text) => Some(text.into_owned()),
                Cell::OptionalText(text) => text.map(Into::into),
                _ => None,
            });
            self.filter.is_none() || names.any(|name| self.matches(&name))
        };
        let mut rows: Vec<&R> = rows.into_iter().filter(is_named).collect();
        if let Some(name) = &self.sort {
            let column = find::<R>(name)?;
            rows.sort_by(|one, other| {
                match (column.cell(one, profile).sort_key(), column.cell(other, profile).sort_key()) {
                    (SortKey::Number(one), SortKey::Number(other)) => other.total_cmp(&one),
                    (SortKey::Name(one), SortKey::Name(other)) => one.cmp(&other),
                    (one, other) => matches!(one, SortKey::Name(_)).cmp(&matches!(other, SortKey::Name(_))),
                }
            });
        }
        Ok(rows)
    }

    /// Returns the columns that are to be shown: numbers, then names, unless they were chosen.
    pub(crate) fn columns<R: Row>(&self, profile: &Profile) -> Result<Vec<&'static Column<R>>, UnknownColumn> {
        if !self.columns.is_empty() {
            return self.columns.iter().map(|name| find::<R>(name)).collect();
        }
        let reported = |align| {
            let usual = move |column: &&Column<R>| {
                column.align() == align && column.is_reported(&profile.recording, self.quantiles)
            };
            R::columns().iter().filter(usual)
        };
        Ok(reported(Align::Right).chain(reported(Align::Left)).collect())
    }
}

/// Reads the expression of a filter. One without capital letters matches them too.
///
/// # Errors
/// If it is no regular expression.
pub fn expression(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).case_insensitive(!text.chars().any(char::is_uppercase)).build()
}

/// Returns the column of this key or head; of several, the one that the text report shows.
fn find<R: Row>(name: &str) -> Result<&'static Column<R>, UnknownColumn> {
    let find = |is_it: &dyn Fn(&Column<R>) -> bool| {
        let shown = R::columns().iter().find(|column| column.is_in_report() && is_it(column));
        shown.or_else(|| R::columns().iter().find(|column| is_it(column)))
    };
    let by_key = find(&|column| column.key() == name);
    let by_head = || find(&|column| !column.head().is_empty() && column.head().eq_ignore_ascii_case(name));
    by_key.or_else(by_head).ok_or_else(|| {
        let mut known: Vec<&str> = R::columns().iter().map(Column::key).collect();
        known.sort_unstable();
        known.dedup();
        UnknownColumn { name: name.to_owned(), known }
    })
}
