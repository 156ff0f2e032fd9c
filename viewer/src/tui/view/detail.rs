//! One C function.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::app::App;
use super::super::layout::detail::{Look, Piece, lines};
use super::pen::Pen;
use crate::text_width as fit;

pub(super) fn draw(app: &App, area: Rect, pen: &mut Pen<'_>) {
    for (y, line) in (area.y..area.bottom()).zip(lines(app).iter().skip(app.detail.scroll.first)) {
        let mut x = 1;
        let whole: String =
            line.iter().map(|piece| if let Piece::Text(text, _) = piece { text.as_str() } else { "" }).collect();
        let found = app.search.as_ref().is_some_and(|pattern| pattern.matches(&whole));
        for piece in line {
            let room = area.width.saturating_sub(x);
            match piece {
                Piece::Text(text, look) => {
                    let style = if found { pen.palette.matched() } else { style(*look, pen) };
                    pen.put(x, y, room, text, style);
                    x += fit::width(text) as u16;
                }
                &Piece::Bar(share, columns, part) => {
                    pen.bar(x, y, columns.min(room), share, part);
                    x += columns;
                }
            }
        }
    }
}

fn style(look: Look, pen: &Pen<'_>) -> Style {
    match look {
        Look::Plain => Style::new(),
        Look::Head => pen.palette.head(),
        Look::Faint => pen.palette.faint(),
        Look::Good => pen.palette.good(),
        Look::Part(part) => pen.palette.part(part),
    }
}
