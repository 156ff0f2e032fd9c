//! Sums over a profile's cells: by C function, by site, by stack. Pure.

use std::collections::BTreeMap;

use cgoprof_profile::{Cell, Function, FunctionId, Kind, LocationId, Profile, Stats, Via};

/// All crossings of one C function by one way.
#[derive(Clone, Debug)]
pub struct FunctionRow<'a> {
    /// The C function.
    pub function: &'a Function,
    /// How it was reached.
    pub via: Via,
    /// Sums.
    pub stats: Stats,
    /// Crossings by goroutines locked to their thread.
    pub locked_calls: u64,
}

/// All crossings of one C function from one line of Go.
#[derive(Clone, Debug)]
pub struct SiteRow<'a> {
    /// The C function.
    pub function: &'a Function,
    /// The line, if the stack names one.
    pub site: Option<Position<'a>>,
    /// Sums.
    pub stats: Stats,
}

/// All crossings with one stack.
#[derive(Clone, Debug)]
pub struct StackRow<'a> {
    /// The C function.
    pub function: &'a Function,
    /// C function, border, Go frames, inlined calls expanded.
    pub frames: Vec<Frame<'a>>,
    /// The stack goes on beyond the frames kept.
    pub truncated: bool,
    /// Sums.
    pub stats: Stats,
}

/// A line of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position<'a> {
    /// The function.
    pub function: &'a str,
    /// Its file.
    pub file: &'a str,
    /// The line, 0 when unknown.
    pub line: u32,
}

/// One frame of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Where.
    pub position: Position<'a>,
    /// Which side.
    pub kind: Kind,
    /// Whether it was inlined into the next frame.
    pub inlined: bool,
}

/// By C function and way, the largest total first.
pub fn by_function(profile: &Profile) -> Vec<FunctionRow<'_>> {
    let mut rows: BTreeMap<(FunctionId, u8), FunctionRow<'_>> = BTreeMap::new();
    for cell in &profile.cells {
        let function = function(profile, cell);
        let row = rows.entry((cell.function, cell.via as u8)).or_insert_with(|| FunctionRow {
            function,
            via: cell.via,
            stats: Stats::default(),
            locked_calls: 0,
        });
        row.stats.add(&cell.stats);
        row.locked_calls += if cell.locked { cell.stats.calls } else { 0 };
    }
    sorted(rows.into_values().collect(), |row| (&row.stats, &row.function.name))
}

/// By C function and line of Go, the largest total first.
pub fn by_site(profile: &Profile) -> Vec<SiteRow<'_>> {
    let mut rows: BTreeMap<(FunctionId, Option<Position<'_>>), SiteRow<'_>> = BTreeMap::new();
    for cell in &profile.cells {
        let site = site(profile, cell);
        let new = || SiteRow { function: function(profile, cell), site, stats: Stats::default() };
        rows.entry((cell.function, site)).or_insert_with(new).stats.add(&cell.stats);
    }
    sorted(rows.into_values().collect(), |row| (&row.stats, &row.function.name))
}

/// By stack, the largest total first. Cells that differ in their lock state only are one stack.
pub fn by_stack(profile: &Profile) -> Vec<StackRow<'_>> {
    let mut rows: BTreeMap<(FunctionId, &[LocationId]), StackRow<'_>> = BTreeMap::new();
    for cell in &profile.cells {
        let row = rows.entry((cell.function, &cell.stack)).or_insert_with(|| StackRow {
            function: function(profile, cell),
            frames: frames(profile, cell),
            truncated: false,
            stats: Stats::default(),
        });
        row.truncated |= cell.truncated;
        row.stats.add(&cell.stats);
    }
    sorted(rows.into_values().collect(), |row| (&row.stats, &row.function.name))
}

/// Everything that `runtime.NumCgoCall` counts, then everything direct.
pub fn totals(profile: &Profile) -> (Stats, Stats) {
    let (mut crossings, mut direct) = (Stats::default(), Stats::default());
    for cell in &profile.cells {
        if cell.via == Via::Cgocall { &mut crossings } else { &mut direct }.add(&cell.stats);
    }
    (crossings, direct)
}

/// The frames of a cell, innermost first.
pub fn frames<'a>(profile: &'a Profile, cell: &Cell) -> Vec<Frame<'a>> {
    let mut frames = Vec::new();
    for location in &cell.stack {
        let lines = &profile.locations[location.0].lines;
        for (index, line) in lines.iter().enumerate() {
            let function = &profile.functions[line.function.0];
            let position = Position { function: &function.name, file: &function.file, line: line.line };
            frames.push(Frame { position, kind: function.kind, inlined: index + 1 < lines.len() });
        }
    }
    frames
}

fn function<'a>(profile: &'a Profile, cell: &Cell) -> &'a Function {
    &profile.functions[cell.function.0]
}

/// The line of Go that calls C: the first frame beyond the border that is the program's own.
fn site<'a>(profile: &'a Profile, cell: &Cell) -> Option<Position<'a>> {
    const LIBRARIES: [&str; 3] = ["github.com/ebitengine/purego.", "reflect.", "runtime."];
    let frames = frames(profile, cell);
    let go = || frames.iter().skip(1).filter(|frame| frame.kind == Kind::Go);
    let own = go().find(|frame| !LIBRARIES.iter().any(|library| frame.position.function.starts_with(library)));
    own.or_else(|| go().next()).map(|frame| frame.position)
}

fn sorted<T>(mut rows: Vec<T>, key: impl Fn(&T) -> (&Stats, &String)) -> Vec<T> {
    rows.sort_by(|one, other| {
        let ((a, a_name), (b, b_name)) = (key(one), key(other));
        b.total().sum.total_cmp(&a.total().sum).then(b.calls.cmp(&a.calls)).then(a_name.cmp(b_name))
    });
    rows
}
