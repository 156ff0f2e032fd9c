//! Tables of screens: what their columns are, and what stands in them.

pub(crate) mod advice;
pub(crate) mod callbacks;
pub(crate) mod functions;
pub(crate) mod goroutines;
pub(crate) mod locks;
mod metrics;
pub(crate) mod threads;

use std::borrow::Cow;

use super::palette::Part;

/// A table. Text is made for the rows that are seen only.
pub(crate) trait Sheet {
    fn columns(&self) -> &'static [Column];
    fn rows(&self) -> usize;
    /// What stands there, safe to show.
    fn text(&self, row: usize, column: usize) -> String;
    /// By what rows are sorted.
    fn sorted(&self, row: usize, column: usize) -> Sorted;
    /// What rows are found by.
    fn name(&self, row: usize) -> Cow<'_, str>;
    /// What tells a row from all others, also when the rows are renewed.
    fn key(&self, row: usize) -> String {
        self.name(row).into_owned()
    }
    /// What a value of a column stands for in its row, if it is to be coloured.
    fn tint(&self, row: usize, column: usize) -> Tint;
    /// Whether anything stands in a column.
    fn is_used(&self, column: usize) -> bool {
        let _ = column;
        true
    }
    /// Whether a column is a drawing of what others tell.
    fn is_drawn(&self, column: usize) -> bool {
        let _ = column;
        false
    }
    /// What goes first where there is no room: the highest.
    fn rank(&self, column: usize) -> u8 {
        self.columns()[column].rank
    }
    /// Said where there are no rows.
    fn empty(&self) -> String;
}

/// What rows are sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sorted {
    Number(f64),
    Name(String),
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

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) head: &'static str,
    pub(crate) align: Align,
    /// Columns of the terminal that it needs.
    pub(crate) width: u16,
    /// Those with the highest go first where there is no room.
    pub(crate) rank: u8,
}

/// On which side text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

impl Column {
    pub(crate) const fn number(head: &'static str, width: u16, rank: u8) -> Column {
        Column { head, align: Align::Right, width, rank }
    }

    /// Takes what room others leave, at least this.
    pub(crate) const fn name(head: &'static str, width: u16, rank: u8) -> Column {
        Column { head, align: Align::Left, width, rank }
    }
}

/// A count, nothing where it is none.
pub(crate) fn some_count(number: u64) -> String {
    if number == 0 { String::new() } else { crate::units::count(number) }
}

/// A time, nothing where it is none.
pub(crate) fn some_time(nanos: f64) -> String {
    if nanos <= 0.0 { String::new() } else { crate::units::time(nanos) }
}
