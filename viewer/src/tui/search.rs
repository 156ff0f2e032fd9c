//! What is searched for, as it is typed: tables are filtered by it, on other screens it is found.

use std::sync::Arc;

use super::app::App;
use super::keys::Move;
use super::layout;
use super::pattern::Pattern;
use super::screen::Screen;
use super::state::prompt::Typed;

impl App {
    /// What is searched for on this screen.
    pub(crate) fn pattern(&self) -> Option<Pattern> {
        match self.kind() {
            Some(kind) => self.tables.of[kind as usize].filter.clone(),
            None => self.search.clone(),
        }
    }

    pub(crate) fn set_pattern(&mut self, pattern: Option<Pattern>) {
        match self.kind() {
            Some(kind) => self.on(kind, |table, sheet| table.set_filter(pattern, sheet)),
            None => self.search = pattern,
        }
    }

    /// What is typed into the prompt: a letter, the end of it, or that it is given up.
    pub(crate) fn type_in(&mut self, typed: Typed) {
        let Some(prompt) = &mut self.overlay.prompt else { return };
        match typed {
            Typed::Letter(letter) => prompt.text.push(letter),
            Typed::Erase => drop(prompt.text.pop()),
            Typed::Clear => prompt.text.clear(),
            Typed::GiveUp => {
                let before = prompt.before.take();
                self.overlay.prompt = None;
                return self.set_pattern(before);
            }
            Typed::Enter => {
                self.overlay.prompt = None;
                if self.kind().is_none() && self.search.is_some() {
                    self.next_match(1);
                }
                return;
            }
        }
        let pattern = Pattern::new(&prompt.text);
        self.set_pattern(pattern);
    }

    pub(super) fn next_match(&mut self, by: isize) {
        if self.kind().is_some() {
            return self.go(if by > 0 { Move::Down } else { Move::Up });
        }
        let data = Arc::clone(&self.shown);
        let pattern = self.search.clone();
        let found = match (self.screen, pattern) {
            (Screen::Timeline, pattern) => {
                let wanted = |cell: u64| {
                    pattern.as_ref().is_none_or(|pattern| {
                        let name = data.cell(cell).map(|cell| &data.profile.functions[cell.function.0].name);
                        name.is_some_and(|name| pattern.matches(name))
                    })
                };
                // Without a search it is the next one of the thread that is looked at.
                let lanes = data.lanes();
                let among = if pattern.is_some() { 0..lanes.lanes.len() } else { self.timeline.own_lane() };
                self.timeline.find(by, lanes, among, wanted)
            }
            (_, None) => return self.say("nothing is searched for: / begins a search".into()),
            (Screen::Tree, Some(pattern)) => self.tree.find(&pattern, by, data.tree(self.tree.direction)),
            (Screen::Flame, Some(pattern)) => {
                let tree = data.tree(self.flame.direction);
                let found = self.flame.find(&pattern, by, tree, self.size.width);
                self.show_selected_frame();
                found
            }
            (_, Some(pattern)) => {
                let lines = layout::detail::text(self);
                let count = lines.len() as isize;
                let at = self.detail.scroll.selected as isize;
                let others = (1..=count).map(|step| (at + by.signum() * step).rem_euclid(count.max(1)) as usize);
                let next = others.into_iter().find(|&line| pattern.matches(&lines[line]));
                if let Some(line) = next {
                    self.detail.show_from(line);
                }
                self.clamp_detail();
                next.is_some()
            }
        };
        if !found {
            self.say("no match".into());
        }
    }
}
