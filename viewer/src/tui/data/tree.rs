//! All crossings merged by their stacks into a tree, from Go's roots down or from C functions up.

use std::sync::{Arc, Mutex};

use cgoprof_profile::{Estimate, Function, FunctionId, Profile};

use super::change::Change;
use super::direction::Direction;
use super::matches::Matches;
use super::paths::Paths;
use super::tree_builder::{Node, Spread, TreeBuilder};
use crate::measured::Measured;
use crate::units::printable;
use crate::value::Value;

/// The tree. The first node is the root, which stands for all.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(super) growth: TreeBuilder,
    /// All functions in the order of their names, which is that of ranks. The last rank is that of preempted threads.
    functions: Vec<FunctionId>,
    /// By rank, safe to show.
    pub(super) names: Vec<String>,
    /// The nodes by their paths, in the order of these.
    by_path: Vec<(u64, u32)>,
    /// Processor time that a sample stands for, in nanoseconds.
    period: f64,
    /// What was searched for last.
    pub(super) matches: Mutex<Option<Arc<Matches>>>,
}

impl Tree {
    pub(crate) fn new(profile: &Profile, direction: Direction) -> Tree {
        let mut functions: Vec<FunctionId> = (0..profile.functions.len()).map(FunctionId).collect();
        functions.sort_by_key(|function| &profile.functions[function.0].name);
        let mut ranks = vec![0; functions.len()];
        functions.iter().zip(0..).for_each(|(function, rank)| ranks[function.0] = rank);
        let preempted = Function::of_wait(Function::PREEMPTED);
        let in_order = functions.iter().map(|function| &profile.functions[function.0]);
        let ranked: Vec<&Function> = in_order.chain([&preempted]).collect();
        let growth = TreeBuilder::of(&Paths::of(profile, direction, &ranks), &ranked);
        let mut by_path: Vec<(u64, u32)> = growth.nodes.iter().map(|node| node.path).zip(0..).collect();
        by_path.sort_unstable();
        let names = ranked.iter().map(|function| printable(&function.name)).collect();
        let period = profile.recording.sample_period_ns as f64;
        Tree { growth, functions, names, by_path, period, matches: Mutex::new(None) }
    }

    /// How many nodes there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.growth.nodes.len()
    }

    pub(crate) fn has(&self, node: usize) -> bool {
        node < self.growth.nodes.len()
    }

    pub(crate) fn node(&self, node: usize) -> &Node {
        &self.growth.nodes[node]
    }

    /// The node above; the root's is itself.
    pub(crate) fn parent(&self, node: usize) -> usize {
        self.growth.links[node].parent as usize
    }

    /// None of the root, where a stack was cut off, and where it had lost its processor.
    pub(crate) fn function(&self, node: usize) -> Option<FunctionId> {
        self.functions.get(self.growth.links[node].rank? as usize).copied()
    }

    pub(crate) fn name(&self, node: usize) -> &str {
        match self.growth.links[node].rank {
            Some(rank) => &self.names[rank as usize],
            None if node == 0 => "all",
            None => "[truncated]",
        }
    }

    /// How much of a value a node and all below it have.
    pub(crate) fn size(&self, node: usize, value: Value) -> f64 {
        self.growth.sizes[value as usize][node]
    }

    /// How much all have.
    pub(crate) fn whole(&self, value: Value) -> f64 {
        self.size(0, value)
    }

    pub(crate) fn find(&self, path: u64) -> Option<usize> {
        let at = self.by_path.partition_point(|(before, _)| *before < path);
        self.by_path.get(at).filter(|(found, _)| *found == path).map(|&(_, node)| node as usize)
    }

    /// The names from below the root on to a node.
    pub(crate) fn names_down_to(&self, node: usize) -> Vec<&str> {
        let above = std::iter::successors(Some(node), |&node| Some(self.parent(node)));
        let mut names: Vec<&str> = above.take_while(|&node| node != 0).map(|node| self.name(node)).collect();
        names.reverse();
        names
    }

    /// In the order of their names.
    pub(crate) fn children(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        let children = self.node(node).children.clone();
        children.map(|child| child as usize)
    }

    pub(crate) fn is_leaf(&self, node: usize) -> bool {
        self.node(node).children.is_empty()
    }

    /// What of a node's size is not its children's.
    pub(crate) fn own(&self, node: usize, value: Value) -> f64 {
        let size = self.size(node, value);
        let below: f64 = self.children(node).map(|child| self.size(child, value)).sum();
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
        other.find(self.node(node).path)
    }

    /// A node's size with its error. The error of a part of the total is taken to be that of the total.
    pub(crate) fn measured(&self, node: usize, value: Value) -> Measured {
        let size = self.size(node, value);
        let error = match value {
            Value::Calls | Value::Blocked | Value::Preempted => 0.0,
            Value::Total | Value::C | Value::Overhead | Value::ExitWait => {
                let Spread { variance, common } = self.growth.spreads[node];
                Estimate { sum: 0.0, variance, common }.standard_error()
            }
            Value::Cpu => (size * self.period).sqrt(),
        };
        Measured { value: size, error }
    }

    /// Of those that have any of a value, the largest first.
    pub(crate) fn sorted_children(&self, node: usize, value: Value) -> Vec<usize> {
        self.children_over(node, value, 0.0)
    }

    /// Those of more than a size, the largest first.
    pub(crate) fn children_over(&self, node: usize, value: Value, least: f64) -> Vec<usize> {
        let size = |node: usize| self.size(node, value);
        let mut children: Vec<usize> = self.children(node).filter(|&child| size(child) > least).collect();
        // Of one size they stay in the order of their names.
        children.sort_by(|&one, &other| size(other).total_cmp(&size(one)));
        children
    }
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
                assert_eq!(tree.whole(Value::Calls), calls as f64, "{name}");
                assert!((tree.whole(Value::Overhead) - overhead).abs() <= 1e-6 * overhead, "{name}");
                let mut own = 0.0;
                for at in 0..tree.len() {
                    let below: f64 = tree.children(at).map(|child| tree.size(child, Value::Total)).sum();
                    let all = tree.size(at, Value::Total);
                    assert!(below <= all * (1.0 + 1e-6) && tree.children(at).all(|child| child > at), "{name}");
                    own += tree.own(at, Value::Total);
                }
                let all = tree.whole(Value::Total);
                assert!((own - all).abs() <= 1e-6 * all.max(1.0), "{name}: {own} of {all}");
            }
        }
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
            for node in 0..tree.len() {
                let found = tree.same(node, &same).expect("it is there");
                let measures = |tree: &Tree, node| Value::ALL.map(|value| tree.size(node, value));
                assert_eq!(measures(&same, found), measures(&tree, node));
                assert_eq!(same.node(found).depth, tree.node(node).depth);
            }
            let none = Tree::new(&sample_data::named("callbacks"), direction);
            let deepest = (0..tree.len()).max_by_key(|&node| tree.node(node).depth).expect("nodes");
            assert_eq!(tree.same(deepest, &none), None);
        }
    }
}
