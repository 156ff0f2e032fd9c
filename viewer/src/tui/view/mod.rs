//! What screens look like. Views draw from the state and change nothing.

mod detail;
mod flame;
mod help;
mod painter;
mod table;
mod timeline;
mod tree;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::app::App;
use super::data;
use super::keys::BINDINGS;
use super::layout::areas::{Areas, LEAST, tabs};
use super::screen::Screen;
use super::state::tables::Part;
use super::update::SECOND;
use crate::units::{count, percent, printable, time};
use painter::{Painter, below};

/// Draws the screen.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let mut painter = Painter { buffer, palette: app.palette };
    if area.width < LEAST.width || area.height < LEAST.height {
        let asked = format!("at least {}x{} needed", LEAST.width, LEAST.height);
        painter.put(0, 0, area.width, "the terminal is too small:", painter.palette.bad());
        painter.put(0, 1, area.width, &asked, painter.palette.bad());
        return;
    }
    let areas = Areas::of(area.as_size());
    tab_bar(app, areas.tabs, &mut painter);
    summary(app, areas.summary, &mut painter);
    match (&app.overlay.help, app.screen) {
        (Some(first), _) => help::draw(app, *first, areas.body, &mut painter),
        (None, Screen::Tree) => tree::draw(app, areas.body, &mut painter),
        (None, Screen::Flame) => flame::draw(app, areas.body, &mut painter),
        (None, Screen::Timeline) => timeline::draw(app, areas.body, &mut painter),
        (None, Screen::Detail) => detail::draw(app, areas.body, &mut painter),
        (None, Screen::Threads) => {
            parts(app, areas.body, &mut painter);
            table::draw(app, below(areas.body, 1), &mut painter);
        }
        (None, Screen::Advice) => table::draw_advice(app, areas.body, &mut painter),
        (None, Screen::Functions | Screen::Callbacks) => table::draw(app, areas.body, &mut painter),
    }
    footer(app, areas.footer, &mut painter);
}

fn tab_bar(app: &App, area: Rect, painter: &mut Painter<'_>) {
    let bar = painter.palette.bar();
    painter.fill(area, ' ', bar);
    let tabs = tabs(area.width);
    for (at, &(screen, x, width)) in tabs.iter().enumerate() {
        let style = if screen == app.screen { painter.palette.chosen() } else { bar };
        painter.put(x, area.y, width, &format!("{} {}", at + 1, screen.name()), style);
    }
    let end = tabs.last().map_or(0, |&(_, x, width)| x + width + 1);
    if let Some(room) = area.width.checked_sub(end).filter(|&room| room > 12) {
        let title = crate::text_width::end(&printable(&app.title), usize::from(room) - 1);
        let x = area.width - crate::text_width::width(&title) as u16 - 1;
        painter.put(x, area.y, room, &title, bar);
    }
}

/// The line that says what all the numbers are about.
fn summary(app: &App, area: Rect, painter: &mut Painter<'_>) {
    let (totals, recording) = (&app.shown.totals, &app.shown.profile.recording);
    let mut parts = Vec::new();
    if recording.counted() {
        parts.push(format!("{} crossings in {}", count(totals.crossings), time(totals.duration)));
        if totals.timed > 0 {
            let error = totals.total_error / totals.total.max(1.0);
            let error = if error > 0.0005 { format!(" \u{b1}{}", percent(error)) } else { String::new() };
            parts.push(format!("{}{error} in total", time(totals.total)));
            parts.push(format!("{} in C", time(totals.c)));
            let way = if recording.phases_timed() { "overhead" } else { "waiting for a P" };
            parts.push(format!("{} {way}", time(totals.overhead)));
        }
        if totals.p_lost > 0 {
            parts.push(format!("{} Ps lost", count(totals.p_lost)));
        }
        if totals.callbacks > 0 {
            parts.push(format!("{} callbacks", count(totals.callbacks)));
        }
    } else {
        let samples: u64 = app.shown.profile.samples.iter().map(|stack| stack.samples).sum();
        parts.push(format!("{} samples in {}: estimates, nothing is counted", count(samples), time(totals.duration)));
    }
    let mut states = Vec::new();
    if let Some(span) = app.shown.span() {
        let length = time((span.end - span.start) as f64);
        states.push(format!(" SPAN of {length} from {} on: slow crossings only ", time(span.start as f64)));
    }
    if let Some(live) = &app.live {
        match &live.ended {
            Some(why) => states.push(format!(" ENDED: {why} ")),
            None if !live.frozen && app.age() > 0 => states.push(format!(" LIVE, {} s ago ", app.age())),
            None if !live.frozen => states.push(" LIVE ".into()),
            None => {}
        }
        if live.frozen {
            states.push(" FROZEN ".into());
        }
        match (app.shown.which_part(), live.window) {
            (Some(data::Part::Last), _) => states.push(format!(" last {} ", time(totals.duration))),
            (Some(data::Part::SinceZero), _) => states.push(" since z ".into()),
            (None, Some(seconds)) if live.history.ago(seconds, recording.duration_ns).is_none() => {
                let short = recording.duration_ns < seconds * SECOND;
                let why = if short { "less than" } else { "not known any more since the last" };
                states.push(format!(" all: {why} {seconds} s "));
            }
            _ => {}
        }
        if live.ended.is_none() {
            parts.insert(0, format!("{} calls/s", count(live.rates.total_rate().round() as u64)));
        }
    }
    if let (Some(base), Some(duration)) = (&app.base, app.base_duration()) {
        states.push(format!(" \u{394} to {}, {} ", printable(&base.name), time(duration)));
    }
    let mut x = 0;
    for state in states {
        painter.put(x, area.y, area.width.saturating_sub(x), &state, painter.palette.chosen());
        x += crate::text_width::width(&state) as u16 + 1;
    }
    let mut room = area.width;
    let notes = recording.notes.len();
    if notes > 0 {
        let text = format!(" {notes} note{}: ? ", if notes == 1 { "" } else { "s" });
        room = room.saturating_sub(crate::text_width::width(&text) as u16 + 1);
        painter.put(room + 1, area.y, area.width.saturating_sub(room + 1), &text, painter.palette.chosen());
    }
    let head = painter.palette.head();
    painter.put(x + u16::from(x == 0), area.y, room.saturating_sub(x + 1), &parts.join(", "), head);
}

/// Which of its tables the screen of threads shows.
fn parts(app: &App, area: Rect, painter: &mut Painter<'_>) {
    let mut x = 1;
    for (part, name) in [(Part::Threads, "Threads"), (Part::Goroutines, "Goroutines"), (Part::Locks, "LockOSThread")] {
        let style = if part == app.tables.part { painter.palette.chosen() } else { painter.palette.faint() };
        let text = format!(" {name} ");
        painter.put(x, area.y, area.width.saturating_sub(x), &text, style);
        x += text.len() as u16 + 1;
    }
    let forgotten = app.shown.profile.recording.forgotten;
    if app.tables.part == Part::Goroutines && forgotten.goroutines > 0 {
        let (goroutines, calls) = (count(forgotten.goroutines), count(forgotten.calls));
        let text = format!("{goroutines} more with {calls} calls are not told apart");
        painter.put(x + 1, area.y, area.width.saturating_sub(x + 1), &text, painter.palette.faint());
    }
    if app.tables.part == Part::Threads
        && let Some(peak) = &app.shown.profile.peak
    {
        let how = if peak.exact { "" } else { "at least " };
        let text = format!("most threads in C at one time: {how}{}, at {}", peak.threads, time(peak.at_ns as f64));
        painter.put(x + 1, area.y, area.width.saturating_sub(x + 1), &text, painter.palette.faint());
    }
}

/// What is typed or said, else the keys.
fn footer(app: &App, area: Rect, painter: &mut Painter<'_>) {
    let bar = painter.palette.bar();
    painter.fill(area, ' ', bar);
    if let Some(prompt) = &app.overlay.prompt {
        let text = format!("/{}\u{2588}", printable(&prompt.text));
        let what = if app.kind().is_some() { "filter" } else { "search" };
        let hint = format!("  {what} by text or regular expression; Enter keeps it, Esc gives it up");
        painter.put(1, area.y, area.width - 1, &(text + &hint), bar);
        return;
    }
    if let Some(message) = &app.overlay.message {
        painter.put(1, area.y, area.width - 1, &printable(message), bar);
        return;
    }
    let mut x = 1;
    if let Some(pattern) = app.pattern() {
        let text = format!(" /{} ", printable(pattern.text()));
        painter.put(x, area.y, area.width - x, &text, painter.palette.matched());
        x += crate::text_width::width(&text) as u16 + 1;
    }
    let live = app.live.as_ref().is_some_and(|live| live.ended.is_none());
    let mut shown: Vec<_> = BINDINGS
        .iter()
        .filter(|binding| binding.is_there(app.screen, live))
        .filter_map(|binding| Some((binding.keys.split(' ').next().unwrap_or_default(), binding.brief?)))
        .collect();
    let width = |shown: &[(&str, &str)]| -> usize {
        shown.iter().map(|(keys, brief)| crate::text_width::width(keys) + brief.len() + 3).sum()
    };
    // Help and quit stay longest.
    while width(&shown) > usize::from(area.width.saturating_sub(x)) && shown.len() > 2 {
        shown.remove(shown.len() - 3);
    }
    for (keys, brief) in shown {
        painter.put(x, area.y, area.width.saturating_sub(x), keys, painter.palette.chosen());
        x += crate::text_width::width(keys) as u16 + 1;
        painter.put(x, area.y, area.width.saturating_sub(x), brief, bar);
        x += brief.len() as u16 + 2;
    }
}
