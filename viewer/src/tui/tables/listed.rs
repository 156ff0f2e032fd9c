//! A table that shows its rows as they are: with the columns that they have on screens.

use std::borrow::Cow;

use cgoprof_profile::Profile;

use super::sheet::{Head, Sheet, Tint};
use crate::tables::{Column, Row, SortKey};
use crate::tui::data::Data;

/// What a screen must know of rows beside their columns.
pub(crate) trait Listing: Row {
    /// Returns the rows.
    fn all(data: &Data) -> &[Self];
    /// Returns what a row is found by.
    fn name<'a>(&'a self, profile: &'a Profile) -> Cow<'a, str>;
    /// Returns what tells a row from all others, also when the rows are renewed.
    fn key(&self, profile: &Profile) -> String {
        self.name(profile).into_owned()
    }
    /// Returns a row's share of everything, by which a column is coloured.
    fn share(&self, data: &Data) -> f64 {
        let _ = data;
        0.0
    }
    /// Said where there are no rows.
    fn empty(data: &Data) -> String;
}

/// The table of all rows of a kind.
pub(crate) struct Listed<'a, R: 'static> {
    data: &'a Data,
    rows: &'a [R],
    columns: Vec<&'static Column<R>>,
    heads: Vec<Head>,
}

impl<'a, R: Listing> Listed<'a, R> {
    pub(crate) fn new(data: &'a Data) -> Self {
        let placed = || R::columns().iter().filter_map(|column| Some((column, column.place()?)));
        let head = |(column, place): (&Column<R>, crate::tables::Place)| Head {
            text: column.head(),
            align: column.align(),
            width: place.width,
            rank: place.rank,
        };
        Listed {
            data,
            rows: R::all(data),
            columns: placed().map(|(column, _)| column).collect(),
            heads: placed().map(head).collect(),
        }
    }
}

impl<R: Listing> Sheet for Listed<'_, R> {
    fn heads(&self) -> &[Head] {
        &self.heads
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn text(&self, row: usize, column: usize) -> String {
        self.columns[column].drawn(&self.rows[row], &self.data.profile)
    }

    fn sorted(&self, row: usize, column: usize) -> SortKey {
        self.columns[column].cell(&self.rows[row], &self.data.profile).sort_key()
    }

    fn name(&self, row: usize) -> Cow<'_, str> {
        self.rows[row].name(&self.data.profile)
    }

    fn key(&self, row: usize) -> String {
        self.rows[row].key(&self.data.profile)
    }

    fn tint(&self, row: usize, column: usize) -> Tint {
        Tint::of(self.columns[column].colour(), || self.rows[row].share(self.data))
    }

    fn is_used(&self, column: usize) -> bool {
        is_used(self.columns[column], self.rows, &self.data.profile)
    }

    fn empty(&self) -> String {
        self.data.not_in_span().unwrap_or_else(|| R::empty(self.data))
    }
}

/// Whether anything stands in a column. Where there are no rows, heads tell what could.
pub(super) fn is_used<R>(column: &Column<R>, rows: &[R], profile: &Profile) -> bool {
    column.is_known(&profile.recording) && (rows.is_empty() || rows.iter().any(|row| !column.is_blank(row, profile)))
}
