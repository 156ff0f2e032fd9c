//! What takes long is made elsewhere than where it is drawn, and shown once it is there.

use std::sync::Arc;
use std::sync::mpsc::channel;

use super::app::App;
use super::data::direction::Direction;
use super::data::{Data, Section};
use super::effect::{Effect, NewFile};
use super::screen::Screen;
use super::state::background::{Need, Work};

impl App {
    /// Makes what screens need before anybody asks for them.
    pub fn preparation(&self) -> impl FnOnce() + Send + use<> {
        let data = Arc::clone(&self.whole);
        let base = self.base.as_ref().map(|base| Arc::clone(&base.data));
        move || {
            data.prepare();
            if let Some(base) = base {
                base.tree(Direction::Down);
                base.tree(Direction::Up);
            }
        }
    }

    /// What is to be done on another thread, since the last call. Once it is done, [`App::settle`] shows what came of it.
    pub fn take_work(&mut self) -> Option<Work> {
        let job = self.background.job.take().or_else(|| self.background.file.take());
        let retired = std::mem::take(&mut self.background.retired);
        (job.is_some() || !retired.is_empty()).then_some(Work { job, retired })
    }

    /// Shows what has been made since the last call. Returns whether anything looks different now.
    pub fn settle(&mut self) -> bool {
        let arrived = self.background.coming.as_ref().and_then(|coming| coming.try_recv().ok());
        let changed = arrived.is_some_and(|data| self.take_in(data));
        let written = self.write_file();
        self.enter_awaited() || changed || written
    }

    /// Has a file made, to be written.
    pub(super) fn make_file(&mut self, made: impl FnOnce() -> Result<NewFile, String> + Send + 'static) {
        if self.background.is_file_coming() {
            return self.say("another file is still being made".into());
        }
        let (done, coming) = channel();
        self.background.file_coming = Some(coming);
        self.background.file = Some(Box::new(move || {
            let _ = done.send(made());
        }));
        self.say("the file is being made".into());
    }

    fn write_file(&mut self) -> bool {
        let made = self.background.file_coming.as_ref().and_then(|coming| coming.try_recv().ok());
        let Some(made) = made else { return false };
        self.background.file_coming = None;
        match made {
            Ok(file) => self.outbox.effects.push(Effect::Write(file)),
            Err(why) => self.fail(why),
        }
        true
    }

    fn take_in(&mut self, data: Arc<Data>) -> bool {
        self.background.coming = None;
        if std::mem::take(&mut self.background.unwanted) {
            self.retire(data);
            if std::mem::take(&mut self.background.outdated) {
                self.show_part();
            } else if !self.is_ready(&self.shown) {
                let shown = Arc::clone(&self.shown);
                self.make(move || shown);
            }
            return false;
        }
        // Another screen may have been asked for meanwhile.
        if !self.is_ready(&data) {
            self.make(move || data);
            return false;
        }
        let differs = !Arc::ptr_eq(&data, &self.shown);
        if differs {
            self.show(data);
        }
        let entered = self.enter_awaited();
        if std::mem::take(&mut self.background.outdated) {
            self.show_part();
        }
        differs || entered
    }

    fn enter_awaited(&mut self) -> bool {
        let busy = self.overlay.prompt.is_some() || self.overlay.help.is_some() || self.timeline.dragging;
        let ready = self.background.awaited.filter(|need| !busy && self.is_made(&self.shown, *need));
        if let Some((screen, direction)) = ready {
            self.overlay.message = None;
            self.aim(screen, direction);
        }
        ready.is_some()
    }

    /// Shows a screen, at once if all that it needs is made.
    pub(super) fn aim(&mut self, screen: Screen, direction: Direction) {
        let need = (screen, direction);
        if self.is_made(&self.shown, need) {
            self.background.awaited = None;
            self.enter(screen, direction);
            return;
        }
        self.background.awaited = Some(need);
        self.say(format!("{} comes as soon as it is made ready", screen.name()));
        if self.background.coming.is_none() {
            let shown = Arc::clone(&self.shown);
            self.make(move || shown);
        }
    }

    /// No other screen is waited for any more. Returns whether one was.
    pub(super) fn stay(&mut self) -> bool {
        self.background.awaited.take().is_some()
    }

    /// Has data made, with what the screens need of it.
    pub(super) fn make(&mut self, made: impl FnOnce() -> Arc<Data> + Send + 'static) {
        let (needs, (done, coming)) = (self.needs(), channel());
        let base = self.base.as_ref().map(|base| Arc::clone(&base.data));
        self.background.coming = Some(coming);
        self.background.job = Some(Box::new(move || {
            let data = made();
            for section in needs.into_iter().flat_map(sections) {
                data.make(section);
                if let Some(base) = base.as_ref().filter(|_| data.which_part().is_none() && is_tree(section)) {
                    base.make(section);
                }
            }
            let _ = done.send(data);
        }));
    }

    /// Whether something is being made. What is to be shown will be asked for again when it is.
    pub(super) fn is_making(&mut self) -> bool {
        self.background.outdated |= self.background.coming.is_some();
        self.background.outdated
    }

    /// Nobody wants any more what is being made. What has begun goes on: were another begun beside it, there could soon be
    /// many.
    pub(super) fn stop_making(&mut self) {
        if self.background.job.take().is_some() {
            self.background.coming = None;
        }
        self.background.unwanted = self.background.coming.is_some();
        self.background.outdated = false;
    }

    /// Gives data back elsewhere.
    pub(super) fn retire(&mut self, data: Arc<Data>) {
        self.background.retired.push(data);
    }

    fn needs(&self) -> Vec<Need> {
        let seen = (self.screen, self.direction_on(self.screen));
        [Some(seen), self.background.awaited].into_iter().flatten().collect()
    }

    /// Whether the screens need nothing more of some data.
    pub(super) fn is_ready(&self, data: &Data) -> bool {
        self.needs().into_iter().all(|need| self.is_made(data, need))
    }

    fn is_made(&self, data: &Data, need: Need) -> bool {
        sections(need).into_iter().all(|section| {
            let base = self.compared_with(data).filter(|_| is_tree(section));
            data.has(section) && base.is_none_or(|base| base.has(section))
        })
    }
}

/// What a screen shows of the data.
fn sections((screen, direction): Need) -> Vec<Section> {
    match screen {
        Screen::Functions => vec![],
        Screen::Callbacks => vec![Section::Callbacks],
        Screen::Detail => vec![Section::Sites, Section::Advice],
        Screen::Tree | Screen::Flame => vec![Section::Tree(direction)],
        Screen::Timeline => vec![Section::Lanes, Section::Cells],
        Screen::Threads => vec![Section::Threads],
        Screen::Advice => vec![Section::Advice],
    }
}

/// Of a base, screens show no more than functions and trees.
fn is_tree(section: Section) -> bool {
    matches!(section, Section::Tree(_))
}
