//! C functions.

use std::sync::LazyLock;

use cgoprof_profile::{Function, FunctionId, Profile, Recording, Stats, Via};

use super::cell::Cell;
use super::column::{self, Tone};
use super::crossings::{self, Crossings};
use super::{Row, known};
use crate::analysis::{self, Cpu};
use crate::blocked;
use crate::paths::file_name;
use crate::scheduler;
use crate::units::{percent, printable};

type Column = column::Column<FunctionRow>;

/// A C function, reached in one way.
#[derive(Clone, Debug, Default)]
pub struct FunctionRow {
    /// The function in its profile.
    pub id: FunctionId,
    /// How it is reached.
    pub via: Via,
    /// Its name with the way it is reached, safe to show.
    pub name: String,
    /// Its Go package, safe to show.
    pub package: String,
    /// See `Function::identity`.
    pub identity: (String, String),
    /// Sums.
    pub stats: Stats,
    /// Processor time in C.
    pub cpu: Option<Cpu>,
    /// Crossings by goroutines locked to their thread.
    pub locked_calls: u64,
    /// Threads that called it.
    pub spread: scheduler::Spread,
    /// What it waited in, and for which share of its blocked time.
    pub blocked_in: Vec<(String, f64)>,
}

/// Returns the functions of a profile, the largest total first.
pub fn rows(profile: &Profile) -> Vec<FunctionRow> {
    let (spread, mut blocked_in) = (scheduler::spread(profile), blocked::by_function(profile));
    let rows = analysis::by_function(profile).into_iter().map(|row| FunctionRow {
        id: row.id,
        via: row.via,
        name: printable(&row.function.name) + way(row.via),
        package: printable(&row.function.package),
        identity: (row.function.identity().0.to_owned(), row.function.identity().1.to_owned()),
        stats: row.stats,
        cpu: row.cpu,
        locked_calls: row.locked_calls,
        spread: spread.get(&(row.id, row.via)).copied().unwrap_or_default(),
        blocked_in: blocked_in.remove(&(row.id, row.via)).unwrap_or_default(),
    });
    rows.collect()
}

impl FunctionRow {
    /// Returns a text of the function, which must be one of this profile.
    fn of<'a>(&self, profile: &'a Profile, text: fn(&Function) -> &String) -> &'a str {
        profile.functions.get(self.id.0).map_or("", |function| text(function))
    }
}

impl Crossings for FunctionRow {
    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn cpu(&self) -> Option<Cpu> {
        self.cpu
    }

    fn via(&self) -> Via {
        self.via
    }
}

impl Row for FunctionRow {
    fn columns() -> &'static [Column] {
        static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(columns);
        &COLUMNS
    }
}

fn columns() -> Vec<Column> {
    let names = [
        Column::json("name", |row, profile| Cell::text(row.of(profile, |function| &function.name))),
        Column::json("package", |row, profile| Cell::text(row.of(profile, |function| &function.package))),
        Column::json("library", |row, profile| {
            Cell::optional_text(known(row.of(profile, |function| &function.library)))
        }),
        Column::json("symbol", |row, profile| Cell::optional_text(known(row.of(profile, |function| &function.symbol)))),
        Column::json("via", |row, _| Cell::text(via_name(row.via))),
        Column::name("function", "C FUNCTION", |row, _| Cell::text(&row.name))
            .not_in_json()
            .not_in_report()
            .on_screen(24, 0),
        Column::name("function_of_library", "C FUNCTION", |row, profile| Cell::text(with_library(row, profile)))
            .not_in_json(),
    ];
    let threads = [
        Column::json("locked_calls", |row, _| Cell::Count(Some(row.locked_calls))).known(Recording::counted),
        Column::number("threads", "THREADS", |row, _| Cell::Count(Some(row.spread.threads)))
            .known(|recording| recording.scheduler.migrations)
            .not_in_report()
            .on_screen(8, 7),
        Column::json("unlocked_threads", |row, _| Cell::Count(Some(row.spread.unlocked_threads)))
            .known(|recording| recording.scheduler.migrations),
        Column::name("blocked_in", "BLOCKED IN", |row, _| {
            Cell::OptionalText(blocked_in(&row.blocked_in).map(Into::into))
        })
        .known(|recording| recording.off_cpu)
        .not_in_json(),
        Column::name("go_package", "GO PACKAGE", |row, _| Cell::text(&row.package))
            .not_in_json()
            .on_screen(12, 11)
            .tone(Tone::Faint),
    ];
    names.into_iter().chain(crossings::columns()).chain(threads).collect()
}

/// Shares from this on are shown, and at most so many.
const LEAST_SHARE: f64 = 0.05;
const MOST_SHARES: usize = 3;

/// `futex 80.0 %, fsync 12.0 %`.
fn blocked_in(shares: &[(String, f64)]) -> Option<String> {
    let shown = shares.iter().filter(|(_, share)| *share >= LEAST_SHARE).take(MOST_SHARES);
    let shown: Vec<String> = shown.map(|(call, share)| format!("{} {}", printable(call), percent(*share))).collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

/// Name in JSON of the way in which a function is reached.
pub(crate) fn via_name(via: Via) -> &'static str {
    match via {
        Via::Cgocall => "cgocall",
        Via::Runtime => "runtime",
        Via::Direct => "direct",
    }
}

/// How a function is reached, where that is not by cgocall.
pub(crate) fn way(via: Via) -> &'static str {
    match via {
        Via::Cgocall => "",
        Via::Runtime => " [runtime's own]",
        Via::Direct => " [direct]",
    }
}

/// A name with the way it is reached and its library.
fn with_library(row: &FunctionRow, profile: &Profile) -> String {
    let Some(function) = profile.functions.get(row.id.0) else { return row.name.clone() };
    let mut name = function.name.clone();
    let library = known(file_name(&function.library)).map(|library| format!(" [{library}]"));
    for part in [known(way(row.via)), library.as_deref()].into_iter().flatten() {
        name.extend([" ", part]);
    }
    name
}
