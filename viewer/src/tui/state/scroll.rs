//! A list with a selected line, of which a part is seen.

use super::super::keys::Move;

/// Which line is selected, and from which on they are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scroll {
    pub(crate) selected: usize,
    pub(crate) first: usize,
    /// Lines that are seen.
    pub(crate) page: usize,
}

impl Scroll {
    pub(crate) fn go(&mut self, how: Move, lines: usize) {
        let last = lines.saturating_sub(1);
        let page = self.page.max(2) - 1;
        self.selected = match how {
            Move::Up => self.selected.saturating_sub(1),
            Move::Down => self.selected + 1,
            Move::PageUp => self.selected.saturating_sub(page),
            Move::PageDown => self.selected + page,
            Move::Home => 0,
            Move::End => last,
            Move::Left | Move::Right => self.selected,
        };
        self.show(lines);
    }

    /// Selects a line that there is, and has it seen.
    pub(crate) fn show(&mut self, lines: usize) {
        self.selected = self.selected.min(lines.saturating_sub(1));
        let page = self.page.max(1);
        self.first = self.first.min(self.selected).max((self.selected + 1).saturating_sub(page));
        self.first = self.first.min(lines.saturating_sub(page));
    }

    /// With so many lines to be seen.
    pub(crate) fn with_page(mut self, page: usize, lines: usize) -> Scroll {
        self.page = page;
        self.show(lines);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_line_is_seen() {
        let mut scroll = Scroll { page: 10, ..Scroll::default() };
        let mut check = |how, selected, first| {
            scroll.go(how, 100);
            assert_eq!((scroll.selected, scroll.first), (selected, first), "{how:?}");
        };
        check(Move::Up, 0, 0);
        check(Move::PageDown, 9, 0);
        check(Move::Down, 10, 1);
        check(Move::End, 99, 90);
        check(Move::Down, 99, 90);
        check(Move::PageUp, 90, 90);
        check(Move::Up, 89, 89);
        check(Move::Home, 0, 0);
        scroll.go(Move::Down, 0);
        assert_eq!((scroll.selected, scroll.first), (0, 0));
    }
}
