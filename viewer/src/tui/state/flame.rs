//! The flame graph, zoomed and with a frame selected.

use super::super::data::direction::Direction;
use super::super::data::tree::Tree;
use super::super::keys::Move;
use super::super::pattern::Pattern;
use crate::value::Value;

/// How it is looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlameView {
    pub(crate) direction: Direction,
    pub(crate) value: Value,
    /// Path of the frame that takes the whole width.
    zoom: Option<u64>,
    selected: Option<u64>,
    /// The first row that is seen.
    pub(crate) first: usize,
}

/// A frame where it is drawn: columns from the left, rows from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) node: usize,
    pub(crate) column: u16,
    pub(crate) width: u16,
    pub(crate) row: usize,
}

/// Frames deeper than this are not drawn.
const DEEPEST: usize = 500;

impl FlameView {
    pub(crate) fn zoomed(&self, tree: &Tree) -> usize {
        self.zoom.and_then(|path| tree.find(path)).unwrap_or(0)
    }

    pub(crate) fn selected(&self, tree: &Tree) -> usize {
        self.selected.and_then(|path| tree.find(path)).unwrap_or_else(|| self.zoomed(tree))
    }

    pub(crate) fn select(&mut self, node: usize, tree: &Tree) {
        self.selected = Some(tree.node(node).path);
    }

    /// All frames that are at least a column wide, those above the zoomed one over the whole width.
    pub(crate) fn tiles(&self, tree: &Tree, width: u16) -> Vec<Tile> {
        let zoomed = self.zoomed(tree);
        let mut tiles = Vec::new();
        let mut above = zoomed;
        while above != 0 {
            above = tree.parent(above);
            tiles.push(Tile { node: above, column: 0, width, row: tree.node(above).depth });
        }
        let all = tree.size(zoomed, self.value);
        if all <= 0.0 {
            return tiles;
        }
        let scale = f64::from(width) / all;
        let mut next = vec![(zoomed, 0.0)];
        while let Some((node, start)) = next.pop() {
            let (size, row) = (tree.size(node, self.value), tree.node(node).depth);
            let (from, to) = ((start * scale).round() as u16, ((start + size) * scale).round() as u16);
            if to <= from || row > DEEPEST {
                continue;
            }
            tiles.push(Tile { node, column: from, width: to - from, row });
            let mut start = start;
            for child in tree.children_over(node, self.value, 0.25 / scale) {
                next.push((child, start));
                start += tree.size(child, self.value);
            }
        }
        tiles
    }

    pub(crate) fn go(&mut self, how: Move, tree: &Tree, page: usize) {
        let node = self.selected(tree);
        let shown = |node: usize| tree.children_over(node, self.value, 0.0);
        let to = match how {
            Move::Up => tree.parent(node),
            Move::Down => shown(node).first().copied().unwrap_or(node),
            Move::Left | Move::Right => {
                let siblings = shown(tree.parent(node));
                let at = siblings.iter().position(|&sibling| sibling == node);
                let beside = at.and_then(|at| if how == Move::Left { at.checked_sub(1) } else { Some(at + 1) });
                beside.and_then(|at| siblings.get(at).copied()).unwrap_or(node)
            }
            Move::PageUp => (0..page.max(1)).fold(node, |node, _| tree.parent(node)),
            Move::PageDown => (0..page.max(1)).fold(node, |node, _| shown(node).first().copied().unwrap_or(node)),
            Move::Home => self.zoomed(tree),
            Move::End => {
                let mut deepest = node;
                while let Some(&below) = shown(deepest).first() {
                    deepest = below;
                }
                deepest
            }
        };
        self.select(to, tree);
    }

    /// Gives the selected frame the whole width.
    pub(crate) fn zoom_in(&mut self, tree: &Tree) {
        self.zoom = Some(tree.node(self.selected(tree)).path);
    }

    /// Back to the frame above; returns whether there was one.
    pub(crate) fn zoom_out(&mut self, tree: &Tree) -> bool {
        let zoomed = self.zoomed(tree);
        self.zoom = Some(tree.node(tree.parent(zoomed)).path).filter(|_| tree.parent(zoomed) != 0);
        zoomed != 0
    }

    pub(crate) fn whole(&mut self) {
        (self.zoom, self.selected, self.first) = (None, None, 0);
    }

    pub(crate) fn invert(&mut self) {
        self.direction = match self.direction {
            Direction::Down => Direction::Up,
            Direction::Up => Direction::Down,
        };
        self.whole();
    }

    /// Selects the next frame that matches and can be seen, or the one before. Returns whether there is one.
    pub(crate) fn find(&mut self, pattern: &Pattern, by: isize, tree: &Tree, width: u16) -> bool {
        let matches = tree.matches(pattern, self.value);
        let mut tiles = self.tiles(tree, width);
        tiles.sort_by_key(|tile| (tile.row, tile.column));
        let is_match = |tile: &&Tile| tree.is_match(&matches, tile.node);
        let selected = self.selected(tree);
        let (before, after) = match tiles.iter().position(|tile| tile.node == selected) {
            Some(at) => (&tiles[..at], &tiles[at + 1..]),
            None => (&[] as &[_], &tiles[..]),
        };
        let next = match by {
            1.. => after.iter().find(is_match).or_else(|| tiles.iter().find(is_match)),
            _ => before.iter().rfind(is_match).or_else(|| tiles.iter().rfind(is_match)),
        };
        if let Some(&Tile { node, .. }) = next {
            self.select(node, tree);
        }
        next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::sample_data;

    #[test]
    fn tiles_fill_the_width_and_lie_under_their_parents() {
        for (name, profile) in sample_data::recorded() {
            for direction in [Direction::Down, Direction::Up] {
                let tree = Tree::new(&profile, direction);
                for value in Value::ALL {
                    let view = FlameView { direction, value, ..FlameView::default() };
                    let tiles = view.tiles(&tree, 80);
                    for tile in tiles.iter().filter(|tile| tile.node != 0) {
                        let above = tiles.iter().find(|above| above.node == tree.parent(tile.node)).unwrap();
                        let inside = above.column <= tile.column
                            && tile.column + tile.width <= above.column + above.width
                            && tile.row == above.row + 1;
                        assert!(inside, "{name} {value:?} {tile:?} {above:?}");
                    }
                    let mut seen: Vec<(usize, u16, u16)> =
                        tiles.iter().map(|tile| (tile.row, tile.column, tile.width)).collect();
                    seen.sort_unstable();
                    assert!(
                        seen.windows(2).all(|two| two[0].0 != two[1].0 || two[0].1 + two[0].2 <= two[1].1),
                        "{name}"
                    );
                }
            }
        }
    }

    #[test]
    fn zooming_gives_a_frame_the_whole_width_and_back() {
        let tree = Tree::new(&sample_data::named("sqlite"), Direction::Down);
        let mut view = FlameView::default();
        for _ in 0..4 {
            view.go(Move::Down, &tree, 10);
        }
        let node = view.selected(&tree);
        view.zoom_in(&tree);
        let tiles = view.tiles(&tree, 100);
        assert!(tiles.iter().any(|tile| tile.node == node && tile.width == 100 && tile.row == 4));
        while view.zoom_out(&tree) {}
        assert_eq!(view.zoomed(&tree), 0);
    }
}
