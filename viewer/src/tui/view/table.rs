//! Tables.

use ratatui::layout::Rect;

use super::super::app::App;
use super::super::layout::areas::ADVICE_TEXT;
use super::super::layout::columns::columns;
use super::super::state::table::Table;
use super::super::state::tables::Kind;
use super::super::tables::{Align, Sheet};
use super::painter::{Painter, below};
use crate::text_width as fit;
use crate::text_width::wrapped;
use crate::units::printable;

/// The table of the screen.
pub(super) fn draw(app: &App, area: Rect, painter: &mut Painter<'_>) {
    if let Some(kind) = app.kind() {
        app.sheet(kind, |table, sheet| draw_table(table, sheet, area, painter));
    }
}

fn draw_table(table: &Table, sheet: &dyn Sheet, area: Rect, painter: &mut Painter<'_>) {
    let placed = columns(sheet, table.sort, area.width);
    for one in &placed {
        let column = &sheet.heads()[one.column];
        let sorted = table.sort == Some(one.column);
        let arrow = match (sorted, (column.align == Align::Left) != table.ascending) {
            (false, _) => "",
            (true, true) => "\u{25b4}",
            (true, false) => "\u{25be}",
        };
        let head = format!("{}{arrow}", fit::start(column.text, usize::from(one.width) - arrow.len().min(1)));
        match column.align {
            Align::Left => painter.put(one.x, area.y, one.width, &head, painter.palette.head()),
            Align::Right => painter.put_right(one.x, area.y, one.width, &head, painter.palette.head()),
        }
    }
    let rows = below(area, 1);
    if table.order.is_empty() {
        let text = match &table.filter {
            Some(filter) if sheet.rows() > 0 => format!("nothing matches {}", filter.text()),
            _ => sheet.empty(),
        };
        painter.put(1, rows.y, rows.width, &text, painter.palette.faint());
        return;
    }
    let seen = table.order.iter().enumerate().skip(table.scroll.first).take(usize::from(rows.height));
    for (y, (at, &row)) in (rows.y..).zip(seen) {
        for one in &placed {
            let text = sheet.text(row, one.column);
            let style = painter.style(sheet.tint(row, one.column));
            match sheet.heads()[one.column].align {
                Align::Left => {
                    let text = if text.contains('/') { fit::end(&text, usize::from(one.width)) } else { text };
                    painter.put(one.x, y, one.width, &text, style);
                }
                Align::Right => painter.put_right(one.x, y, one.width, &text, style),
            }
        }
        if at == table.scroll.selected {
            painter.tone(Rect { y, height: 1, ..area }, painter.palette.selected());
        }
    }
}

/// Advice, with the text of what is selected below.
pub(super) fn draw_advice(app: &App, area: Rect, painter: &mut Painter<'_>) {
    let text = ADVICE_TEXT.min(area.height.saturating_sub(3));
    let list = Rect { height: area.height - text, ..area };
    draw(app, list, painter);
    let area = below(area, list.height);
    let Some(row) = app.tables.of[Kind::Advice as usize].selected() else { return };
    let Some(advice) = app.shown.advice().get(row) else { return };
    painter.put(0, area.y, area.width, &"\u{2500}".repeat(usize::from(area.width)), painter.palette.faint());
    let width = usize::from(area.width.saturating_sub(2));
    let mut lines: Vec<(String, bool)> =
        wrapped(&printable(&advice.why), width).into_iter().map(|line| (line, false)).collect();
    lines.extend(wrapped(&printable(&advice.what), width).into_iter().map(|line| (line, true)));
    for (y, (line, what)) in (area.y + 1..area.bottom()).zip(lines) {
        let style = if what { painter.palette.good() } else { ratatui::style::Style::new() };
        painter.put(1, y, area.width.saturating_sub(2), &line, style);
    }
}
