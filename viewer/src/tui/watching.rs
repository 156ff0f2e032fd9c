//! A program that is watched: what comes of it, and which part of that is shown.

use std::sync::Arc;
use std::time::Duration;

use cgoprof_profile::Profile;

use super::app::App;
use super::data::{Data, Part, profile_diff, span};
use super::screen::Screen;
use super::state::tables::Kind;
use super::update::{SECOND, Update};

/// Seconds that a window shows.
const WINDOWS: [Option<u64>; 5] = [None, Some(5), Some(10), Some(30), Some(60)];

impl App {
    /// What a program that is watched has done so far.
    pub fn update(&mut self, update: Update) {
        let Some(live) = &mut self.live else { return };
        live.history.add(&update);
        let before = live.newest.replace(update.data);
        let frozen = live.frozen;
        before.into_iter().for_each(|data| self.retire(data));
        if !frozen {
            self.take_newest();
            self.show_part();
        }
    }

    /// So much time has passed since the last update. Returns whether anything looks different now.
    pub fn grow_old(&mut self, age: Duration) -> bool {
        let Some(live) = self.live.as_mut().filter(|live| live.ended.is_none()) else { return false };
        let before = std::mem::replace(&mut live.age, age.as_secs());
        before != live.age
    }

    /// Whole seconds since what is shown was so.
    pub(crate) fn age(&self) -> u64 {
        let until = |data: &Data| data.whole().profile.recording.duration_ns;
        let behind = until(&self.whole).saturating_sub(until(&self.shown)) / SECOND;
        self.live.as_ref().map_or(0, |live| live.age) + behind
    }

    /// The program has ended, or the recording of it.
    pub fn end(&mut self, why: String) {
        if let Some(live) = &mut self.live {
            live.ended = Some(why);
        }
    }

    fn take_newest(&mut self) {
        if let Some(live) = &mut self.live
            && let Some(newest) = live.newest.take()
        {
            live.next_rates = live.history.rates().clone();
            let before = std::mem::replace(&mut self.whole, newest);
            self.retire(before);
        }
    }

    /// Shows the part of the whole that is to be seen now, when what is being made has been shown.
    pub(super) fn show_part(&mut self) {
        if self.is_making() {
            return;
        }
        let whole = Arc::clone(&self.whole);
        if let Some(span) = self.timeline.span.clone() {
            return self.make(move || {
                let profile = span::within(&whole.profile, whole.lanes(), &span);
                Arc::new(Data::part(Part::Span(span), profile, &whole))
            });
        }
        match self.since() {
            Some((part, then)) => self.make(move || {
                let profile = profile_diff::since(&whole.profile, &then);
                Arc::new(Data::part(part, profile, &whole))
            }),
            None if self.is_ready(&whole) => self.show(whole),
            None => self.make(move || whole),
        }
    }

    /// Another part of the whole is to be seen now. All of it need not wait for what has begun to be made.
    pub(super) fn show_other_part(&mut self) {
        self.stop_making();
        let all = self.timeline.span.is_none() && self.since().is_none();
        if all && self.is_ready(&self.whole) {
            self.show(Arc::clone(&self.whole));
        } else {
            self.show_part();
        }
    }

    /// The moment since which it is to be seen, if not from the beginning on.
    fn since(&self) -> Option<(Part, Arc<Profile>)> {
        let live = self.live.as_ref()?;
        let (part, then) = match live.window {
            Some(seconds) => (Part::Last, live.history.ago(seconds, self.whole.profile.recording.duration_ns)?),
            None => (Part::SinceZero, live.zero.as_ref()?),
        };
        Some((part, Arc::clone(then)))
    }

    /// Shows other data; what is selected stays so.
    pub(super) fn show(&mut self, data: Arc<Data>) {
        for kind in Kind::ALL {
            self.on(kind, |table, sheet| table.clear(sheet));
        }
        let on_lanes = self.screen == Screen::Timeline;
        let tid = on_lanes.then(|| self.timeline.lane(self.shown.lanes()).map(|lane| lane.tid)).flatten();
        let before = std::mem::replace(&mut self.shown, data);
        if let Some(live) = self.live.as_mut().filter(|_| Arc::ptr_eq(&self.shown.whole().profile, &self.whole.profile))
        {
            live.rates = live.next_rates.clone();
        }
        if self.shown.span().is_some() && before.span() != self.shown.span() {
            self.say("all screens show this span of time; Esc ends that".into());
        }
        self.find_gone();
        if !self.tree.rows.is_empty() {
            self.tree.clear(before.tree(self.tree.direction));
        }
        self.retire(before);
        // The order of lanes is that of their times in C.
        let lane = tid.and_then(|tid| self.shown.lanes().lanes.iter().position(|lane| lane.tid == tid));
        self.timeline.scroll.selected = lane.unwrap_or(self.timeline.scroll.selected);
        self.fit_values();
        self.refresh();
    }

    pub(super) fn freeze(&mut self) {
        let Some(live) = &mut self.live else { return };
        live.frozen = !live.frozen;
        if live.frozen {
            self.say("frozen; recording goes on, f shows it again".into());
        } else {
            self.take_newest();
            self.show_part();
        }
    }

    pub(super) fn reset(&mut self) {
        let Some(live) = &mut self.live else { return };
        let now = live.newest.as_ref().unwrap_or(&self.whole);
        (live.zero, live.window) = (Some(Arc::clone(&now.profile)), None);
        live.frozen = false;
        self.timeline.span = None;
        self.take_newest();
        self.show_other_part();
        self.say("counting from now on; t shows all again".into());
    }

    pub(super) fn next_window(&mut self) {
        let Some(live) = &mut self.live else { return };
        let at = WINDOWS.iter().position(|&window| window == live.window).unwrap_or(0);
        // From a zero of one's own, the next is all.
        live.window = if live.zero.take().is_some() { None } else { WINDOWS[(at + 1) % WINDOWS.len()] };
        self.timeline.span = None;
        self.show_other_part();
    }
}
