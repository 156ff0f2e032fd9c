//! Help: all keys of the screen.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::app::App;
use super::super::geometry::Areas;
use super::super::keys::{BINDINGS, Binding};
use super::super::screen::Screen;
use super::pen::Pen;
use super::table::wrapped;
use crate::tables::Part;
use crate::units::printable;

/// What a screen is about.
fn about(screen: Screen) -> &'static str {
    match screen {
        Screen::Functions => {
            "C functions that Go calls. TOTAL is C plus OVERHEAD (getting there and back, waiting for a P); \u{b1} is its standard error where not every crossing was timed."
        }
        Screen::Detail => "One C function: where its time goes, how it is spread, who calls it, on which threads.",
        Screen::Tree => {
            "Crossings by their stacks: what a node and all below it took. i turns it round: C functions and who called them."
        }
        Screen::Flame => "The same as boxes, as wide as what they took. Green is Go, yellow the border, red C.",
        Screen::Timeline => {
            "Threads in time. Slow crossings (--slow, 10us) are drawn; what looks like Go may have short ones in it."
        }
        Screen::Threads => "Threads, goroutines that cross, and places that lock goroutines to their threads.",
        Screen::Callbacks => "Go functions that C calls: getting a P, in Go, and giving it back.",
        Screen::Advice => "What could be done, with the evidence; what saves most first.",
    }
}

/// Keys and what they do on the screen, its own first.
fn bindings(app: &App) -> Vec<&'static Binding> {
    let live = app.live.is_some();
    let everywhere = |binding: &&Binding| Screen::ALL.iter().all(|&screen| binding.is_there(screen, live));
    let there = |binding: &&Binding| !binding.keys.is_empty() && binding.is_there(app.screen, live);
    let (common, mut own): (Vec<_>, Vec<_>) = BINDINGS.iter().filter(there).partition(everywhere);
    own.extend(common);
    own
}

/// A line of the help.
enum Line {
    About(String),
    Key(&'static Binding),
}

/// What the screen is about, what is to be known of the recording, and the keys.
fn lines(app: &App, width: u16) -> Vec<Line> {
    let columns = usize::from(width.saturating_sub(2));
    let about_lines = |text: &str| wrapped(text, columns).into_iter().map(Line::About);
    let mut lines: Vec<Line> = about_lines(about(app.screen)).collect();
    for note in &app.whole.profile.recording.notes {
        lines.extend(about_lines(&format!("note: {}", printable(note))));
    }
    lines.push(Line::About(String::new()));
    lines.extend(bindings(app).into_iter().map(Line::Key));
    lines.push(Line::About(String::new()));
    lines.extend(about_lines(&format!("looking at {}", printable(&app.title))));
    lines
}

/// The last line that the help may begin with, so that all of its rows are filled.
pub(crate) fn last_first(app: &App) -> usize {
    let body = Areas::of(app.size).body;
    lines(app, body.width).len().saturating_sub(usize::from(body.height))
}

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
