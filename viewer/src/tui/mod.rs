//! The terminal UI: a recording, or a program that is watched, on screens.
//!
//! Input changes [`App`], views draw it; both are pure. [`terminal`] is the only part that touches the host.

mod actions;
mod app;
mod background;
mod data;
mod effect;
mod export;
mod input;
mod keys;
mod layout;
mod live;
mod palette;
mod pattern;
#[cfg(test)]
mod sample_data;
mod screen;
mod search;
mod state;
mod tables;
pub mod terminal;
mod update;
mod view;
mod watching;

pub use app::App;
pub use effect::{Effect, NewFile};
pub use palette::Colours;
pub use screen::Screen;
pub use state::background::Work;
pub use state::sources::Files;
pub use update::{Update, UpdateBuilder};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

impl App {
    /// Draws what is to be seen.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer) {
        view::draw(self, area, buffer);
    }
}
