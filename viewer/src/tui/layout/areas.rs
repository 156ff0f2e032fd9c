//! Where things are on the screen: what is drawn and what is clicked go by the same numbers.

use ratatui::layout::{Rect, Size};

use crate::tui::screen::Screen;

/// The least that a screen needs.
pub(crate) const LEAST: Size = Size { width: 40, height: 10 };
/// Columns of a lane's name in the timeline.
pub(crate) const LANE_NAME: u16 = 20;
/// Rows above the lanes: the time, threads in C, threads born.
pub(crate) const ABOVE_LANES: u16 = 3;
/// Rows below the lanes and the flame graph that tell of what is selected.
pub(crate) const BELOW: u16 = 3;
/// Rows of the text of advice.
pub(crate) const ADVICE_TEXT: u16 = 7;

/// The parts of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) tabs: Rect,
    pub(crate) summary: Rect,
    pub(crate) body: Rect,
    pub(crate) footer: Rect,
}

impl Areas {
    pub(crate) fn of(size: Size) -> Areas {
        let row = |y, height| Rect { x: 0, y, width: size.width, height };
        Areas {
            tabs: row(0, 1),
            summary: row(1, 1),
            body: row(2, size.height.saturating_sub(3)),
            footer: row(size.height.saturating_sub(1), 1),
        }
    }
}

/// Where the tabs of screens are: first column and width, in the order of the screens.
pub(crate) fn tabs(width: u16) -> Vec<(Screen, u16, u16)> {
    let names: u16 = Screen::ALL.iter().map(|screen| screen.name().len() as u16 + TAB).sum();
    let mut at = 0;
    let tab = |screen: Screen| {
        let tab = (screen, at, TAB + if names <= width { screen.name().len() as u16 } else { SHORT_NAME });
        at += tab.2;
        tab
    };
    Screen::ALL.into_iter().map(tab).collect()
}

/// Columns of a tab besides its name, and of a name where there is little room.
const TAB: u16 = 3;
const SHORT_NAME: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs_fit_even_where_there_is_little_room() {
        for width in [40, 80, 120] {
            let (_, x, own) = *tabs(width).last().unwrap();
            assert!(x + own <= width, "{width}");
        }
    }
}
