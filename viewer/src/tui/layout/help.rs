//! Help: all keys of the screen.

use super::areas::Areas;
use crate::text_width::wrapped;
use crate::tui::app::App;
use crate::tui::keys::{BINDINGS, Binding};
use crate::tui::screen::Screen;
use crate::units::printable;

/// What a screen is about.
fn about(screen: Screen) -> &'static str {
    match screen {
        Screen::Functions => {
            "C functions that Go calls. TOTAL is C plus OVERHEAD: getting to C and back, waits for a P included. \u{b1} is its standard error."
        }
        Screen::Detail => "One C function: where its time goes, how it is spread, who calls it, on which threads.",
        Screen::Tree => {
            "Crossings by their stacks: what a node and all below it took. i inverts it: C functions, with their callers below."
        }
        Screen::Flame => {
            "The same as boxes, as wide as what they took. Green is Go, yellow is the border between Go and C, red is C."
        }
        Screen::Timeline => "Threads in time. Slow crossings (--slow) are drawn; shorter ones look like Go.",
        Screen::Threads => "Threads, goroutines that cross, and places that lock goroutines to their threads.",
        Screen::Callbacks => "Go functions that C calls: getting a P, running Go, releasing the P.",
        Screen::Advice => "Advice with its evidence; what saves most comes first.",
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
pub(crate) enum Line {
    About(String),
    Key(&'static Binding),
}

/// What the screen is about, what is to be known of the recording, and the keys.
pub(crate) fn lines(app: &App, width: u16) -> Vec<Line> {
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
