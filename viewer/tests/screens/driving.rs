//! Screens without a terminal: keys pressed, what is made, what is seen.

use std::path::Path;

use cgoprof_profile::{Profile, decode};
use cgoprof_viewer::tui::{App, Colours, Files, Update};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Rect, Size};

pub(crate) const SIZES: [Size; 3] = [Size::new(80, 24), Size::new(120, 40), Size::new(250, 70)];

/// The same text in place of every source file.
pub(crate) struct Text;

impl Files for Text {
    fn lines(&self, _: &str) -> Option<Vec<String>> {
        Some((1..2000).map(|number| format!("\tsource line {number}")).collect())
    }
}

pub(crate) fn recorded(name: &str) -> Profile {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/profiles/{name}.pb.gz"));
    decode(&std::fs::read(file).unwrap()).unwrap()
}

pub(crate) fn app(name: &str, colours: Colours, size: Size) -> App {
    let mut app = App::new(format!("{name}.pb.gz"), recorded(name), colours, Box::new(Text));
    app.resize(size);
    app
}

pub(crate) fn press(app: &mut App, keys: &str) {
    for letter in keys.chars() {
        press_only(app, letter);
        settle(app);
    }
}

/// Does what is to be done elsewhere.
pub(crate) fn settle(app: &mut App) {
    while let Some(work) = app.take_work() {
        work.run(|| ());
        app.settle();
    }
}

pub(crate) fn press_only(app: &mut App, letter: char) {
    let code = match letter {
        '\n' => KeyCode::Enter,
        '\u{1b}' => KeyCode::Esc,
        '\t' => KeyCode::Tab,
        '\u{8}' => KeyCode::Backspace,
        '↓' => KeyCode::Down,
        '→' => KeyCode::Right,
        letter => KeyCode::Char(letter),
    };
    app.handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
}

pub(crate) fn drawn(app: &App, size: Size) -> Buffer {
    let area = Rect::new(0, 0, size.width, size.height);
    let mut buffer = Buffer::empty(area);
    app.draw(area, &mut buffer);
    buffer
}

/// The symbols of a screen, a line each.
pub(crate) fn text(app: &App, size: Size) -> String {
    let buffer = drawn(app, size);
    let row = |y| {
        let mut row = String::new();
        let mut skipped = 0;
        for x in 0..size.width {
            let symbol = buffer[(x, y)].symbol();
            if skipped == 0 {
                row.push_str(symbol);
            }
            skipped = unicode_width::UnicodeWidthStr::width(symbol).max(skipped).saturating_sub(1);
        }
        row.trim_end().to_owned() + "\n"
    };
    (0..size.height).map(row).collect()
}

pub(crate) fn update(app: &mut App, update: Update) {
    app.update(update);
    settle(app);
}
