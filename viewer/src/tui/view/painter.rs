//! Text and boxes on the screen, never beyond it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::palette::Palette;
use super::super::tables::Tint;
use crate::tables::Part;
use crate::text_width as fit;

/// What views draw with.
pub(super) struct Painter<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) palette: Palette,
}

impl Painter<'_> {
    /// Text in at most so many columns, cut with an ellipsis.
    pub(super) fn put(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let area = self.buffer.area;
        if y >= area.bottom() || x >= area.right() {
            return;
        }
        let width = width.min(area.right() - x);
        self.buffer.set_stringn(x, y, fit::start(text, usize::from(width)), usize::from(width), style);
    }

    /// The same to the right of its columns.
    pub(super) fn put_right(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        self.put(x, y, width, &fit::right(text, usize::from(width)), style);
    }

    pub(super) fn fill(&mut self, area: Rect, symbol: char, style: Style) {
        let mut text = [0; 4];
        let symbol = &*symbol.encode_utf8(&mut text);
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].set_symbol(symbol).set_style(style);
            }
        }
    }

    /// Changes the style of what is there.
    pub(super) fn tone(&mut self, area: Rect, style: Style) {
        self.buffer.set_style(area.intersection(self.buffer.area), style);
    }

    /// A bar of a share of so many columns, to an eighth of one.
    pub(super) fn bar(&mut self, x: u16, y: u16, width: u16, share: f64, part: Part) {
        const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
        let eighths = (share.clamp(0.0, 1.0) * f64::from(width) * 8.0).round() as usize;
        // Something is never shown as nothing.
        let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
        let mut text = "█".repeat(eighths / 8);
        if !eighths.is_multiple_of(8) {
            text.push(EIGHTHS[eighths % 8]);
        }
        self.put(x, y, width, &text, self.palette.part(part));
    }

    pub(super) fn style(&self, tint: Tint) -> Style {
        match tint {
            Tint::Plain => Style::new(),
            Tint::Faint => self.palette.faint(),
            Tint::Heat(share) => self.palette.heat(share),
            Tint::Part(part) => self.palette.part(part),
            Tint::Good => self.palette.good(),
            Tint::Bad => self.palette.bad(),
        }
    }
}

/// Returns an area without its first rows.
pub(super) fn below(area: Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    Rect { y: area.y + rows, height: area.height - rows, ..area }
}
