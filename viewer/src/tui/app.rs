//! The state of it all: what comes in changes it, views draw it. Pure but for the files of sources.

use std::sync::Arc;

use cgoprof_profile::{Goroutine, Lock, Profile};
use ratatui::layout::Size;

use super::data::Data;
use super::data::direction::Direction;
use super::effect::Effect;
use super::layout::areas::{ABOVE_LANES, Areas, BELOW, LANE_NAME};
use super::palette::{Colours, Palette};
use super::pattern::Pattern;
use super::screen::Screen;
use super::state::background::Background;
use super::state::detail::DetailView;
use super::state::flame::FlameView;
use super::state::outbox::{Leaving, Outbox};
use super::state::overlay::Overlay;
use super::state::sources::Files;
use super::state::table::Table;
use super::state::tables::{Kind, Tables};
use super::state::timeline::TimelineView;
use super::state::tree::TreeView;
use super::state::watched::Live;
use super::tables::functions::{self, Functions};
use super::tables::{Listed, Sheet};
use super::update::Update;
use crate::tables::advice::AdviceRow;
use crate::tables::callbacks::CallbackRow;
use crate::tables::functions::FunctionRow;
use crate::tables::threads::ThreadRow;
use crate::value::Value;

/// The screens with all that they know.
pub struct App {
    /// What is looked at.
    pub(crate) title: String,
    /// All of it.
    pub(crate) whole: Arc<Data>,
    /// What is shown of that: all, or a span of time, or what came lately.
    pub(crate) shown: Arc<Data>,
    pub(crate) base: Option<Base>,
    pub(crate) live: Option<Live>,
    pub(crate) palette: Palette,
    pub(crate) size: Size,
    pub(crate) screen: Screen,
    pub(crate) tables: Tables,
    pub(crate) detail: DetailView,
    pub(crate) tree: TreeView,
    pub(crate) flame: FlameView,
    pub(crate) timeline: TimelineView,
    /// What is searched for where nothing is filtered.
    pub(crate) search: Option<Pattern>,
    pub(crate) overlay: Overlay,
    /// Values to begin with have been chosen.
    pub(super) fitted: bool,
    pub(super) background: Background,
    pub(super) outbox: Outbox,
}

/// A recording that is compared with.
pub(crate) struct Base {
    pub(crate) name: String,
    pub(super) data: Arc<Data>,
    /// Functions that only it has, with nothing in them.
    gone: Vec<FunctionRow>,
}

impl App {
    /// On a recording.
    pub fn new(title: String, profile: Profile, colours: Colours, files: Box<dyn Files + Send>) -> App {
        App::on_data(title, Arc::new(Data::new(Arc::new(profile))), colours, files)
    }

    /// On a program that is watched: more will come.
    pub fn watching(title: String, first: Update, colours: Colours, files: Box<dyn Files + Send>) -> App {
        let mut app = App::on_data(title, Arc::clone(&first.data), colours, files);
        let mut live = Live::default();
        live.history.add(&first);
        app.live = Some(live);
        app
    }

    fn on_data(title: String, whole: Arc<Data>, colours: Colours, files: Box<dyn Files + Send>) -> App {
        let mut app = App {
            title,
            shown: Arc::clone(&whole),
            whole,
            base: None,
            live: None,
            palette: Palette { colours },
            size: Size::default(),
            screen: Screen::default(),
            tables: Tables::default(),
            detail: DetailView::new(files),
            tree: TreeView::default(),
            flame: FlameView::default(),
            timeline: TimelineView::default(),
            search: None,
            overlay: Overlay::default(),
            fitted: false,
            background: Background::default(),
            outbox: Outbox::default(),
        };
        app.fit_values();
        app.refresh();
        app
    }

    /// Compares with another recording.
    pub fn with_base(mut self, name: String, profile: Profile) -> App {
        self.base = Some(Base { name, data: Arc::new(Data::new(Arc::new(profile))), gone: Vec::new() });
        self.find_gone();
        self.refresh();
        self
    }

    /// What is to be done outside, since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.outbox.effects)
    }

    /// Whether the screens are to be left now.
    pub fn leaves(&self) -> bool {
        match self.outbox.leaving {
            Leaving::No => false,
            Leaving::WhenWritten => !self.background.is_file_coming(),
            Leaving::Now => true,
        }
    }

    /// Says what has failed; who was about to leave will see it.
    pub fn fail(&mut self, why: String) {
        if self.outbox.leaving == Leaving::WhenWritten {
            self.outbox.leaving = Leaving::No;
        }
        self.say(why);
    }

    /// Says something below until the next key.
    pub fn say(&mut self, message: String) {
        self.overlay.message = Some(message);
    }

    /// All that has been recorded so far.
    pub fn profile(&self) -> &Profile {
        let newest = self.live.as_ref().and_then(|live| live.newest.as_ref());
        &newest.unwrap_or(&self.whole).profile
    }

    /// The terminal has this size.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
        let body = Areas::of(size).body;
        let rows = usize::from(body.height);
        self.tables.resize(rows);
        self.tree.scroll = self.tree.scroll.with_page(rows.saturating_sub(1), self.tree.rows.len());
        self.detail.scroll.page = rows;
        self.clamp_detail();
        let lanes = rows.saturating_sub(usize::from(ABOVE_LANES + BELOW));
        self.timeline.columns = body.width.saturating_sub(LANE_NAME);
        self.timeline.scroll.page = lanes;
        if matches!(self.screen, Screen::Flame | Screen::Timeline) {
            self.refresh();
        }
    }

    /// Starts with a value that there is.
    pub(super) fn fit_values(&mut self) {
        let totals = &self.shown.totals;
        let anything = totals.crossings > 0 || !self.shown.profile.samples.is_empty();
        if self.fitted || !anything {
            return;
        }
        self.fitted = true;
        let value = match (totals.total > 0.0, totals.crossings > 0) {
            (true, _) => Value::Total,
            (false, true) => Value::Calls,
            (false, false) if !self.shown.profile.samples.is_empty() => Value::Cpu,
            (false, false) => Value::Total,
        };
        (self.tree.value, self.flame.value) = (value, value);
        self.tables.of[Kind::Functions as usize].sort = functions::column(match value {
            Value::Cpu => "cpu_in_c",
            Value::Calls => "calls",
            _ => "total",
        });
    }

    /// What it is compared with: a part can't be compared with a whole.
    pub(crate) fn compared(&self) -> Option<&Data> {
        self.compared_with(&self.shown)
    }

    pub(super) fn compared_with(&self, data: &Data) -> Option<&Data> {
        compared(data, self.base.as_ref()).map(|base| &*base.data)
    }

    /// From where the tree on a screen grows.
    pub(super) fn direction_on(&self, screen: Screen) -> Direction {
        if screen == Screen::Flame { self.flame.direction } else { self.tree.direction }
    }

    /// Looks which functions are gone since the base.
    pub(super) fn find_gone(&mut self) {
        let gone = self.compared().map_or_else(Vec::new, |base| base.functions_without(&self.shown));
        if let Some(base) = &mut self.base {
            base.gone = gone;
        }
    }

    /// How long the recording is that it is compared with, in nanoseconds.
    pub(crate) fn base_duration(&self) -> Option<f64> {
        self.compared().map(|base| base.totals.duration)
    }

    /// Puts what the screen shows in order anew.
    pub(super) fn refresh(&mut self) {
        match self.screen {
            Screen::Tree => {
                let data = Arc::clone(&self.shown);
                self.tree.refresh(data.tree(self.tree.direction));
            }
            Screen::Timeline => {
                let lanes = Arc::clone(self.shown.lanes());
                self.timeline.scroll.show(lanes.lanes.len());
            }
            Screen::Detail => self.load_detail(),
            Screen::Flame => self.show_selected_frame(),
            _ => self.on_table(|table, sheet| table.refresh(sheet)),
        }
    }

    /// The table that the screen shows, if it is one.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.tables.on(self.screen)
    }

    /// Does something with a table and what stands in it.
    pub(crate) fn on<T>(&mut self, kind: Kind, act: impl FnOnce(&mut Table, &dyn Sheet) -> T) -> T {
        let sheet = sheet(kind, &self.shown, self.live.as_ref(), self.base.as_ref());
        act(&mut self.tables.of[kind as usize], &*sheet)
    }

    pub(super) fn on_table(&mut self, act: impl FnOnce(&mut Table, &dyn Sheet)) {
        if let Some(kind) = self.kind() {
            self.on(kind, act);
        }
    }

    /// What stands in the table of a kind, to look at.
    pub(crate) fn sheet<T>(&self, kind: Kind, look: impl FnOnce(&Table, &dyn Sheet) -> T) -> T {
        let sheet = sheet(kind, &self.shown, self.live.as_ref(), self.base.as_ref());
        look(&self.tables.of[kind as usize], &*sheet)
    }
}

/// Returns a base that data is compared with: a part can't be compared with a whole.
fn compared<'a>(data: &Data, base: Option<&'a Base>) -> Option<&'a Base> {
    base.filter(|_| data.which_part().is_none())
}

/// Returns what stands in the table of a kind.
fn sheet<'a>(kind: Kind, data: &'a Data, live: Option<&'a Live>, base: Option<&'a Base>) -> Box<dyn Sheet + 'a> {
    match kind {
        Kind::Functions => {
            let base = compared(data, base);
            // A span is long gone, and what has ended calls nothing any more.
            let live = live.filter(|live| live.ended.is_none() && data.span().is_none());
            let gone = base.map_or(&[] as &[_], |base| &base.gone);
            let (rates, base) = (live.map(|live| &live.rates), base.map(|base| &*base.data));
            Box::new(Functions { data, rates, base, gone })
        }
        Kind::Threads => Box::new(Listed::<ThreadRow>::new(data)),
        Kind::Goroutines => Box::new(Listed::<Goroutine>::new(data)),
        Kind::Locks => Box::new(Listed::<Lock>::new(data)),
        Kind::Callbacks => Box::new(Listed::<CallbackRow>::new(data)),
        Kind::Advice => Box::new(Listed::<AdviceRow>::new(data)),
    }
}
