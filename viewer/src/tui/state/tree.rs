//! The call tree, of which parts are open.

use std::collections::HashSet;

use super::super::data::direction::Direction;
use super::super::data::tree::Tree;
use super::super::keys::Move;
use super::super::pattern::Pattern;
use super::scroll::Scroll;
use crate::value::Value;

/// How the tree is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct TreeView {
    pub(crate) direction: Direction,
    pub(crate) value: Value,
    pub(crate) scroll: Scroll,
    /// Paths of nodes that are open.
    open: HashSet<u64>,
    /// Nodes that are seen or could be scrolled to, from the top.
    pub(crate) rows: Vec<usize>,
    /// Whether it has been opened where most of it is.
    begun: bool,
    /// Path of what was selected in a tree that is no more.
    kept: Option<u64>,
}

/// Nodes opened at once at most.
const MOST_OPENED: usize = 10_000;
/// From this share of all on, a node is open at first.
const HOT: f64 = 0.3;

impl TreeView {
    /// Lists the rows anew; what was selected stays so.
    pub(crate) fn refresh(&mut self, tree: &Tree) {
        if !self.begun && tree.whole(self.value) > 0.0 {
            self.open_hot(tree);
            self.begun = true;
        }
        let selected = self.selected(tree).map(|node| tree.node(node).path).or(self.kept.take());
        self.list(tree);
        if let Some(at) = selected.and_then(|path| self.rows.iter().position(|&node| tree.node(node).path == path)) {
            self.scroll.selected = at;
        }
        self.scroll.show(self.rows.len());
    }

    /// Another tree comes; what is selected will be found in it by its path.
    pub(crate) fn clear(&mut self, tree: &Tree) {
        if let Some(node) = self.selected(tree) {
            self.kept = Some(tree.node(node).path);
            self.rows.clear();
        }
    }

    fn list(&mut self, tree: &Tree) {
        self.rows.clear();
        let mut next = vec![0];
        while let Some(node) = next.pop() {
            self.rows.push(node);
            if self.open.contains(&tree.node(node).path) {
                next.extend(tree.sorted_children(node, self.value).into_iter().rev());
            }
        }
    }

    fn open_hot(&mut self, tree: &Tree) {
        let all = tree.whole(self.value);
        let mut next = vec![0];
        while let Some(node) = next.pop() {
            if node == 0 || tree.size(node, self.value) >= HOT * all {
                self.open.insert(tree.node(node).path);
                next.extend(tree.children(node));
            }
        }
    }

    pub(crate) fn selected(&self, tree: &Tree) -> Option<usize> {
        self.rows.get(self.scroll.selected).copied().filter(|&node| tree.has(node))
    }

    pub(crate) fn is_open(&self, tree: &Tree, node: usize) -> bool {
        self.open.contains(&tree.node(node).path)
    }

    pub(crate) fn go(&mut self, how: Move, tree: &Tree) {
        let Some(node) = self.selected(tree) else { return };
        let is_open = self.is_open(tree, node);
        match how {
            Move::Left if is_open && !tree.is_leaf(node) => self.set_open(tree, node, false),
            Move::Left => self.select(tree.parent(node), tree),
            Move::Right if !is_open => self.set_open(tree, node, true),
            Move::Right => self.scroll.go(Move::Down, self.rows.len()),
            how => self.scroll.go(how, self.rows.len()),
        }
    }

    pub(crate) fn toggle(&mut self, tree: &Tree) {
        if let Some(node) = self.selected(tree) {
            self.set_open(tree, node, !self.is_open(tree, node));
        }
    }

    fn set_open(&mut self, tree: &Tree, node: usize, open: bool) {
        let path = tree.node(node).path;
        if open {
            self.open.insert(path);
        } else {
            self.open.remove(&path);
        }
        self.refresh(tree);
    }

    /// Opens all below what is selected, as far as that is bearable.
    pub(crate) fn open_all(&mut self, tree: &Tree) {
        let mut next: Vec<usize> = self.selected(tree).into_iter().collect();
        let mut opened = 0;
        while let Some(node) = next.pop().filter(|_| opened < MOST_OPENED) {
            self.open.insert(tree.node(node).path);
            opened += 1;
            next.extend(tree.children(node));
        }
        self.refresh(tree);
    }

    pub(crate) fn invert(&mut self, direction: Direction) {
        *self = TreeView {
            direction,
            value: self.value,
            scroll: Scroll { page: self.scroll.page, ..Scroll::default() },
            ..TreeView::default()
        };
    }

    pub(crate) fn set_value(&mut self, value: Value, tree: &Tree) {
        self.value = value;
        self.refresh(tree);
    }

    /// Selects a node, opening all above it.
    pub(crate) fn select(&mut self, node: usize, tree: &Tree) {
        let mut above = node;
        while above != 0 {
            above = tree.parent(above);
            self.open.insert(tree.node(above).path);
        }
        self.list(tree);
        self.scroll.selected = self.rows.iter().position(|&row| row == node).unwrap_or(0);
        self.scroll.show(self.rows.len());
    }

    /// Selects the next node that matches, open or not, or the one before. Returns whether there is one.
    pub(crate) fn find(&mut self, pattern: &Pattern, by: isize, tree: &Tree) -> bool {
        let matches = tree.matches(pattern, self.value);
        let from = self.selected(tree).unwrap_or(0);
        let found = if by > 0 { tree.match_after(&matches, from) } else { tree.match_before(&matches, from) };
        if let Some(node) = found {
            self.select(node, tree);
        }
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::sample_data;

    #[test]
    fn nodes_are_opened_closed_and_found() {
        let tree = Tree::new(&sample_data::named("sqlite"), Direction::Down);
        let mut view = TreeView { scroll: Scroll { page: 10, ..Scroll::default() }, ..TreeView::default() };
        view.refresh(&tree);
        assert!(view.rows.len() > 3, "the hot path is open");
        view.go(Move::Left, &tree);
        assert_eq!(view.rows, [0]);
        view.go(Move::Right, &tree);
        assert!(view.rows.len() > 1);
        view.open_all(&tree);
        let shown = (0..tree.len()).filter(|&node| tree.size(node, Value::Total) > 0.0).count();
        assert_eq!(view.rows.len(), shown);
        view.go(Move::Left, &tree);
        let pattern = Pattern::new("bind_text").unwrap();
        assert!(view.find(&pattern, 1, &tree));
        assert!(tree.name(view.selected(&tree).unwrap()).contains("bind_text"));
        assert!(!view.find(&Pattern::new("no such name").unwrap(), 1, &tree));
    }
}
