//! What is drawn of a table, whatever its rows are.

use std::borrow::Cow;

use crate::tables::{Align, Part, SortKey, Tone};

/// A table. Text is made for the rows that are seen only.
pub(crate) trait Sheet {
    fn heads(&self) -> &[Head];
    fn rows(&self) -> usize;
    /// What stands there, safe to show.
    fn text(&self, row: usize, column: usize) -> String;
    /// By what rows are sorted.
    fn sorted(&self, row: usize, column: usize) -> SortKey;
    /// What rows are found by.
    fn name(&self, row: usize) -> Cow<'_, str>;
    /// What tells a row from all others, also when the rows are renewed.
    fn key(&self, row: usize) -> String;
    /// How a value is coloured.
    fn tint(&self, row: usize, column: usize) -> Tint;
    /// Whether anything stands in a column.
    fn is_used(&self, column: usize) -> bool;
    /// Whether a column is a drawing of what others tell.
    fn is_drawn(&self, column: usize) -> bool {
        let _ = column;
        false
    }
    /// What is dropped first where there is no room: the highest.
    fn rank(&self, column: usize) -> u8 {
        self.heads()[column].rank
    }
    /// Said where there are no rows.
    fn empty(&self) -> String;
}

/// How a value is coloured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tint {
    Plain,
    Faint,
    /// By its share of everything.
    Heat(f64),
    Part(Part),
    Good,
    Bad,
}

impl Tint {
    /// The colour of a column's value; `share` is that of its row of everything.
    pub(super) fn of(tone: Tone, share: impl FnOnce() -> f64) -> Tint {
        match tone {
            Tone::Plain => Tint::Plain,
            Tone::Faint => Tint::Faint,
            Tone::Heat => Tint::Heat(share()),
            Tone::Of(part) => Tint::Part(part),
        }
    }
}

/// The head of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) text: &'static str,
    pub(crate) align: Align,
    /// Columns of the terminal that it needs. Names take what room others leave, at least this.
    pub(crate) width: u16,
    /// Those with the highest go first where there is no room.
    pub(crate) rank: u8,
}
