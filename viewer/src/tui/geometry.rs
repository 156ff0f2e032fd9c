//! Where things are on the screen: what is drawn and what is clicked go by the same numbers.

use ratatui::layout::{Rect, Size};

use super::screen::Screen;
use super::tables::{Align, Sheet};

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

/// A column of a table where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) column: usize,
    pub(crate) x: u16,
    pub(crate) width: u16,
}

/// Which columns of a table fit into a width, the one that it is sorted by among them; names share what is left.
pub(crate) fn columns(sheet: &dyn Sheet, sort: Option<usize>, width: u16) -> Vec<Placed> {
    let all = sheet.heads();
    let mut shown: Vec<usize> = (0..all.len()).filter(|&column| sheet.is_used(column)).collect();
    let needed = |shown: &[usize]| shown.iter().map(|&column| all[column].width + 1).sum::<u16>();
    while needed(&shown) > width + 1 && shown.len() > 1 {
        let droppable = shown.iter().enumerate().filter(|&(_, &column)| Some(column) != sort);
        match droppable.max_by_key(|&(at, &column)| (sheet.rank(column), at)) {
            Some((at, _)) => shown.remove(at),
            None => break,
        };
    }
    let names = shown.iter().filter(|&&column| all[column].align == Align::Left).count() as u16;
    let mut left = (width + 1).saturating_sub(needed(&shown));
    let share = left.checked_div(names).unwrap_or(0);
    let mut x = 0;
    let placed = shown.into_iter().map(|column| {
        let mut own = all[column].width;
        if all[column].align == Align::Left {
            let more = share.min(LONGEST_NAME.saturating_sub(own)).min(left);
            own += more;
            left -= more;
        }
        let placed = Placed { column, x, width: own.min(width.saturating_sub(x)) };
        x += own + 1;
        placed
    });
    placed.collect()
}

/// Names need no more columns than this.
const LONGEST_NAME: u16 = 90;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tui::data::Data;
    use crate::tui::sample_data;
    use crate::tui::tables::functions::Functions;

    #[test]
    fn columns_fit_and_the_sorted_one_is_there() {
        for (name, profile) in sample_data::recorded() {
            let data = Data::new(Arc::new(profile));
            let sheet = Functions { data: &data, rates: None, base: None, gone: &[] };
            for width in [40, 80, 120, 250] {
                for sort in 0..sheet.heads().len() {
                    let placed = columns(&sheet, Some(sort), width);
                    let fits = placed.iter().all(|one| one.x + one.width <= width);
                    assert!(fits, "{name} {width} {sort}: {placed:?}");
                    assert!(
                        !sheet.is_used(sort) || placed.iter().any(|one| one.column == sort),
                        "{name} {width} {sort}"
                    );
                    assert!(placed.windows(2).all(|two| two[0].x + two[0].width < two[1].x), "{name}");
                }
            }
        }
    }

    #[test]
    fn tabs_fit_even_where_there_is_little_room() {
        for width in [40, 80, 120] {
            let (_, x, own) = *tabs(width).last().unwrap();
            assert!(x + own <= width, "{width}");
        }
    }
}
