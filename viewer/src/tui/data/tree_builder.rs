//! How a tree is made of paths: level by level, so that the children of a node are beside each other.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;

use cgoprof_profile::{Estimate, Function, Kind};

use super::paths::{Paths, Sizes, Step};
use crate::value::Value;

/// The nodes of a tree, each after the one above it. The first is the root, which stands for all.
#[derive(Debug, Default)]
pub(super) struct TreeBuilder {
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
    /// By [`Value`], of each node and all that it leads to.
    pub(super) sizes: [Vec<f64>; Value::ALL.len()],
    pub(super) spreads: Vec<Spread>,
}

/// What is drawn of a node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// The line in it that calls what is below; 0 if that is not known, or there are several.
    pub(crate) line: u32,
    /// The same for the same names from the root on, in every tree of every recording.
    pub(crate) path: u64,
    pub(crate) depth: usize,
    pub(super) children: Range<u32>,
}

/// Which function a node is, and the node above: what is gone over for all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) parent: u32,
    /// None of the root, and where a stack was cut off.
    pub(super) rank: Option<u32>,
}

/// How far off the total of a node's crossings may be, callbacks included: see `Estimate`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    pub(super) variance: f64,
    pub(super) common: f64,
}

impl TreeBuilder {
    /// Of functions in the order of their ranks.
    pub(super) fn of(paths: &Paths, functions: &[&Function]) -> TreeBuilder {
        let names: Vec<u64> = functions.iter().map(|function| hash_of(function.identity())).collect();
        let mut growth = TreeBuilder::default();
        growth.push(Kind::Go, Step { rank: None, line: 0 }, (0, 0, 0));
        // Of each node that has not been looked at: the paths that lead to it.
        let mut through = VecDeque::new();
        through.push_back(0..paths.len());
        // The nodes at which paths end.
        let mut ends = Vec::with_capacity(paths.len());
        let mut at = 0;
        while let Some(paths_here) = through.pop_front() {
            let (depth, path) = (growth.nodes[at].depth, growth.nodes[at].path);
            let mut from = paths_here.start;
            while from < paths_here.end && paths.step(from, depth).is_none() {
                ends.push((at, from));
                from += 1;
            }
            let first = growth.nodes.len();
            while let Some((step, count)) = paths.step_of_the_first(from..paths_here.end, depth) {
                let name = step.rank.map(|rank| names[rank as usize]);
                let before = growth.links.last().filter(|_| growth.nodes.len() > first);
                let path = match before.filter(|before| before.rank.map(|rank| names[rank as usize]) == name) {
                    // Another function of the same name.
                    Some(_) => growth.nodes[growth.nodes.len() - 1].path.wrapping_add(1),
                    None => path_of(path, name),
                };
                let kind = step.rank.map_or(Kind::Go, |rank| functions[rank as usize].kind);
                growth.push(kind, step, (at, depth + 1, path));
                through.push_back(from..from + count);
                from += count;
            }
            growth.nodes[at].children = first as u32..growth.nodes.len() as u32;
            at += 1;
        }
        growth.measure(ends.into_iter().map(|(node, path)| (node, paths.own(path))));
        growth
    }

    fn push(&mut self, kind: Kind, Step { rank, line }: Step, (parent, depth, path): (usize, usize, u64)) {
        self.nodes.push(Node { kind, line, path, depth, children: 0..0 });
        self.links.push(Link { parent: parent as u32, rank });
    }

    /// Sums up what takes place at nodes, and below them.
    fn measure<'a>(&mut self, own: impl Iterator<Item = (usize, (&'a Sizes, Estimate))>) {
        let count = self.nodes.len();
        self.sizes = std::array::from_fn(|_| vec![0.0; count]);
        self.spreads = vec![Spread::default(); count];
        let mut used = [false; Value::ALL.len()];
        for (node, (own, total)) in own {
            for (value, &size) in own.iter().enumerate().filter(|(_, size)| **size != 0.0) {
                self.sizes[value][node] += size;
                used[value] = true;
            }
            self.spreads[node].variance += total.variance;
            self.spreads[node].common += total.common;
        }
        for (sizes, _) in self.sizes.iter_mut().zip(used).filter(|(_, used)| *used) {
            for node in (1..count).rev() {
                sizes[self.links[node].parent as usize] += sizes[node];
            }
        }
        for node in (1..count).rev() {
            let Spread { variance, common } = self.spreads[node];
            let above = &mut self.spreads[self.links[node].parent as usize];
            above.variance += variance;
            above.common += common;
        }
    }
}

/// The hash of a function's identity, the same in every run.
fn hash_of((name, package): (&str, &str)) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    if !package.is_empty() {
        hasher.write(b" ");
        hasher.write(package.as_bytes());
    }
    hasher.finish()
}

/// A hash of all names from the root on.
fn path_of(above: u64, name: Option<u64>) -> u64 {
    let mixed = (above.rotate_left(23) ^ name.unwrap_or(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Cell, FunctionId, Line, Location, LocationId, Profile, Stats};

    use super::super::direction::Direction;
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn functions_of_one_name_stay_apart_and_lines_that_differ_are_not_told() {
        let function = |name: &str| Function { name: name.into(), ..Function::default() };
        let mut profile = Profile { functions: ["main", "work", "work"].map(function).into(), ..Profile::default() };
        for (address, (of, line)) in [(0, 10), (0, 11), (1, 5), (2, 6), (2, 6)].into_iter().enumerate() {
            let lines = vec![Line { function: FunctionId(of), line }];
            profile.locations.push(Location { address: address as u64, lines, ..Location::default() });
        }
        let stats = |calls| Stats { calls, ..Stats::default() };
        for (id, (stack, truncated)) in
            [(vec![2, 0], false), (vec![3, 0], false), (vec![4, 1], false), (vec![4], true), (vec![], false)]
                .into_iter()
                .enumerate()
        {
            let stack = stack.into_iter().map(LocationId).collect();
            profile.cells.push(Cell { id: id as u64, stack, truncated, stats: stats(1 << id), ..Cell::default() });
        }
        let listed = |direction| {
            let tree = Tree::new(&profile, direction);
            let mut lines = Vec::new();
            let mut next = vec![0];
            while let Some(node) = next.pop() {
                assert_eq!(tree.find(tree.node(node).path), Some(node));
                let (depth, line) = (tree.node(node).depth, tree.node(node).line);
                lines.push(format!("{depth} {} {line} {}", tree.name(node), tree.size(node, Value::Calls)));
                next.extend(tree.sorted_children(node, Value::Calls).into_iter().rev());
            }
            lines
        };
        let down = ["0 all 0 31", "1 [truncated] 0 8", "2 work 6 8", "1 main 0 7", "2 work 6 6", "2 work 5 1"];
        assert_eq!(listed(Direction::Down), down);
        let up = ["0 all 0 31", "1 work 6 14", "2 [truncated] 0 8", "2 main 0 6", "1 work 5 1", "2 main 10 1"];
        assert_eq!(listed(Direction::Up), up);
    }
}
