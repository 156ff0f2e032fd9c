//! Help.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::app::App;
use super::super::layout::help::{Line, lines};
use super::painter::Painter;
use crate::tables::Part;

pub(super) fn draw(app: &App, first: usize, area: Rect, painter: &mut Painter<'_>) {
    let lines = lines(app, area.width);
    for (y, line) in (area.y..area.bottom()).zip(lines.iter().skip(first)) {
        match line {
            Line::About(text) => painter.put(1, y, area.width - 1, text, painter.palette.head()),
            Line::Key(binding) => {
                painter.put(1, y, 12, binding.keys, painter.palette.part(Part::Border));
                painter.put(13, y, area.width.saturating_sub(13), binding.text, Style::new());
            }
        }
    }
}
