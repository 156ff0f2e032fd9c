//! The state of it all: what comes in changes it, views draw it. Pure but for the files of sources.

use std::sync::Arc;

use cgoprof_profile::{FunctionId, Goroutine, Lock, Profile, Via};
use ratatui::layout::Size;

use super::data::Data;
use super::data::direction::Direction;
use super::effect::Effect;
use super::geometry::{ABOVE_LANES, ADVICE_TEXT, Areas, BELOW, LANE_NAME};
use super::palette::{Colours, Palette};
use super::pattern::Pattern;
use super::screen::Screen;
use super::state::detail::{Cached, Detail, Files};
use super::state::flame::FlameView;
use super::state::making::Making;
use super::state::prompt::Prompt;
use super::state::scroll::Scroll;
use super::state::table::Table;
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
    /// Functions that only the base has, with nothing in them.
    gone: Vec<FunctionRow>,
    pub(crate) live: Option<Live>,
    pub(crate) palette: Palette,
    pub(crate) size: Size,
    pub(crate) screen: Screen,
    pub(crate) tables: [Table; 6],
    pub(crate) part: Part,
    pub(crate) detail: Option<Detail>,
    /// The function that Detail is about.
    pub(super) about: Option<(FunctionId, Via)>,
    pub(crate) detail_scroll: Scroll,
    /// From where Detail was opened.
    pub(super) opened_from: Screen,
    pub(crate) tree: TreeView,
    pub(crate) flame: FlameView,
    pub(crate) timeline: TimelineView,
    /// What is searched for where nothing is filtered.
    pub(crate) search: Option<Pattern>,
    pub(crate) prompt: Option<Prompt>,
    /// The first line of the help that is seen, while it is.
    pub(crate) help: Option<usize>,
    pub(crate) message: Option<String>,
    pub(super) files: Cached,
    /// Values to begin with have been chosen.
    pub(super) fitted: bool,
    pub(super) making: Making,
    pub(super) effects: Vec<Effect>,
    pub(super) leaving: Leaving,
}

/// Whether somebody has asked to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Leaving {
    #[default]
    No,
    /// What is to be written comes first.
    WhenWritten,
    Now,
}

/// A recording that is compared with.
pub(crate) struct Base {
    pub(crate) name: String,
    pub(super) data: Arc<Data>,
}

/// A table of one of the screens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Functions,
    Threads,
    Goroutines,
    Locks,
    Callbacks,
    Advice,
}

impl Kind {
    pub(super) const ALL: [Kind; 6] =
        [Kind::Functions, Kind::Threads, Kind::Goroutines, Kind::Locks, Kind::Callbacks, Kind::Advice];
}

/// A table of the screen of threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Part {
    #[default]
    Threads,
    Goroutines,
    Locks,
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
        let table = Table::new;
        let mut app = App {
            title,
            shown: Arc::clone(&whole),
            whole,
            base: None,
            gone: Vec::new(),
            live: None,
            palette: Palette { colours },
            size: Size::default(),
            screen: Screen::default(),
            tables: [
                table(functions::column("total")),
                table(None),
                table(None),
                table(None),
                table(None),
                table(None),
            ],
            part: Part::default(),
            detail: None,
            about: None,
            fitted: false,
            detail_scroll: Scroll::default(),
            opened_from: Screen::default(),
            tree: TreeView::default(),
            flame: FlameView::default(),
            timeline: TimelineView::default(),
            search: None,
            prompt: None,
            help: None,
            message: None,
            files: Cached::new(files),
            making: Making::default(),
            effects: Vec::new(),
            leaving: Leaving::default(),
        };
        app.fit_values();
        app.refresh();
        app
    }

    /// Compares with another recording.
    pub fn with_base(mut self, name: String, profile: Profile) -> App {
        self.base = Some(Base { name, data: Arc::new(Data::new(Arc::new(profile))) });
        self.find_gone();
        self.refresh();
        self
    }

    /// What is to be done outside, since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether the screens are to be left now.
    pub fn leaves(&self) -> bool {
        match self.leaving {
            Leaving::No => false,
            Leaving::WhenWritten => !self.making.is_file_coming(),
            Leaving::Now => true,
        }
    }

    /// Says what has failed; who was about to leave will see it.
    pub fn fail(&mut self, why: String) {
        if self.leaving == Leaving::WhenWritten {
            self.leaving = Leaving::No;
        }
        self.say(why);
    }

    /// Says something below until the next key.
    pub fn say(&mut self, message: String) {
        self.message = Some(message);
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
        let lines = [0; 6].map(|_: usize| rows.saturating_sub(1));
        for (kind, (table, mut page)) in Kind::ALL.into_iter().zip(self.tables.iter_mut().zip(lines)) {
            page -= if kind == Kind::Advice { usize::from(ADVICE_TEXT).min(page) } else { 0 };
            page -= if matches!(kind, Kind::Threads | Kind::Goroutines | Kind::Locks) { 1.min(page) } else { 0 };
            table.scroll = table.scroll.with_page(page, table.order.len());
        }
        self.tree.scroll = self.tree.scroll.with_page(rows.saturating_sub(1), self.tree.rows.len());
        self.detail_scroll.page = rows;
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
        self.tables[Kind::Functions as usize].sort = functions::column(match value {
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
        compared(data, self.base.as_ref())
    }

    /// From where the tree on a screen grows.
    pub(super) fn direction_on(&self, screen: Screen) -> Direction {
        if screen == Screen::Flame { self.flame.direction } else { self.tree.direction }
    }

    /// Looks which functions are gone since the base.
    pub(super) fn find_gone(&mut self) {
        self.gone = self.compared().map_or_else(Vec::new, |base| base.functions_without(&self.shown));
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
        match (self.screen, self.part) {
            (Screen::Functions, _) => Some(Kind::Functions),
            (Screen::Threads, Part::Threads) => Some(Kind::Threads),
            (Screen::Threads, Part::Goroutines) => Some(Kind::Goroutines),
            (Screen::Threads, Part::Locks) => Some(Kind::Locks),
            (Screen::Callbacks, _) => Some(Kind::Callbacks),
            (Screen::Advice, _) => Some(Kind::Advice),
            (Screen::Tree | Screen::Flame | Screen::Timeline | Screen::Detail, _) => None,
        }
    }

    /// Does something with a table and what stands in it.
    pub(crate) fn on<T>(&mut self, kind: Kind, act: impl FnOnce(&mut Table, &dyn Sheet) -> T) -> T {
        let table = &mut self.tables[kind as usize];
        let compared = compared(&self.shown, self.base.as_ref()).map(|base| (base, &*self.gone));
        with_sheet(kind, &self.shown, self.live.as_ref(), compared, |sheet| act(table, sheet))
    }

    pub(super) fn on_table(&mut self, act: impl FnOnce(&mut Table, &dyn Sheet)) {
        if let Some(kind) = self.kind() {
            self.on(kind, act);
        }
    }

    /// What stands in the table of a kind, to look at.
    pub(crate) fn sheet<T>(&self, kind: Kind, look: impl FnOnce(&Table, &dyn Sheet) -> T) -> T {
        let table = &self.tables[kind as usize];
        let compared = self.compared().map(|base| (base, &*self.gone));
        with_sheet(kind, &self.shown, self.live.as_ref(), compared, |sheet| look(table, sheet))
    }
}

fn compared<'a>(data: &Data, base: Option<&'a Base>) -> Option<&'a Data> {
    base.filter(|_| data.which_part().is_none()).map(|base| &*base.data)
}

fn with_sheet<T>(
    kind: Kind,
    data: &Data,
    live: Option<&Live>,
    compared: Option<(&Data, &[FunctionRow])>,
    act: impl FnOnce(&dyn Sheet) -> T,
) -> T {
    match kind {
        Kind::Functions => {
            let (base, gone) = compared.map_or((None, &[] as &[_]), |(base, gone)| (Some(base), gone));
            // A span is long gone, and what has ended calls nothing any more.
            let lives = |live: &&Live| live.ended.is_none() && data.span().is_none();
            let rates = live.filter(lives).map(|live| &live.rates);
            act(&Functions { data, rates, base, gone })
        }
        Kind::Threads => act(&Listed::<ThreadRow>::new(data)),
        Kind::Goroutines => act(&Listed::<Goroutine>::new(data)),
        Kind::Locks => act(&Listed::<Lock>::new(data)),
        Kind::Callbacks => act(&Listed::<CallbackRow>::new(data)),
        Kind::Advice => act(&Listed::<AdviceRow>::new(data)),
    }
}
