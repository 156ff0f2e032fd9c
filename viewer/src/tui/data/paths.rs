//! Stacks as paths from a tree's root on, in order, so that a tree can be made of them level by level.

use std::collections::HashMap;
use std::ops::Range;

use cgoprof_profile::{Cell, Estimate, Kind, Line, LocationId, Profile, Stats};

use super::direction::Direction;
use crate::analysis;
use crate::value::{Parts, Value};
use crate::waits;

/// A size by [`Value`].
pub(super) type Sizes = [f64; Value::ALL.len()];

/// Paths in the order of their steps' ranks: those that begin alike are beside each other, the shorter ones first.
pub(super) struct Paths {
    steps: Vec<Step>,
    paths: Vec<Path>,
}

/// A function on the way.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// Which function, in the order of names; none where a stack was cut off.
    pub(super) rank: Option<u32>,
    /// The line in it that calls what is below; 0 if that is not known.
    pub(super) line: u32,
}

impl Step {
    fn of(line: &Line, ranks: &[u32]) -> Step {
        Step { rank: Some(ranks[line.function.0]), line: line.line }
    }
}

struct Path {
    steps: Range<usize>,
    own: Sizes,
    total: Estimate,
}

impl Paths {
    /// All stacks of a recording. Functions have these ranks; the next is that of preempted threads.
    pub(super) fn of(profile: &Profile, direction: Direction, ranks: &[u32]) -> Paths {
        let mut collecting = Collecting { profile, direction, ranks, steps: Vec::new(), paths: Vec::new() };
        collecting.steps.reserve(16 * profile.cells.len());
        collecting.paths.reserve(profile.cells.len() + profile.samples.len());
        collecting.collect();
        let Collecting { steps: unsorted, mut paths, .. } = collecting;
        let ranks_of = |path: &Path| unsorted[path.steps.clone()].iter().map(|step| step.rank);
        paths.sort_by(|one, other| ranks_of(one).cmp(ranks_of(other)));
        // In the order in which they will be read.
        let mut steps = Vec::with_capacity(unsorted.len());
        for path in &mut paths {
            let begin = steps.len();
            steps.extend_from_slice(&unsorted[path.steps.clone()]);
            path.steps = begin..steps.len();
        }
        Paths { steps, paths }
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The step of a path at a depth, if it is that long.
    pub(super) fn step(&self, path: usize, depth: usize) -> Option<Step> {
        self.steps[self.paths[path].steps.clone()].get(depth).copied()
    }

    /// The step that the first of these takes at a depth, and how many of them take it. If they don't do so from one line,
    /// that is 0.
    pub(super) fn step_of_the_first(&self, of: Range<usize>, depth: usize) -> Option<(Step, usize)> {
        let mut step = self.step(of.clone().next()?, depth)?;
        let same = of.map_while(|path| self.step(path, depth)).take_while(|other| other.rank == step.rank);
        let (count, one_line) =
            same.fold((0, true), |(count, same), other| (count + 1, same && other.line == step.line));
        if !one_line {
            step.line = 0;
        }
        Some((step, count))
    }

    /// What takes place at the end of a path, and of that the total with its error.
    pub(super) fn own(&self, path: usize) -> (&Sizes, Estimate) {
        (&self.paths[path].own, self.paths[path].total)
    }
}

/// Lines inside of C, and how often samples found them, or how long they waited.
type Sampled<'a> = (Vec<(&'a Line, bool)>, f64);

struct Collecting<'a> {
    profile: &'a Profile,
    direction: Direction,
    ranks: &'a [u32],
    steps: Vec<Step>,
    paths: Vec<Path>,
}

impl Collecting<'_> {
    fn collect(&mut self) {
        let profile = self.profile;
        let period = profile.recording.sample_period_ns as f64;
        let mut sampled: HashMap<u64, Vec<Sampled<'_>>> = HashMap::new();
        for stack in &profile.samples {
            let mut cpu = Sizes::default();
            cpu[Value::Cpu as usize] = stack.samples as f64 * period;
            self.add([], &stack.stack, stack.truncated, cpu, Estimate::default());
            if let Some(cell) = stack.cell {
                let inside = analysis::inside(profile, &stack.stack, stack.inside);
                sampled.entry(cell).or_default().push((inside, stack.samples as f64));
            }
        }
        let mut waits: HashMap<u64, Vec<Sampled<'_>>> = HashMap::new();
        for part in waits::parts(profile) {
            let inside = part.stack.map(|wait| analysis::inside(profile, &wait.stack, wait.inside));
            waits.entry(part.cell.id).or_default().push((inside.unwrap_or_default(), part.nanos));
        }
        for cell in &profile.cells {
            let [running, waiting, preempted, function, border] = sizes(&cell.stats);
            let inside = sampled.get(&cell.id).map_or(&[] as &[_], Vec::as_slice);
            let samples: f64 = inside.iter().map(|(_, samples)| samples).sum();
            let of_c = |sizes: &Sizes| sizes[Value::C as usize];
            let in_c = of_c(&running) + of_c(&waiting) + of_c(&preempted);
            let share = |sizes: &Sizes| if in_c > 0.0 { of_c(sizes) / in_c } else { 0.0 };
            let (waited, off) = (share(&waiting), share(&preempted));
            self.divide(cell, waits.get(&cell.id).map_or(&[], Vec::as_slice), waiting, waited);
            if preempted[Value::Preempted as usize] > 0.0 {
                let step = Step { rank: Some(self.ranks.len() as u32), line: 0 };
                self.add([step], &cell.stack, cell.truncated, preempted, part(cell.stats.c, off));
            }
            let outside_c = cell.stack.iter().position(|&location| !self.is_c(location)).unwrap_or(0);
            self.add([], &cell.stack[outside_c..], cell.truncated, border, cell.stats.overhead());
            if samples == 0.0 {
                let own = sum(function, running);
                self.add([], &cell.stack, cell.truncated, own, part(cell.stats.c, 1.0 - waited - off));
                continue;
            }
            // What C did inside is known by samples.
            self.add([], &cell.stack, cell.truncated, function, Estimate::default());
            self.divide(cell, inside, running, 1.0 - waited - off);
        }
    }

    /// Divides sizes of a cell, which are this share of its time in C, among stacks inside of C in proportion.
    fn divide(&mut self, cell: &Cell, among: &[Sampled<'_>], sizes: Sizes, of_c: f64) {
        let all: f64 = among.iter().map(|(_, weight)| weight).sum();
        for (inner, weight) in among {
            let share = weight / all;
            let total = part(cell.stats.c, share * of_c);
            let ranks = self.ranks;
            let inner = inner.iter().map(|&(line, _)| Step::of(line, ranks));
            self.add(inner, &cell.stack, cell.truncated, sizes.map(|size| size * share), total);
        }
    }

    fn is_c(&self, location: LocationId) -> bool {
        let innermost = self.profile.locations[location.0].lines.first();
        innermost.is_some_and(|line| self.profile.functions[line.function.0].kind == Kind::C)
    }

    /// A stack of the steps inside of C, and a stack that called them, innermost first.
    fn add(
        &mut self,
        inside: impl IntoIterator<Item = Step>,
        stack: &[LocationId],
        truncated: bool,
        own: Sizes,
        total: Estimate,
    ) {
        let (begin, ranks) = (self.steps.len(), self.ranks);
        self.steps.extend(inside);
        for location in stack {
            self.steps.extend(self.profile.locations[location.0].lines.iter().map(|line| Step::of(line, ranks)));
        }
        if truncated {
            self.steps.push(Step { rank: None, line: 0 });
        }
        if self.direction == Direction::Down {
            self.steps[begin..].reverse();
        }
        self.paths.push(Path { steps: begin..self.steps.len(), own, total });
    }
}

/// Sizes of a cell's crossings in C while they ran, while they waited and while they were preempted, of the C function, and
/// at the border.
fn sizes(stats: &Stats) -> [Sizes; 5] {
    let parts = Value::ALL.map(|value| value.of(stats));
    let of = |part: fn(&Parts) -> f64| parts.each_ref().map(part);
    [
        of(|part| part.running),
        of(|part| part.waiting),
        of(|part| part.preempted),
        of(|part| part.function),
        of(|part| part.border),
    ]
}

fn sum(mut one: Sizes, other: Sizes) -> Sizes {
    one.iter_mut().zip(other).for_each(|(size, more)| *size += more);
    one
}

/// A share of an estimate.
fn part(whole: Estimate, share: f64) -> Estimate {
    Estimate { sum: whole.sum * share, variance: whole.variance * share * share, common: whole.common * share }
}
