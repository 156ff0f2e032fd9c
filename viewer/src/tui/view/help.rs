//! Help.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::app::App;
use super::super::layout::help::{Line, lines};
use super::pen::Pen;
use crate::tables::Part;

pub(super) fn draw(app: &App, first: usize, area: Rect, pen: &mut Pen<'_>) {
    let lines = lines(app, area.width);
    for (y, line) in (area.y..area.bottom()).zip(lines.iter().skip(first)) {
        match line {
            Line::About(text) => pen.put(1, y, area.width - 1, text, pen.palette.head()),
            Line::Key(binding) => {
                pen.put(1, y, 12, binding.keys, pen.palette.part(Part::Border));
                pen.put(13, y, area.width.saturating_sub(13), binding.text, Style::new());
            }
        }
    }
}
