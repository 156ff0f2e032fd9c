//! A profile made ready for looking at: sums, trees and lanes, each made once.

pub(crate) mod change;
pub(crate) mod direction;
pub(crate) mod lanes;
mod matches;
mod paths;
pub(crate) mod profile_diff;
pub(crate) mod sites;
pub(crate) mod span;
pub(crate) mod tree;
mod tree_builder;
mod tree_search;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use cgoprof_profile::{Profile, Stats, Via};

use crate::analysis;
use crate::tables::advice::{self, AdviceRow};
use crate::tables::callbacks::{self, CallbackRow};
use crate::tables::functions::{self, FunctionRow};
use crate::tables::threads::{self, ThreadRow};
use direction::Direction;
use lanes::Lanes;
use sites::Sites;
use tree::Tree;

/// A profile with all that screens show of it.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) profile: Arc<Profile>,
    /// What it is a part of.
    part_of: Option<(Part, Arc<Data>)>,
    pub(crate) functions: Vec<FunctionRow>,
    pub(crate) totals: Totals,
    trees: [OnceLock<Tree>; 2],
    lanes: OnceLock<Arc<Lanes>>,
    sites: OnceLock<Sites>,
    cells: OnceLock<HashMap<u64, usize>>,
    threads: OnceLock<Vec<ThreadRow>>,
    callbacks: OnceLock<(Vec<CallbackRow>, f64)>,
    advice: OnceLock<Vec<AdviceRow>>,
    by_name: OnceLock<HashMap<FunctionName, usize>>,
}

/// What takes long to make, and is made when it is first needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    Tree(Direction),
    Lanes,
    /// Cells by their numbers.
    Cells,
    Sites,
    Threads,
    Callbacks,
    Advice,
}

/// Which part of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// What the timeline tells of a span of time, in nanoseconds of the recording: less than was recorded.
    Span(Range<u64>),
    /// What came lately.
    Last,
    /// What came since somebody asked for that.
    SinceZero,
}

/// A C function's name, package and way.
type FunctionName = (String, String, Via);

/// Sums over all crossings that `runtime.NumCgoCall` counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) crossings: u64,
    pub(crate) timed: u64,
    /// Without callbacks, so that nothing is counted twice.
    pub(crate) total: f64,
    pub(crate) total_error: f64,
    pub(crate) c: f64,
    pub(crate) overhead: f64,
    /// Processor time in C, of all functions.
    pub(crate) cpu: f64,
    pub(crate) p_lost: u64,
    pub(crate) callbacks: u64,
    pub(crate) duration: f64,
}

impl Data {
    pub(crate) fn new(profile: Arc<Profile>) -> Data {
        let (stats, _) = analysis::totals(&profile);
        let functions = functions::rows(&profile);
        let cpu = functions.iter().filter_map(|row| row.cpu).map(|cpu| cpu.nanos).sum();
        Data {
            totals: Totals { cpu, ..Totals::new(&stats, &profile) },
            functions,
            trees: [OnceLock::new(), OnceLock::new()],
            lanes: OnceLock::new(),
            sites: OnceLock::new(),
            cells: OnceLock::new(),
            threads: OnceLock::new(),
            callbacks: OnceLock::new(),
            advice: OnceLock::new(),
            by_name: OnceLock::new(),
            part_of: None,
            profile,
        }
    }

    /// A recording as it goes on.
    pub(crate) fn after(before: &Data, profile: Profile) -> Data {
        let same = Arc::ptr_eq(&profile.timeline, &before.profile.timeline);
        let data = Data::new(Arc::new(profile));
        if let Some(lanes) = before.lanes.get().filter(|_| same) {
            let _ = data.lanes.set(Arc::clone(lanes));
        }
        data
    }

    /// A part of a recording, on the timeline of the whole.
    pub(crate) fn part(part: Part, profile: Profile, whole: &Arc<Data>) -> Data {
        Data { part_of: Some((part, Arc::clone(whole))), ..Data::new(Arc::new(profile)) }
    }

    /// Which part of a recording it is, if it is not all of it.
    pub(crate) fn which_part(&self) -> Option<&Part> {
        self.part_of.as_ref().map(|(part, _)| part)
    }

    /// The span of time, if it is no more than that.
    pub(crate) fn span(&self) -> Option<&Range<u64>> {
        match self.which_part() {
            Some(Part::Span(span)) => Some(span),
            _ => None,
        }
    }

    /// Said in place of what a span of time does not tell.
    pub(crate) fn not_in_span(&self) -> Option<String> {
        self.span().map(|_| "not known of a span of time; Esc shows the whole recording".into())
    }

    /// Makes everything that is made on demand, so that no key has to wait for it; what is looked at first comes first.
    pub(crate) fn prepare(&self) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                self.make(Section::Tree(Direction::Down));
                self.make(Section::Lanes);
            });
            for section in [Section::Cells, Section::Threads, Section::Sites, Section::Callbacks, Section::Advice] {
                self.make(section);
            }
            self.make(Section::Tree(Direction::Up));
        });
    }

    /// Whether a section has been made.
    pub(crate) fn has(&self, section: Section) -> bool {
        match section {
            Section::Tree(direction) => self.trees[direction as usize].get().is_some(),
            Section::Lanes => self.whole().lanes.get().is_some(),
            Section::Cells => self.cells.get().is_some(),
            Section::Sites => self.sites.get().is_some(),
            Section::Threads => self.threads.get().is_some(),
            Section::Callbacks => self.callbacks.get().is_some(),
            Section::Advice => self.advice.get().is_some(),
        }
    }

    /// Makes a section, if it has not been made.
    pub(crate) fn make(&self, section: Section) {
        match section {
            Section::Tree(direction) => {
                self.tree(direction);
            }
            Section::Lanes => {
                self.lanes();
            }
            Section::Cells => {
                self.cell_index();
            }
            Section::Sites => {
                self.sites();
            }
            Section::Threads => {
                self.threads();
            }
            Section::Callbacks => {
                self.callbacks();
            }
            Section::Advice => {
                self.advice();
            }
        }
    }

    pub(crate) fn threads(&self) -> &[ThreadRow] {
        self.threads.get_or_init(|| threads::rows(&self.profile))
    }

    /// The callbacks, and the total of all.
    pub(crate) fn callbacks(&self) -> &(Vec<CallbackRow>, f64) {
        self.callbacks.get_or_init(|| {
            let total = |callback| callbacks::total(callback).value;
            (callbacks::rows(&self.profile), self.profile.callbacks.iter().map(total).sum())
        })
    }

    pub(crate) fn advice(&self) -> &[AdviceRow] {
        self.advice.get_or_init(|| match self.span() {
            Some(_) => Vec::new(),
            None => advice::rows(&self.profile),
        })
    }

    /// The same function of another recording.
    pub(crate) fn same_function(&self, row: &FunctionRow) -> Option<&FunctionRow> {
        // Libraries may have functions of one name and package: these are told apart by what they are shown as.
        let shown = |row: &FunctionRow| (row.name.clone(), row.package.clone(), row.via);
        let identity = |row: &FunctionRow| (row.identity.0.clone(), row.identity.1.clone(), row.via);
        let index = || {
            let rows = || self.functions.iter().enumerate();
            let by_identity = rows().map(|(at, row)| (identity(row), at));
            by_identity.chain(rows().map(|(at, row)| (shown(row), at))).collect()
        };
        let by_name = self.by_name.get_or_init(index);
        by_name.get(&shown(row)).or_else(|| by_name.get(&identity(row))).map(|&at| &self.functions[at])
    }

    /// Functions that another recording has not, with nothing in them.
    pub(crate) fn functions_without(&self, other: &Data) -> Vec<FunctionRow> {
        let gone = self.functions.iter().filter(|row| other.same_function(row).is_none());
        let nothing = |row: &FunctionRow| FunctionRow {
            id: row.id,
            via: row.via,
            name: row.name.clone(),
            package: row.package.clone(),
            identity: row.identity.clone(),
            ..FunctionRow::default()
        };
        gone.map(nothing).collect()
    }

    pub(crate) fn tree(&self, direction: Direction) -> &Tree {
        self.trees[direction as usize].get_or_init(|| Tree::new(&self.profile, direction))
    }

    pub(crate) fn lanes(&self) -> &Arc<Lanes> {
        let data = self.whole();
        data.lanes.get_or_init(|| Arc::new(Lanes::new(&data.profile)))
    }

    /// What it is a part of; itself if it is all.
    pub(crate) fn whole(&self) -> &Data {
        self.part_of.as_ref().map_or(self, |(_, whole)| whole)
    }

    pub(crate) fn sites(&self) -> &Sites {
        self.sites.get_or_init(|| Sites::new(&self.profile))
    }

    /// The place of a cell in the profile, by its number.
    pub(crate) fn cell(&self, id: u64) -> Option<&cgoprof_profile::Cell> {
        self.cell_index().get(&id).map(|&at| &self.profile.cells[at])
    }

    fn cell_index(&self) -> &HashMap<u64, usize> {
        self.cells.get_or_init(|| self.profile.cells.iter().enumerate().map(|(at, cell)| (cell.id, at)).collect())
    }
}

impl Totals {
    fn new(stats: &Stats, profile: &Profile) -> Totals {
        Totals {
            crossings: stats.calls,
            timed: stats.timed,
            total: stats.total_self(),
            total_error: stats.total().standard_error(),
            c: stats.c_self(),
            overhead: stats.overhead().sum,
            cpu: 0.0,
            p_lost: stats.p_lost,
            callbacks: stats.callbacks,
            duration: profile.recording.duration_ns as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Cell, Function, FunctionId, Kind};

    use super::*;

    /// A profile of C functions: shown names, packages.
    fn profile(functions: &[(&str, &str)]) -> Data {
        let function = |&(name, package): &(&str, &str)| Function {
            name: name.into(),
            kind: Kind::C,
            c_name: "free".into(),
            package: package.into(),
            ..Function::default()
        };
        let cell = |index| Cell {
            id: index as u64,
            function: FunctionId(index),
            stats: Stats { calls: index as u64 + 1, ..Stats::default() },
            ..Cell::default()
        };
        Data::new(Arc::new(Profile {
            functions: functions.iter().map(function).collect(),
            cells: (0..functions.len()).map(cell).collect(),
            ..Profile::default()
        }))
    }

    /// `free` is shown as `free (main)` as soon as a second package frees.
    #[test]
    fn a_function_is_found_in_the_base_whatever_it_is_shown_as() {
        let base = profile(&[("free", "main")]);
        let now = profile(&[("free (other)", "other"), ("free (main)", "main")]);
        let found = |package: &str| {
            let row = now.functions.iter().find(|row| row.package == package).expect("its row");
            base.same_function(row).map(|same| same.stats.calls)
        };
        assert_eq!((found("main"), found("other")), (Some(1), None));
        assert_eq!(base.functions_without(&now).len(), 0);
    }
}
