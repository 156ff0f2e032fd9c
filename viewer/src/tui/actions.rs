//! What keys ask for, done.

use std::sync::Arc;

use cgoprof_profile::{FunctionId, Via};

use super::app::App;
use super::data::direction::Direction;
use super::effect::Effect;
use super::export;
use super::keys::{Action, Move};
use super::layout;
use super::layout::areas::{Areas, BELOW};
use super::screen::Screen;
use super::state::outbox::Leaving;
use super::state::prompt::Prompt;
use super::state::tables::Kind;
use crate::tables::functions::FunctionRow;
use crate::value::Value;

impl App {
    /// Does what a key asks for.
    pub(crate) fn act(&mut self, action: Action) {
        self.overlay.message = None;
        if let Some(first) = self.overlay.help {
            match action {
                Action::Go(how) => {
                    let page = usize::from(Areas::of(self.size).body.height);
                    self.overlay.help = Some(scrolled(first, how, page, layout::help::last_first(self)));
                }
                Action::Quit => self.leave(),
                _ => self.overlay.help = None,
            }
            return;
        }
        match action {
            Action::Quit => self.leave(),
            Action::Help => self.overlay.help = Some(0),
            Action::Show(screen) => self.go_to(screen),
            Action::Beside(by) => self.go_to(self.screen.beside(by)),
            Action::Go(how) => self.go(how),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::Search => {
                let before = self.pattern();
                let text = before.as_ref().map_or_else(String::new, |pattern| pattern.text().to_owned());
                self.overlay.prompt = Some(Prompt { text, before });
            }
            Action::Match(by) => self.next_match(by),
            Action::Sort(by) => self.on_table(|table, sheet| table.sort_beside(by, sheet)),
            Action::Invert => self.invert(),
            Action::Value => self.next_value(),
            Action::Part => {
                self.tables.part = self.tables.part.next();
                self.refresh();
            }
            Action::Unfold => {
                let data = Arc::clone(&self.shown);
                self.tree.open_all(data.tree(self.tree.direction));
            }
            Action::Zoom(by) => {
                let lanes = Arc::clone(self.shown.lanes());
                self.timeline.zoom(by, &lanes);
            }
            Action::Whole if self.screen == Screen::Flame => self.flame.whole(),
            Action::Whole => self.timeline.whole(),
            Action::Mark => {
                let lanes = Arc::clone(self.shown.lanes());
                if lanes.lanes.is_empty() {
                    self.say("there is nothing to mark".into());
                } else if self.timeline.mark(&lanes) {
                    self.show_other_part();
                } else {
                    self.say("move to the other end of the span and press m again".into());
                }
            }
            Action::Copy => match self.name() {
                Some(name) => self.outbox.effects.push(Effect::Copy(name)),
                None => self.say("nothing is selected".into()),
            },
            Action::Export => {
                let made = export::of(self);
                self.make_file(made);
            }
            Action::Save => self.outbox.effects.push(Effect::Save),
            Action::Freeze => self.freeze(),
            Action::Reset => self.reset(),
            Action::Window => self.next_window(),
        }
    }

    fn leave(&mut self) {
        self.outbox.leaving = Leaving::WhenWritten;
        if self.background.is_file_coming() {
            self.say("leaving when the file is written; Ctrl-C leaves at once".into());
        }
    }

    pub(super) fn go_to(&mut self, screen: Screen) {
        let from_functions = self.screen == Screen::Functions;
        if screen == Screen::Detail && (self.detail.about.is_none() || from_functions) {
            let row = self.tables.of[Kind::Functions as usize].selected().unwrap_or(0);
            let row = self.shown.functions.get(row).or(self.shown.functions.first());
            self.detail.set_about(row.map(|row| (row.id, row.via)));
        }
        self.aim(screen, self.direction_on(screen));
    }

    /// Shows a screen of which all is made.
    pub(super) fn enter(&mut self, screen: Screen, direction: Direction) {
        if screen == Screen::Detail && self.screen != Screen::Detail {
            self.detail.opened_from = self.screen;
        }
        self.screen = screen;
        match screen {
            Screen::Tree if self.tree.direction != direction => self.tree.invert(direction),
            Screen::Flame if self.flame.direction != direction => self.flame.invert(),
            _ => {}
        }
        self.refresh();
    }

    pub(super) fn go(&mut self, how: Move) {
        let data = Arc::clone(&self.shown);
        let rows = usize::from(Areas::of(self.size).body.height.saturating_sub(BELOW));
        match self.screen {
            Screen::Tree => self.tree.go(how, data.tree(self.tree.direction)),
            Screen::Flame => {
                let tree = data.tree(self.flame.direction);
                self.flame.go(how, tree, rows);
                self.show_selected_frame();
            }
            Screen::Timeline => self.timeline.go(how, data.lanes()),
            Screen::Detail => {
                let scroll = self.detail.scroll;
                let last = layout::detail::length(self).saturating_sub(scroll.page);
                let first = scrolled(scroll.first, how, scroll.page, last);
                self.detail.show_from(first);
            }
            _ => self.on_table(|table, _| table.go(how)),
        }
    }

    /// Scrolls so that the selected frame of the flame graph is seen.
    pub(crate) fn show_selected_frame(&mut self) {
        let data = Arc::clone(&self.shown);
        let tree = data.tree(self.flame.direction);
        let rows = usize::from(Areas::of(self.size).body.height.saturating_sub(BELOW)).max(1);
        let depth = tree.node(self.flame.selected(tree)).depth;
        self.flame.first = self.flame.first.min(depth).max((depth + 1).saturating_sub(rows));
    }

    pub(super) fn open(&mut self) {
        let data = Arc::clone(&self.shown);
        match self.screen {
            Screen::Functions => {
                let selected = self.tables.of[Kind::Functions as usize].selected();
                match selected.map(|row| data.functions.get(row)) {
                    Some(Some(row)) => self.open_detail(row.id, row.via),
                    Some(None) => self.say("only the base has called it".into()),
                    None => {}
                }
            }
            Screen::Tree => self.tree.toggle(data.tree(self.tree.direction)),
            Screen::Flame => self.flame.zoom_in(data.tree(self.flame.direction)),
            Screen::Timeline => match self.event().and_then(|crossing| data.cell(crossing.cell)) {
                Some(cell) => self.open_detail(cell.function, cell.via),
                None => self.say("no slow crossing is under the cursor".into()),
            },
            Screen::Advice => {
                let row = self.tables.of[Kind::Advice as usize].selected();
                let function = row.map(|row| crate::units::printable(&data.advice()[row].function));
                // Rows say how a function is reached, too.
                let names = |row: &&FunctionRow| {
                    let rest = function.as_ref().and_then(|name| row.name.strip_prefix(name.as_str()));
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" ["))
                };
                if let Some((function, via)) = data.functions.iter().find(names).map(|row| (row.id, row.via)) {
                    self.open_detail(function, via);
                } else if row.is_some() {
                    self.say("its function was not called in what is shown".into());
                }
            }
            Screen::Threads | Screen::Callbacks | Screen::Detail => {}
        }
    }

    fn open_detail(&mut self, function: FunctionId, via: Via) {
        self.detail.set_about(Some((function, via)));
        self.aim(Screen::Detail, self.direction_on(Screen::Detail));
    }

    pub(super) fn load_detail(&mut self) {
        self.detail.load(&self.shown);
        self.clamp_detail();
    }

    /// Has no more empty rows seen below Detail's text than there must be.
    pub(super) fn clamp_detail(&mut self) {
        if self.screen == Screen::Detail {
            let last = layout::detail::length(self).saturating_sub(self.detail.scroll.page);
            self.detail.scroll.first = self.detail.scroll.first.min(last);
        }
    }

    /// The name of the function that Detail is about, if it is about any.
    pub(crate) fn about_name(&self) -> Option<String> {
        let (function, _) = self.detail.about?;
        self.whole.profile.functions.get(function.0).map(|function| crate::units::printable(&function.name))
    }

    /// One step back: what was searched for, a zoom, Detail, a span of time.
    fn back(&mut self) {
        let data = Arc::clone(&self.shown);
        if self.stay() {
        } else if self.pattern().is_some() {
            self.set_pattern(None);
        } else if self.screen == Screen::Detail {
            self.go_to(self.detail.opened_from);
        } else if self.screen == Screen::Flame && self.flame.zoom_out(data.tree(self.flame.direction)) {
        } else if self.timeline.mark.take().is_some() {
            self.say("no span is being marked".into());
        } else if self.timeline.span.take().is_some() {
            self.show_other_part();
            let all = self.shown.which_part().is_none();
            self.say(if all { "all of the time is shown again" } else { "the span of time has been left" }.into());
        }
    }

    fn invert(&mut self) {
        match self.screen {
            Screen::Tree | Screen::Flame => self.aim(self.screen, other(self.direction_on(self.screen))),
            _ => self.on_table(|table, sheet| table.invert(sheet)),
        }
    }

    /// The next value of which there is any.
    fn next_value(&mut self) {
        let data = Arc::clone(&self.shown);
        let (direction, value) = match self.screen {
            Screen::Flame => (self.flame.direction, self.flame.value),
            _ => (self.tree.direction, self.tree.value),
        };
        let tree = data.tree(direction);
        let mut others = Value::ALL.iter().cycle().skip(value as usize + 1).take(Value::ALL.len());
        let Some(&next) = others.find(|&&value| tree.whole(value) > 0.0) else { return };
        match self.screen {
            Screen::Flame => self.flame.value = next,
            _ => self.tree.set_value(next, tree),
        }
    }

    /// The slow crossing under the cursor of the timeline.
    pub(crate) fn event(&self) -> Option<&cgoprof_profile::SlowCrossing> {
        self.timeline.event(self.shown.lanes())
    }

    /// The name of what is selected, to be copied.
    fn name(&self) -> Option<String> {
        match self.screen {
            Screen::Tree => {
                let tree = self.shown.tree(self.tree.direction);
                self.tree.selected(tree).map(|node| tree.name(node).to_owned())
            }
            Screen::Flame => {
                let tree = self.shown.tree(self.flame.direction);
                Some(tree.name(self.flame.selected(tree)).to_owned())
            }
            Screen::Timeline => {
                let cell = self.event().and_then(|crossing| self.shown.cell(crossing.cell))?;
                Some(crate::units::printable(&self.shown.profile.functions[cell.function.0].name))
            }
            Screen::Detail => self.detail.shown.as_ref().map(|detail| detail.row.name.clone()),
            _ => self.kind().and_then(|kind| {
                self.sheet(kind, |table, sheet| table.selected().map(|row| sheet.name(row).into_owned()))
            }),
        }
    }
}

/// Of a text it is the first line seen that moves, up to the last that may be.
fn scrolled(first: usize, how: Move, page: usize, last: usize) -> usize {
    let first = match how {
        Move::Up => first.saturating_sub(1),
        Move::Down => first + 1,
        Move::PageUp => first.saturating_sub(page),
        Move::PageDown => first + page,
        Move::Home => 0,
        Move::End => last,
        Move::Left | Move::Right => first,
    };
    first.min(last)
}

fn other(direction: Direction) -> Direction {
    match direction {
        Direction::Down => Direction::Up,
        Direction::Up => Direction::Down,
    }
}
