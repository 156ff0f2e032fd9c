//! Sums over a profile's cells: by C function, by site, by stack. Pure.

use std::collections::{BTreeMap, HashMap};

use cgoprof_profile::{Cell, Function, FunctionId, Kind, Line, LocationId, Profile, SampledStack, Stats, Via};

use crate::waits;

/// All crossings of one C function by one way.
#[derive(Clone, Debug)]
pub struct FunctionRow<'a> {
    /// The C function.
    pub function: &'a Function,
    /// The same in the profile.
    pub id: FunctionId,
    /// How it was reached.
    pub via: Via,
    /// Sums.
    pub stats: Stats,
    /// Crossings by goroutines locked to their thread.
    pub locked_calls: u64,
    /// Migrations of the others.
    pub unlocked_migrations: u64,
    /// Processor time in C.
    pub cpu: Option<Cpu>,
}

/// All crossings of one C function from one line of Go.
#[derive(Clone, Debug)]
pub struct SiteRow<'a> {
    /// The C function.
    pub function: &'a Function,
    /// The same in the profile.
    pub id: FunctionId,
    /// How it was reached.
    pub via: Via,
    /// The line, if the stack names one.
    pub site: Option<Position<'a>>,
    /// Sums.
    pub stats: Stats,
    /// Processor time in C.
    pub cpu: Option<Cpu>,
}

/// All crossings with one stack.
#[derive(Clone, Debug)]
pub struct StackRow<'a> {
    /// The C function.
    pub function: &'a Function,
    /// How it was reached.
    pub via: Via,
    /// C function, border, Go frames, inlined calls expanded.
    pub frames: Vec<Frame<'a>>,
    /// The stack goes on beyond the frames kept.
    pub truncated: bool,
    /// Sums.
    pub stats: Stats,
    /// What samples saw inside of C: frames called by the C function, innermost first, and how often.
    pub inside: Vec<(Vec<Frame<'a>>, u64)>,
    /// Where it waited: what it waited in, then frames called by the C function, innermost first, and nanoseconds. No
    /// frames where no look has found it.
    pub waits: Vec<(Vec<Frame<'a>>, f64)>,
    /// Processor time in C.
    pub cpu: Option<Cpu>,
}

/// All samples with one stack.
#[derive(Clone, Debug)]
pub struct SampleRow<'a> {
    /// The crossing's C function, if it was sampled in one.
    pub function: Option<&'a Function>,
    /// What C had called, the C function, border, Go frames.
    pub frames: Vec<Frame<'a>>,
    /// How many of the frames lie within the C function.
    pub inside: usize,
    /// The stack goes on beyond its frames.
    pub truncated: bool,
    /// Samples.
    pub samples: u64,
    /// The time they stand for.
    pub cpu: Cpu,
}

/// Samples in C that no crossing has called, by thread and library.
#[derive(Clone, Debug)]
pub struct OutsideRow<'a> {
    /// Name of the thread.
    pub thread: &'a str,
    /// Path of the library whose code ran, empty for the program's own.
    pub library: &'a str,
    /// Samples.
    pub samples: u64,
    /// The time they stand for.
    pub cpu: Cpu,
}

/// Processor time of C that no crossing has called, most first.
pub fn outside(profile: &Profile) -> Vec<OutsideRow<'_>> {
    let function = |location: &LocationId| {
        let line = profile.locations[location.0].lines.first();
        line.map(|line| &profile.functions[line.function.0])
    };
    let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for sampled in profile.samples.iter().filter(|sampled| sampled.cell.is_none()) {
        let ends = sampled.stack.last().and_then(function).zip(sampled.stack.first().and_then(function));
        if let Some((thread, innermost)) = ends.and_then(|(last, first)| Some((last.thread()?, first))) {
            *sums.entry((thread, innermost.library.as_str())).or_default() += sampled.samples;
        }
    }
    let row = |((thread, library), samples)| OutsideRow {
        thread,
        library,
        samples,
        cpu: Cpu::of(samples, profile).unwrap_or_default(),
    };
    let mut rows: Vec<_> = sums.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.samples));
    rows
}

/// Processor time of the recorder's hooks, and of all that was sampled; none if too few samples tell.
pub fn hooks(profile: &Profile) -> Option<(Cpu, Cpu)> {
    /// Samples with a standard error of a fifth.
    const ENOUGH: u64 = 25;
    let is_hook = |location: &LocationId| {
        let line = profile.locations[location.0].lines.first();
        line.is_some_and(|line| profile.functions[line.function.0].name == Function::HOOKS)
    };
    let in_hooks = profile.samples.iter().filter(|sampled| sampled.stack.first().is_some_and(is_hook));
    let sum = |samples: u64, sampled: &SampledStack| samples.saturating_add(sampled.samples);
    let (hooks, all) = (in_hooks.fold(0, sum), profile.samples.iter().fold(0, sum));
    if hooks < ENOUGH {
        return None;
    }
    Some((Cpu::of(hooks, profile)?, Cpu::of(all, profile)?))
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Nanoseconds.
    pub nanos: f64,
    /// Its standard error: that of a count of independent events.
    pub standard_error: f64,
}

impl Cpu {
    /// In C: the C time without what its threads were off the processor, where that is known and no callbacks are in
    /// it; else from samples.
    fn new(stats: &Stats, samples: u64, profile: &Profile) -> Option<Cpu> {
        if profile.recording.off_cpu && stats.callbacks == 0 && stats.timed > 0 {
            let nanos = (stats.c.sum - stats.blocked - stats.preempted).max(0.0);
            return Some(Cpu { nanos, standard_error: stats.c.standard_error() });
        }
        Cpu::of(samples, profile)
    }

    /// Returns both together, as far as they are known.
    pub(crate) fn sum(one: Option<Cpu>, other: Option<Cpu>) -> Option<Cpu> {
        let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
        let standard_error = one.standard_error.hypot(other.standard_error);
        Some(Cpu { nanos: one.nanos + other.nanos, standard_error })
    }

    /// Returns the processor time that samples stand for; none where there are none.
    pub(crate) fn of(samples: u64, profile: &Profile) -> Option<Cpu> {
        let period = profile.recording.sample_period_ns as f64;
        let count = samples as f64;
        (period > 0.0).then(|| Cpu { nanos: count * period, standard_error: count.sqrt() * period })
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
            id: cell.function,
            via: cell.via,
            stats: Stats::default(),
            locked_calls: 0,
            unlocked_migrations: 0,
            cpu: None,
        });
        row.stats.add(&cell.stats);
        if cell.locked {
            row.locked_calls += cell.stats.calls;
        } else {
            row.unlocked_migrations += cell.stats.migrations;
        }
    }
    let samples = samples_by(profile, |cell| (cell.function, cell.via as u8));
    for (key, row) in &mut rows {
        row.cpu = Cpu::new(&row.stats, samples.get(key).copied().unwrap_or(0), profile);
    }
    sorted(rows.into_values().collect(), |row| (&row.stats, row.cpu, &row.function.name))
}

/// By C function and line of Go, the largest total first.
pub fn by_site(profile: &Profile) -> Vec<SiteRow<'_>> {
    let mut rows: BTreeMap<(FunctionId, Option<Position<'_>>), SiteRow<'_>> = BTreeMap::new();
    for cell in &profile.cells {
        let site = site(profile, cell);
        let new = || SiteRow {
            function: function(profile, cell),
            id: cell.function,
            via: cell.via,
            site,
            stats: Stats::default(),
            cpu: None,
        };
        rows.entry((cell.function, site)).or_insert_with(new).stats.add(&cell.stats);
    }
    let samples = samples_by(profile, |cell| (cell.function, site(profile, cell)));
    for (key, row) in &mut rows {
        row.cpu = Cpu::new(&row.stats, samples.get(key).copied().unwrap_or(0), profile);
    }
    sorted(rows.into_values().collect(), |row| (&row.stats, row.cpu, &row.function.name))
}

/// By stack, the largest total first. Cells that differ in their lock state only are one stack.
pub fn by_stack(profile: &Profile) -> Vec<StackRow<'_>> {
    let mut rows: BTreeMap<(FunctionId, &[LocationId]), StackRow<'_>> = BTreeMap::new();
    for cell in &profile.cells {
        let row = rows.entry((cell.function, &cell.stack)).or_insert_with(|| StackRow {
            function: function(profile, cell),
            via: cell.via,
            frames: frames(profile, &cell.stack),
            truncated: false,
            stats: Stats::default(),
            inside: Vec::new(),
            waits: Vec::new(),
            cpu: None,
        });
        row.truncated |= cell.truncated;
        row.stats.add(&cell.stats);
    }
    let samples = samples_by(profile, |cell| (cell.function, cell.stack.as_slice()));
    for (key, row) in &mut rows {
        row.cpu = Cpu::new(&row.stats, samples.get(key).copied().unwrap_or(0), profile);
    }
    let cells: HashMap<u64, &Cell> = profile.cells.iter().map(|cell| (cell.id, cell)).collect();
    for sampled in &profile.samples {
        let cell = sampled.cell.and_then(|id| cells.get(&id));
        if let Some(row) = cell.and_then(|cell| rows.get_mut(&(cell.function, cell.stack.as_slice()))) {
            row.inside.push((inside_frames(profile, &sampled.stack, sampled.inside), sampled.samples));
        }
    }
    for part in waits::parts(profile) {
        if let Some(row) = rows.get_mut(&(part.cell.function, part.cell.stack.as_slice())) {
            let inside = part.stack.map(|wait| inside_frames(profile, &wait.stack, wait.inside));
            row.waits.push((inside.unwrap_or_default(), part.nanos));
        }
    }
    sorted(rows.into_values().collect(), |row| (&row.stats, row.cpu, &row.function.name))
}

/// What threads were seen running, the most seen first. Addresses of one line are one row.
pub fn by_sample(profile: &Profile) -> Vec<SampleRow<'_>> {
    let functions: HashMap<u64, &Function> =
        profile.cells.iter().map(|cell| (cell.id, function(profile, cell))).collect();
    let mut rows: BTreeMap<_, (Option<&Function>, u64)> = BTreeMap::new();
    for sampled in &profile.samples {
        let of_cell = if sampled.cell.is_some() { sampled.stack.as_slice() } else { &[] };
        let inside = inside(profile, of_cell, sampled.inside.min(of_cell.len())).len();
        let function = sampled.cell.and_then(|id| functions.get(&id).copied());
        let key = (frames(profile, &sampled.stack), inside, sampled.truncated, function.map(|function| &function.name));
        rows.entry(key).or_insert((function, 0)).1 += sampled.samples;
    }
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|((frames, inside, truncated, _), (function, samples))| {
            let cpu = Cpu::of(samples, profile).unwrap_or_default();
            SampleRow { function, frames, inside, truncated, samples, cpu }
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.samples));
    rows
}

/// Samples in C by something that cells share.
fn samples_by<'a, K: Ord>(profile: &'a Profile, key: impl Fn(&'a Cell) -> K) -> BTreeMap<K, u64> {
    let mut by_cell: HashMap<u64, u64> = HashMap::new();
    for sampled in &profile.samples {
        if let Some(id) = sampled.cell {
            *by_cell.entry(id).or_default() += sampled.samples;
        }
    }
    let mut sums = BTreeMap::new();
    for cell in &profile.cells {
        if let Some(samples) = by_cell.get(&cell.id) {
            *sums.entry(key(cell)).or_default() += samples;
        }
    }
    sums
}

/// Everything that `runtime.NumCgoCall` counts, then everything direct.
pub fn totals(profile: &Profile) -> (Stats, Stats) {
    let (mut crossings, mut direct) = (Stats::default(), Stats::default());
    for cell in &profile.cells {
        if cell.via == Via::Cgocall { &mut crossings } else { &mut direct }.add(&cell.stats);
    }
    (crossings, direct)
}

/// The frames of a stack, innermost first.
pub fn frames<'a>(profile: &'a Profile, stack: &[LocationId]) -> Vec<Frame<'a>> {
    lines(profile, stack).map(|(line, inlined)| frame(profile, line, inlined)).collect()
}

/// The lines of a stack, innermost first, and whether each is of a function that is inlined in the next.
fn lines<'a>(profile: &'a Profile, stack: &[LocationId]) -> impl Iterator<Item = (&'a Line, bool)> {
    stack.iter().flat_map(|location| {
        let lines = &profile.locations[location.0].lines;
        lines.iter().enumerate().map(|(index, line)| (line, index + 1 < lines.len()))
    })
}

/// The lines of a stack that lie inside of the C function which its crossing has called, innermost first, and whether each
/// is of a function that is inlined in the next. That function's own is the next line of the stack. `inside` is the number
/// of locations before that function's.
pub(crate) fn inside<'a>(profile: &'a Profile, stack: &[LocationId], inside: usize) -> Vec<(&'a Line, bool)> {
    let (inner, rest) = stack.split_at(inside);
    let called = &rest[..rest.len().min(1)];
    let in_called = lines(profile, called).take_while(|&(_, inlined)| inlined);
    lines(profile, inner).chain(in_called).collect()
}

pub(crate) fn inside_frames<'a>(profile: &'a Profile, stack: &[LocationId], depth: usize) -> Vec<Frame<'a>> {
    inside(profile, stack, depth).into_iter().map(|(line, inlined)| frame(profile, line, inlined)).collect()
}

fn frame<'a>(profile: &'a Profile, line: &Line, inlined: bool) -> Frame<'a> {
    let function = &profile.functions[line.function.0];
    let position = Position { function: &function.name, file: &function.file, line: line.line };
    Frame { position, kind: function.kind, inlined }
}

fn function<'a>(profile: &'a Profile, cell: &Cell) -> &'a Function {
    &profile.functions[cell.function.0]
}

/// The line of Go that calls C: the first frame beyond the border that is the program's own.
pub(crate) fn site<'a>(profile: &'a Profile, cell: &Cell) -> Option<Position<'a>> {
    const LIBRARIES: [&str; 3] = ["github.com/ebitengine/purego.", "reflect.", "runtime."];
    let frames = frames(profile, &cell.stack);
    let go = || frames.iter().skip(1).filter(|frame| frame.kind == Kind::Go);
    let own = go().find(|frame| !LIBRARIES.iter().any(|library| frame.position.function.starts_with(library)));
    own.or_else(|| go().next()).map(|frame| frame.position)
}

/// Largest total first; where none was timed, the most processor time or the most calls.
fn sorted<T>(mut rows: Vec<T>, key: impl Fn(&T) -> (&Stats, Option<Cpu>, &String)) -> Vec<T> {
    let cpu = |cpu: Option<Cpu>| cpu.map_or(0.0, |cpu| cpu.nanos);
    rows.sort_by(|one, other| {
        let ((a, a_cpu, a_name), (b, b_cpu, b_name)) = (key(one), key(other));
        let by_total = b.total().sum.total_cmp(&a.total().sum);
        let by_calls = by_total.then(b.calls.cmp(&a.calls));
        by_calls.then(cpu(b_cpu).total_cmp(&cpu(a_cpu))).then(a_name.cmp(b_name))
    });
    rows
}
