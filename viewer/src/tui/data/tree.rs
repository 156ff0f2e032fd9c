//! All crossings merged by their stacks into a tree, from Go's roots down or from C functions up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};

use cgoprof_profile::{Cell, Estimate, FunctionId, Kind, LocationId, Profile, Stats};

use super::super::pattern::Pattern;
use super::change::Change;
use super::measured::Measured;
use crate::units::printable;
use crate::value::Value;

/// From where a tree grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Direction {
    /// From the functions that goroutines began with.
    #[default]
    Down,
    /// From C functions, or what they called, to their callers.
    Up,
}

/// A node's size by [`Value`].
type Sizes = [f64; Value::ALL.len()];

/// The tree. The first node is the root, which stands for all.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// Of all functions in it, safe to show.
    names: Vec<String>,
    by_path: ByPath,
    /// Processor time that a sample stands for, in nanoseconds.
    period: f64,
}

/// Nodes by their paths, which are hashes already.
type ByPath = HashMap<u64, usize, BuildHasherDefault<Hashed>>;

/// The hash of what is one.
#[derive(Clone, Copy, Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A function, called by those above it.
#[derive(Debug)]
pub(crate) struct Node {
    /// None of the root, and where a stack was cut off.
    pub(crate) function: Option<FunctionId>,
    pub(crate) kind: Kind,
    /// The line in it that calls what is below; 0 if that is not known, or there are several.
    pub(crate) line: u32,
    pub(crate) parent: usize,
    /// The same for the same names from the root on, in every tree of every recording.
    pub(crate) path: u64,
    pub(crate) depth: usize,
    /// Beside each other in memory: pictures go over many of them.
    children: Vec<usize>,
    /// Of it and all that it leads to.
    sizes: Sizes,
    /// Of the total of these crossings, callbacks included.
    variance: f64,
    common: f64,
}

impl Tree {
    pub(crate) fn new(profile: &Profile, direction: Direction) -> Tree {
        let mut growing = Growing::new(profile, direction);
        let mut sampled: HashMap<u64, Vec<(&[LocationId], f64)>> = HashMap::new();
        let period = profile.recording.sample_period_ns as f64;
        for stack in &profile.samples {
            let mut cpu = Sizes::default();
            cpu[Value::Cpu as usize] = stack.samples as f64 * period;
            growing.add(&stack.stack, stack.truncated, cpu, Estimate::default());
            if let Some(cell) = stack.cell {
                sampled.entry(cell).or_default().push((&stack.stack[..stack.inside], stack.samples as f64));
            }
        }
        for cell in &profile.cells {
            let (own, in_c) = sizes(&cell.stats);
            let inside = sampled.get(&cell.id).map_or(&[] as &[_], Vec::as_slice);
            let samples: f64 = inside.iter().map(|(_, samples)| samples).sum();
            if samples == 0.0 {
                growing.add_cell(cell, &[], add(own, in_c), cell.stats.total());
                continue;
            }
            // What C did inside is known by samples.
            growing.add_cell(cell, &[], own, cell.stats.overhead());
            for (inner, count) in inside {
                let share = count / samples;
                growing.add_cell(cell, inner, in_c.map(|size| size * share), part(cell.stats.c, share));
            }
        }
        growing.finish()
    }

    pub(crate) fn root(&self) -> &Node {
        &self.nodes[0]
    }

    pub(crate) fn name(&self, node: usize) -> &str {
        match self.nodes[node].function {
            Some(function) => &self.names[function.0],
            None if node == 0 => "all",
            None => "[truncated]",
        }
    }

    pub(crate) fn find(&self, path: u64) -> Option<usize> {
        self.by_path.get(&path).copied()
    }

    /// The names from below the root on to a node.
    pub(crate) fn names_down_to(&self, node: usize) -> Vec<&str> {
        let above = std::iter::successors(Some(node), |&node| Some(self.nodes[node].parent));
        let mut names: Vec<&str> = above.take_while(|&node| node != 0).map(|node| self.name(node)).collect();
        names.reverse();
        names
    }

    /// In no order.
    pub(crate) fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.nodes[node].children.iter().copied()
    }

    pub(crate) fn is_leaf(&self, node: usize) -> bool {
        self.nodes[node].children.is_empty()
    }

    /// What of a node's size is not its children's.
    pub(crate) fn own(&self, node: usize, value: Value) -> f64 {
        let size = self.nodes[node].size(value);
        let below: f64 = self.children(node).map(|child| self.nodes[child].size(value)).sum();
        // Sums are rounded.
        Some(size - below).filter(|own| *own > 1e-9 * size).unwrap_or(0.0)
    }

    /// How a node's size differs from that in a base recording.
    pub(crate) fn changed(&self, node: usize, base: &Tree, value: Value) -> Change {
        let before = self.same(node, base).map(|same| base.measured(same, value));
        Change::between(before, self.measured(node, value))
    }

    /// The node of another tree that stands where a node of this one does.
    fn same(&self, node: usize, other: &Tree) -> Option<usize> {
        other.find(self.nodes[node].path).filter(|&same| other.name(same) == self.name(node))
    }

    /// A node's size with its error. The error of a part of the total is taken to be that of the total.
    pub(crate) fn measured(&self, node: usize, value: Value) -> Measured {
        let node = &self.nodes[node];
        let error = match value {
            Value::Calls | Value::Blocked => 0.0,
            Value::Total | Value::C | Value::Overhead | Value::ExitWait => {
                Estimate { sum: 0.0, variance: node.variance, common: node.common }.standard_error()
            }
            Value::Cpu => (node.size(value) * self.period).sqrt(),
        };
        Measured { value: node.size(value), error }
    }

    /// Of those that have any of a value, the largest first.
    pub(crate) fn sorted_children(&self, node: usize, value: Value) -> Vec<usize> {
        self.children_over(node, value, 0.0)
    }

    /// Those of more than a size, the largest first.
    pub(crate) fn children_over(&self, node: usize, value: Value, least: f64) -> Vec<usize> {
        let size = |node: usize| self.nodes[node].size(value);
        let mut children: Vec<usize> = self.children(node).filter(|&child| size(child) > least).collect();
        children.sort_by(|&one, &other| size(other).total_cmp(&size(one)).then(self.name(one).cmp(self.name(other))));
        children
    }

    /// Which functions match.
    pub(crate) fn matching(&self, pattern: &Pattern) -> Vec<bool> {
        self.names.iter().map(|name| pattern.matches(name)).collect()
    }

    /// Whether a node is one of these functions.
    pub(crate) fn passes(&self, node: usize, functions: &[bool]) -> bool {
        self.nodes[node].function.is_some_and(|function| functions[function.0])
    }

    /// How many nodes are of these functions, and their sum, those below others not counted again.
    pub(crate) fn sum_of(&self, value: Value, functions: &[bool]) -> (usize, f64) {
        let (mut below, mut sum, mut count) = (vec![false; self.nodes.len()], 0.0, 0);
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            let own = self.passes(at, functions);
            count += usize::from(own);
            if own && !below[node.parent] {
                sum += node.sizes[value as usize];
            }
            below[at] = own || below[node.parent];
        }
        (count, sum)
    }
}

impl Node {
    fn grow(&mut self, sizes: Sizes, total: Estimate) {
        self.sizes = add(self.sizes, sizes);
        self.variance += total.variance;
        self.common += total.common;
    }

    pub(crate) fn size(&self, value: Value) -> f64 {
        self.sizes[value as usize]
    }
}

/// What a cell's crossings took besides C, and in C.
fn sizes(stats: &Stats) -> (Sizes, Sizes) {
    (Value::ALL.map(|value| value.of(stats).1), Value::ALL.map(|value| value.of(stats).0))
}

fn add(mut one: Sizes, other: Sizes) -> Sizes {
    one.iter_mut().zip(other).for_each(|(size, more)| *size += more);
    one
}

/// A share of an estimate.
fn part(whole: Estimate, share: f64) -> Estimate {
    Estimate { sum: whole.sum * share, variance: whole.variance * share * share, common: whole.common * share }
}

/// A tree that grows.
struct Growing<'a> {
    profile: &'a Profile,
    direction: Direction,
    nodes: Vec<Node>,
    by_path: ByPath,
    /// Hashes of the functions' names.
    named: Vec<u64>,
}

impl<'a> Growing<'a> {
    fn new(profile: &'a Profile, direction: Direction) -> Growing<'a> {
        let named = profile.functions.iter().map(|function| hash_of(&function.name)).collect();
        let mut growing = Growing { profile, direction, nodes: Vec::new(), by_path: ByPath::default(), named };
        growing.by_path.reserve(8 * profile.cells.len());
        growing.nodes.reserve(8 * profile.cells.len());
        growing.push(None, Kind::Go, 0, (0, 0, 0));
        growing
    }

    fn push(
        &mut self,
        function: Option<FunctionId>,
        kind: Kind,
        line: u32,
        (parent, depth, path): (usize, usize, u64),
    ) -> usize {
        let (children, sizes, variance, common) = (Vec::new(), Sizes::default(), 0.0, 0.0);
        self.nodes.push(Node { function, kind, line, parent, path, depth, children, sizes, variance, common });
        self.by_path.insert(path, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn add_cell(&mut self, cell: &Cell, inner: &[LocationId], own: Sizes, total: Estimate) {
        let stack: Vec<LocationId> = inner.iter().chain(&cell.stack).copied().collect();
        self.add(&stack, cell.truncated, own, total);
    }

    /// Adds to the node at the end of a stack, innermost first, and all on the way there.
    fn add(&mut self, stack: &[LocationId], truncated: bool, own: Sizes, total: Estimate) {
        let (profile, direction) = (self.profile, self.direction);
        let lines = |location: &LocationId| profile.locations[location.0].lines.iter();
        let innermost_first = || stack.iter().flat_map(lines).map(|line| (Some(line.function), line.line));
        let cut = || truncated.then_some((None, 0));
        let mut at = 0;
        self.nodes[0].grow(own, total);
        let mut step = |growing: &mut Self, (function, line)| {
            at = growing.child(at, function, line);
            growing.nodes[at].grow(own, total);
        };
        match direction {
            Direction::Up => innermost_first().chain(cut()).for_each(|frame| step(self, frame)),
            Direction::Down => {
                let frames: Vec<_> = innermost_first().collect();
                cut().into_iter().chain(frames.into_iter().rev()).for_each(|frame| step(self, frame));
            }
        }
    }

    fn child(&mut self, parent: usize, function: Option<FunctionId>, line: u32) -> usize {
        let mut path = path_of(self.nodes[parent].path, function.map(|function| self.named[function.0]));
        while let Some(&child) = self.by_path.get(&path) {
            let node = &mut self.nodes[child];
            if node.parent == parent && node.function == function && child != 0 {
                if node.line != line {
                    node.line = 0;
                }
                return child;
            }
            // Another has the same hash.
            path = path.wrapping_add(1);
        }
        let kind = function.map_or(Kind::Go, |function| self.profile.functions[function.0].kind);
        let child = self.push(function, kind, line, (parent, self.nodes[parent].depth + 1, path));
        self.nodes[parent].children.push(child);
        child
    }

    fn finish(self) -> Tree {
        let names = self.profile.functions.iter().map(|function| printable(&function.name)).collect();
        let period = self.profile.recording.sample_period_ns as f64;
        Tree { nodes: self.nodes, names, by_path: self.by_path, period }
    }
}

/// The hash of a name, the same in every run.
fn hash_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// A hash of all names from the root on.
fn path_of(above: u64, name: Option<u64>) -> u64 {
    let mixed = (above.rotate_left(23) ^ name.unwrap_or(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::sample_data;

    #[test]
    fn sums_are_those_of_the_cells_from_either_side() {
        for (name, profile) in sample_data::recorded() {
            let calls: u64 = profile.cells.iter().map(|cell| cell.stats.calls).sum();
            let overhead: f64 = profile.cells.iter().map(|cell| cell.stats.overhead().sum).sum();
            for direction in [Direction::Down, Direction::Up] {
                let tree = Tree::new(&profile, direction);
                assert_eq!(tree.root().size(Value::Calls), calls as f64, "{name}");
                assert!((tree.root().size(Value::Overhead) - overhead).abs() <= 1e-6 * overhead, "{name}");
                let mut own = 0.0;
                for (at, node) in tree.nodes.iter().enumerate() {
                    let below: f64 = tree.children(at).map(|child| tree.nodes[child].size(Value::Total)).sum();
                    let all = node.size(Value::Total);
                    assert!(below <= all * (1.0 + 1e-6) && tree.children(at).all(|child| child > at), "{name}");
                    own += tree.own(at, Value::Total);
                }
                let all = tree.root().size(Value::Total);
                assert!((own - all).abs() <= 1e-6 * all.max(1.0), "{name}: {own} of {all}");
            }
        }
    }

    #[test]
    fn what_is_found_below_what_is_found_is_not_counted_again() {
        let profile = sample_data::named("callbacks");
        let tree = Tree::new(&profile, Direction::Down);
        let (count, sum) = tree.sum_of(Value::Calls, &tree.matching(&Pattern::new("^runtime.cgocall$").unwrap()));
        assert!(count > 1);
        let all: u64 = profile
            .cells
            .iter()
            .filter(|cell| cell.via == cgoprof_profile::Via::Cgocall)
            .map(|cell| cell.stats.calls)
            .sum();
        assert_eq!(sum, all as f64);
    }

    #[test]
    fn nodes_are_found_again_in_another_recording() {
        let (one, mut other) = (sample_data::named("sqlite"), sample_data::named("sqlite"));
        // The same functions with other numbers.
        other.functions.reverse();
        let turned = |id: &mut FunctionId| id.0 = one.functions.len() - 1 - id.0;
        other.locations.iter_mut().flat_map(|location| &mut location.lines).for_each(|line| turned(&mut line.function));
        for direction in [Direction::Down, Direction::Up] {
            let (tree, same) = (Tree::new(&one, direction), Tree::new(&other, direction));
            for node in 0..tree.nodes.len() {
                let found = &same.nodes[tree.same(node, &same).expect("it is there")];
                assert_eq!((found.sizes, found.depth), (tree.nodes[node].sizes, tree.nodes[node].depth));
            }
            let none = Tree::new(&sample_data::named("callbacks"), direction);
            let deepest = (0..tree.nodes.len()).max_by_key(|&node| tree.nodes[node].depth).expect("nodes");
            assert_eq!(tree.same(deepest, &none), None);
        }
    }
}
