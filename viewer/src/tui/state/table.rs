//! A table that is sorted by any column and filtered by name.

use std::cmp::Ordering;

use super::super::keys::Move;
use super::super::pattern::Pattern;
use super::super::tables::{Align, Sheet, SortKey};
use super::scroll::Scroll;

/// How a table is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) scroll: Scroll,
    /// The column that it is sorted by; none for the order that the rows come in.
    pub(crate) sort: Option<usize>,
    pub(crate) ascending: bool,
    pub(crate) filter: Option<Pattern>,
    /// The rows that pass, in their order.
    pub(crate) order: Vec<usize>,
    /// The key of what was selected in rows that are no more.
    kept: Option<String>,
}

impl Table {
    /// Sorted by a column.
    pub(crate) fn new(sort: Option<usize>) -> Table {
        Table { scroll: Scroll::default(), sort, ascending: false, filter: None, order: Vec::new(), kept: None }
    }

    /// Puts the rows in order anew; what was selected stays so.
    pub(crate) fn refresh(&mut self, sheet: &dyn Sheet) {
        let before = self.selected().map(|row| sheet.key(row)).or(self.kept.take());
        self.arrange(sheet);
        if let Some(key) = before
            && let Some(at) = self.order.iter().position(|&row| sheet.key(row) == key)
        {
            self.scroll.selected = at;
        }
        self.scroll.show(self.order.len());
    }

    /// Other rows come; what is selected will be found among them by its key. The first row is what comes first.
    pub(crate) fn clear(&mut self, sheet: &dyn Sheet) {
        if let Some(row) = self.selected() {
            self.kept = (self.scroll.selected > 0).then(|| sheet.key(row));
            self.order.clear();
        }
    }

    fn arrange(&mut self, sheet: &dyn Sheet) {
        let passes = |&row: &usize| self.filter.as_ref().is_none_or(|filter| filter.matches(&sheet.name(row)));
        self.order = (0..sheet.rows()).filter(passes).collect();
        let Some(column) = self.sort else {
            if self.ascending {
                self.order.reverse();
            }
            return;
        };
        let mut keyed: Vec<(SortKey, usize)> = self.order.iter().map(|&row| (sheet.sorted(row, column), row)).collect();
        // Names from A on, numbers from the largest down.
        let up = (sheet.heads()[column].align == Align::Left) != self.ascending;
        keyed.sort_by(|(one, _), (other, _)| if up { compare(one, other) } else { compare(other, one) });
        self.order = keyed.into_iter().map(|(_, row)| row).collect();
    }

    pub(crate) fn selected(&self) -> Option<usize> {
        self.order.get(self.scroll.selected).copied()
    }

    pub(crate) fn go(&mut self, how: Move) {
        self.scroll.go(how, self.order.len());
    }

    /// Sorts by the column so many further on.
    pub(crate) fn sort_beside(&mut self, by: isize, sheet: &dyn Sheet) {
        let columns = sheet.heads().len() as isize;
        let from = self.sort.map_or(if by > 0 { -1 } else { 0 }, |sort| sort as isize);
        let others = (1..=columns).map(|step| (from + by * step).rem_euclid(columns) as usize);
        let next = others.into_iter().find(|&column| sheet.is_used(column));
        (self.sort, self.ascending) = (next, false);
        self.refresh(sheet);
    }

    /// Sorts by a column, the other way round if it is that already.
    pub(crate) fn sort_by(&mut self, column: usize, sheet: &dyn Sheet) {
        self.ascending = self.sort == Some(column) && !self.ascending;
        self.sort = Some(column);
        self.refresh(sheet);
    }

    pub(crate) fn invert(&mut self, sheet: &dyn Sheet) {
        self.ascending = !self.ascending;
        self.refresh(sheet);
    }

    pub(crate) fn set_filter(&mut self, filter: Option<Pattern>, sheet: &dyn Sheet) {
        self.filter = filter;
        self.refresh(sheet);
    }
}

fn compare(one: &SortKey, other: &SortKey) -> Ordering {
    match (one, other) {
        (SortKey::Number(one), SortKey::Number(other)) => one.total_cmp(other),
        (SortKey::Name(one), SortKey::Name(other)) => one.cmp(other),
        (SortKey::Number(_), SortKey::Name(_)) => Ordering::Less,
        (SortKey::Name(_), SortKey::Number(_)) => Ordering::Greater,
    }
}
