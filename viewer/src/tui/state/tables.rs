//! The tables of screens.

use super::table::Table;
use crate::tui::layout::areas::ADVICE_TEXT;
use crate::tui::screen::Screen;
use crate::tui::tables::functions;

/// All of them, and which one the screen of threads shows.
#[derive(Debug)]
pub(crate) struct Tables {
    /// By their kind.
    pub(crate) of: [Table; Kind::ALL.len()],
    pub(crate) part: Part,
}

/// A table of one of the screens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Functions,
    Threads,
    Goroutines,
    Locks,
    Callbacks,
    Advice,
}

/// A table of the screen of threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Part {
    #[default]
    Threads,
    Goroutines,
    Locks,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] =
        [Kind::Functions, Kind::Threads, Kind::Goroutines, Kind::Locks, Kind::Callbacks, Kind::Advice];

    /// Rows of a screen's body that its table does not have: heads, and what stands above and below.
    fn other_rows(self) -> usize {
        match self {
            Kind::Functions | Kind::Callbacks => 1,
            Kind::Threads | Kind::Goroutines | Kind::Locks => 2,
            Kind::Advice => 1 + usize::from(ADVICE_TEXT),
        }
    }
}

impl Part {
    /// The one after it.
    pub(crate) fn next(self) -> Part {
        match self {
            Part::Threads => Part::Goroutines,
            Part::Goroutines => Part::Locks,
            Part::Locks => Part::Threads,
        }
    }
}

impl Default for Tables {
    fn default() -> Tables {
        let sort = |kind| match kind {
            Kind::Functions => functions::column("total"),
            Kind::Threads | Kind::Goroutines | Kind::Locks | Kind::Callbacks | Kind::Advice => None,
        };
        Tables { of: Kind::ALL.map(|kind| Table::new(sort(kind))), part: Part::default() }
    }
}

impl Tables {
    /// Returns the table that a screen shows, if it shows one.
    pub(crate) fn on(&self, screen: Screen) -> Option<Kind> {
        match (screen, self.part) {
            (Screen::Functions, _) => Some(Kind::Functions),
            (Screen::Threads, Part::Threads) => Some(Kind::Threads),
            (Screen::Threads, Part::Goroutines) => Some(Kind::Goroutines),
            (Screen::Threads, Part::Locks) => Some(Kind::Locks),
            (Screen::Callbacks, _) => Some(Kind::Callbacks),
            (Screen::Advice, _) => Some(Kind::Advice),
            (Screen::Tree | Screen::Flame | Screen::Timeline | Screen::Detail, _) => None,
        }
    }

    /// The body of the screen has so many rows.
    pub(crate) fn resize(&mut self, rows: usize) {
        for (kind, table) in Kind::ALL.into_iter().zip(&mut self.of) {
            let page = rows.saturating_sub(kind.other_rows());
            table.scroll = table.scroll.with_page(page, table.order.len());
        }
    }
}
