//! Columns of text: numbers to the right, names to the left, empty columns left out.

use std::fmt::Write as _;

/// A table. The first columns hold numbers, the others names.
pub(super) struct Table {
    numbers: usize,
    lines: Vec<Vec<String>>,
}

impl Table {
    /// With these heads.
    pub(super) fn new(numbers: &[&str], names: &[&str]) -> Table {
        let heads = numbers.iter().chain(names).map(|&name| name.to_owned()).collect();
        Table { numbers: numbers.len(), lines: vec![heads] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.lines.push(cells.into_iter().collect());
    }

    /// Leaves a column out.
    pub(super) fn hide(&mut self, column: usize) {
        self.lines.iter_mut().for_each(|line| line[column].clear());
    }

    /// Writes it. A column with nothing but its head is left out.
    pub(super) fn write(&self, text: &mut String) {
        let columns = self.lines[0].len();
        let is_empty =
            |column: usize| self.lines.len() > 1 && self.lines[1..].iter().all(|line| line[column].is_empty());
        let width = |column: usize| self.lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| if is_empty(column) { 0 } else { width(column) }).collect();
        for line in &self.lines {
            let mut row = String::new();
            for (column, cell) in line.iter().enumerate().filter(|&(column, _)| widths[column] > 0) {
                let pad = " ".repeat(widths[column] - cell.chars().count());
                let (before, after) = if column < self.numbers { (pad, String::new()) } else { (String::new(), pad) };
                let _ = write!(row, "{before}{cell}{after}  ");
            }
            let _ = writeln!(text, "{}", row.trim_end());
        }
    }
}
