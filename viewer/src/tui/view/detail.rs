//! One C function.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::app::App;
use super::super::layout::detail::{Look, Piece, lines};
use super::painter::Painter;
use crate::text_width as fit;

pub(super) fn draw(app: &App, area: Rect, painter: &mut Painter<'_>) {
    for (y, line) in (area.y..area.bottom()).zip(lines(app).iter().skip(app.detail.scroll.first)) {
        let mut x = 1;
        let whole: String =
            line.iter().map(|piece| if let Piece::Text(text, _) = piece { text.as_str() } else { "" }).collect();
        let found = app.search.as_ref().is_some_and(|pattern| pattern.matches(&whole));
        for piece in line {
            let room = area.width.saturating_sub(x);
            match piece {
                Piece::Text(text, look) => {
                    let style = if found { painter.palette.matched() } else { style(*look, painter) };
                    painter.put(x, y, room, text, style);
                    x += fit::width(text) as u16;
                }
                &Piece::Bar(share, columns, part) => {
                    painter.bar(x, y, columns.min(room), share, part);
                    x += columns;
                }
            }
        }
    }
}

fn style(look: Look, painter: &Painter<'_>) -> Style {
    match look {
        Look::Plain => Style::new(),
        Look::Head => painter.palette.head(),
        Look::Faint => painter.palette.faint(),
        Look::Good => painter.palette.good(),
        Look::Part(part) => painter.palette.part(part),
    }
}
