//! C as samples saw it: its functions, lines and libraries, with the processor time in each, and how long each was blocked.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use cgoprof_profile::{Function, Kind, Location, LocationId, Profile};

use super::cell::Cell;
use super::{Row, column, known};
use crate::analysis::Cpu;
use crate::measured::Measured;
use crate::paths::{file_name, short_path};
use crate::text_width;
use crate::units::printable;
use crate::waits::{self, BlockedTime};

type Column = column::Column<InsideRow>;

/// Columns of a function's name that are shown.
const LONGEST_NAME: usize = 80;

/// What samples in C are grouped by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Functions.
    Function,
    /// Lines of functions.
    Line,
    /// The program and its libraries.
    Library,
}

/// Code of C.
#[derive(Clone, Debug, Default)]
pub struct InsideRow {
    /// The function; none of a library as a whole.
    pub name: Option<String>,
    /// Whether it is code of a file: not that which is not known.
    pub is_code: bool,
    /// Path of its library, empty for the program's own file.
    pub library: String,
    /// Source file, empty where it is unknown.
    pub file: String,
    /// The line in it, 0 where it is unknown or the row is of several.
    pub line: u32,
    /// All of its samples are of places where it is inlined; all of its waits, if it has no samples.
    pub inlined: bool,
    /// Samples that found a thread in it.
    pub own: u64,
    /// Samples that found a thread in it, or in what it had called.
    pub total: u64,
    /// How long it, or what it had called, was blocked, in nanoseconds.
    pub blocked: Measured,
}

/// What makes a row: name, library, file and line, as far as rows are grouped by them.
type Key<'a> = (Option<&'a str>, &'a str, &'a str, u32);

/// Returns the rows of a profile, those with the most samples of their own first, then those blocked longest.
pub fn rows(profile: &Profile, group: Group) -> Vec<InsideRow> {
    rows_of(profile, group, |_| true)
}

/// Does the same for these cells only: their ids, none for C that no crossing has called.
pub(crate) fn rows_of(profile: &Profile, group: Group, chosen: impl Fn(Option<u64>) -> bool) -> Vec<InsideRow> {
    let mut rows = Rows { profile, group, by_key: HashMap::new() };
    for sampled in profile.samples.iter().filter(|sampled| chosen(sampled.cell)) {
        rows.visit(&sampled.stack, |(row, _), frame| {
            row.inlined &= frame.inlined;
            if frame.is_first {
                row.total = row.total.saturating_add(sampled.samples);
            }
            if frame.is_innermost {
                row.own = row.own.saturating_add(sampled.samples);
            }
        });
    }
    for part in waits::parts(profile).into_iter().filter(|part| chosen(Some(part.cell.id))) {
        rows.visit(part.stack.map_or(&part.cell.stack, |wait| &wait.stack), |(row, blocked), frame| {
            if frame.is_first {
                blocked.add(&part);
            }
            // Samples come first: they tell of more places.
            row.inlined &= frame.inlined || row.total > 0;
        });
    }
    let measured = |(row, blocked): (InsideRow, BlockedTime)| InsideRow { blocked: Measured::from(&blocked), ..row };
    let mut rows: Vec<InsideRow> = rows.by_key.into_values().map(measured).collect();
    rows.sort_by(|one, other| {
        let order = other.own.cmp(&one.own).then(other.blocked.value.total_cmp(&one.blocked.value));
        let order = order.then(other.total.cmp(&one.total));
        order.then_with(|| {
            (&one.name, &one.library, &one.file, one.line).cmp(&(&other.name, &other.library, &other.file, other.line))
        })
    });
    rows
}

/// Rows in the making.
struct Rows<'a> {
    profile: &'a Profile,
    group: Group,
    by_key: HashMap<Key<'a>, (InsideRow, BlockedTime)>,
}

/// A frame of a stack that is a row's.
struct RowFrame {
    is_innermost: bool,
    /// Whether the row has no frame further in.
    is_first: bool,
    inlined: bool,
}

impl<'a> Rows<'a> {
    /// Visits the row of each frame of C.
    fn visit(&mut self, stack: &[LocationId], mut add: impl FnMut(&mut (InsideRow, BlockedTime), RowFrame)) {
        let (profile, group) = (self.profile, self.group);
        let mut seen = HashSet::new();
        let locations = stack.iter().map(|&location| &profile.locations[location.0]);
        for (depth, (function, line, inlined)) in locations.flat_map(|location| lines(profile, location)).enumerate() {
            if function.kind != Kind::C || function.thread().is_some() {
                continue;
            }
            let key = key(group, function, line);
            let new = || InsideRow {
                name: key.0.map(str::to_owned),
                is_code: !function.is_unknown_code(),
                library: function.library.clone(),
                file: if group == Group::Library { String::new() } else { function.file.clone() },
                line: key.3,
                inlined: true,
                ..InsideRow::default()
            };
            let row = self.by_key.entry(key).or_insert_with(|| (new(), BlockedTime::default()));
            add(row, RowFrame { is_innermost: depth == 0, is_first: seen.insert(key), inlined });
        }
    }
}

/// The functions at a location with their lines, innermost first, and whether each is inlined in the next.
fn lines<'a>(profile: &'a Profile, location: &'a Location) -> impl Iterator<Item = (&'a Function, u32, bool)> {
    let last = location.lines.len().saturating_sub(1);
    location
        .lines
        .iter()
        .enumerate()
        .map(move |(index, line)| (&profile.functions[line.function.0], line.line, index < last))
}

fn key(group: Group, function: &Function, line: u32) -> Key<'_> {
    match group {
        Group::Function => (Some(&function.name), &function.library, "", 0),
        Group::Line => (Some(&function.name), &function.library, &function.file, line),
        // That is no part of the program.
        Group::Library if function.is_unknown_code() => (Some(&function.name), "", "", 0),
        Group::Library => (None, &function.library, "", 0),
    }
}

impl Row for InsideRow {
    fn columns() -> &'static [Column] {
        static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(columns);
        &COLUMNS
    }
}

fn columns() -> Vec<Column> {
    vec![
        Column::number("self", "SELF", |row, profile| cpu(row.own, profile)).with_error(),
        Column::number("total", "TOTAL", |row, profile| cpu(row.total, profile)),
        Column::number("samples", "SAMPLES", |row, _| Cell::Count(Some(row.own))),
        Column::number("blocked", "BLOCKED", |row, _| Cell::Estimate(Some(row.blocked)))
            .known(|recording| recording.off_cpu)
            .without_zero(),
        Column::json("name", |row, _| Cell::optional_text(row.name.as_deref())),
        Column::name("function", "C FUNCTION", |row, _| {
            let inlined = if row.inlined && row.name.is_some() { "  (inlined)" } else { "" };
            // Names of C++ templates may have thousands of characters.
            let name = row.name.as_ref().map(|name| text_width::start(&printable(name), LONGEST_NAME));
            Cell::text(name.map_or_else(String::new, |name| format!("{name}{inlined}")))
        })
        .not_in_json(),
        Column::json("inlined", |row, _| Cell::Flag(row.name.as_ref().map(|_| row.inlined))),
        Column::json("library", |row, _| Cell::optional_text(known(&row.library))),
        Column::name("in", "IN", |row, _| match row.is_code {
            true => Cell::text(known(file_name(&row.library)).unwrap_or("the program")),
            false => Cell::text(""),
        })
        .not_in_json(),
        Column::json("file", |row, _| Cell::optional_text(known(&row.file))),
        Column::json("line", |row, _| Cell::Number((row.line > 0).then_some(row.line.into()))),
        Column::name("place", "LINE", |row, _| {
            Cell::text(match (row.file.as_str(), row.line) {
                ("", _) => String::new(),
                (file, 0) => short_path(file).to_owned(),
                (file, line) => format!("{}:{line}", short_path(file)),
            })
        })
        .not_in_json(),
    ]
}

fn cpu(samples: u64, profile: &Profile) -> Cell<'static> {
    Cell::Estimate(Cpu::of(samples, profile).map(Measured::from))
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Estimate, FunctionId, Line, SampledStack, Stats, WaitingStack};

    use super::*;

    /// `work` has `sum` inlined and calls itself once; a goroutine calls it.
    fn profile() -> Profile {
        let mut profile = Profile::default();
        let function = |name: &str, kind, file: &str| Function {
            name: name.into(),
            kind,
            file: file.into(),
            ..Function::default()
        };
        profile.functions = vec![
            function("work", Kind::C, "work.c"),
            function("sum", Kind::C, "sum.h"),
            function("main.main", Kind::Go, "main.go"),
        ];
        let line = |function, line| Line { function: FunctionId(function), line };
        let location = |lines: &[Line]| Location { address: 1, lines: lines.to_vec(), ..Location::default() };
        profile.locations =
            vec![location(&[line(1, 5), line(0, 20)]), location(&[line(0, 30)]), location(&[line(2, 7)])];
        let sampled = |stack: &[usize], samples| SampledStack {
            stack: stack.iter().copied().map(LocationId).collect(),
            inside: stack.len() - 1,
            samples,
            ..SampledStack::default()
        };
        profile.samples = vec![sampled(&[0, 1, 2], 10), sampled(&[1, 2], 3), sampled(&[2], 100)];
        profile.recording.sample_period_ns = 1000;
        profile
    }

    fn check(group: Group, expected: &[(&str, u32, u64, u64, bool)]) {
        let rows = rows(&profile(), group);
        let found: Vec<_> = rows
            .iter()
            .map(|row| (row.name.as_deref().unwrap_or("-"), row.line, row.own, row.total, row.inlined))
            .collect();
        assert_eq!(found, expected, "{group:?}");
    }

    #[test]
    fn a_sample_is_in_its_innermost_function_and_once_in_each_that_led_there() {
        check(Group::Function, &[("sum", 0, 10, 10, true), ("work", 0, 3, 13, false)]);
        check(Group::Line, &[("sum", 5, 10, 10, true), ("work", 30, 3, 13, false), ("work", 20, 0, 10, false)]);
        check(Group::Library, &[("-", 0, 13, 13, false)]);
    }

    #[test]
    fn what_waits_is_blocked_and_what_has_called_it() {
        let mut profile = profile();
        let function = |name: &str, kind| Function { name: name.into(), kind, ..Function::default() };
        profile.functions.extend([function("[futex]", Kind::Kernel), function("lock", Kind::C)]);
        for index in [3, 4] {
            let lines = vec![Line { function: FunctionId(index), line: 1 }];
            profile.locations.push(Location { address: index as u64, lines, ..Location::default() });
        }
        let locations = |stack: &[usize]| stack.iter().copied().map(LocationId).collect::<Vec<_>>();
        let stats = Stats { calls: 1, blocked: 60.0, ..Stats::default() };
        profile.cells =
            vec![cgoprof_profile::Cell { id: 7, stack: locations(&[1, 2]), stats, ..cgoprof_profile::Cell::default() }];
        let time = |sum| Estimate { sum, ..Estimate::default() };
        let wait = |stack: &[usize], sum| WaitingStack {
            cell: Some(7),
            stack: locations(stack),
            time: time(sum),
            ..WaitingStack::default()
        };
        profile.waits = vec![wait(&[3, 4, 1, 2], 2.0), wait(&[3, 1, 2], 1.0)];
        let rows = rows(&profile, Group::Function);
        let found: Vec<_> =
            rows.iter().map(|row| (row.name.as_deref().unwrap_or("-"), row.own, row.blocked.value)).collect();
        assert_eq!(found, [("sum", 10, 0.0), ("work", 3, 60.0), ("lock", 0, 40.0)]);
    }
}
