//! The flame graph, its root above.

use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::super::app::App;
use super::super::data::direction::Direction;
use super::super::data::tree::Tree;
use super::super::layout::areas::BELOW;
use super::painter::Painter;
use super::tree::{part_of, place};
use crate::text_width as fit;
use crate::units::percent;
use crate::value::Value;

pub(super) fn draw(app: &App, area: Rect, painter: &mut Painter<'_>) {
    let view = &app.flame;
    let tree = app.shown.tree(view.direction);
    let rows = area.height.saturating_sub(BELOW);
    let matching = app.search.as_ref().map(|pattern| tree.matches(pattern, view.value));
    let selected = view.selected(tree);
    if tree.whole(view.value) <= 0.0 {
        let text = format!("nothing of this value: {}; v shows another", view.value.name());
        painter.put(1, area.y, area.width, &text, painter.palette.faint());
    }
    for tile in view.tiles(tree, area.width) {
        let Some(row) = tile.row.checked_sub(view.first).filter(|&row| row < usize::from(rows)) else { continue };
        let node = &tree.node(tile.node);
        let found = matching.as_ref().is_some_and(|matches| tree.is_match(matches, tile.node));
        let mut style = match (found, tile.node) {
            (true, _) => painter.palette.matched(),
            (false, 0) => painter.palette.bar(),
            (false, _) => painter.palette.filled(part_of(node.kind)),
        };
        if tile.node == selected {
            style = style.add_modifier(Modifier::REVERSED | Modifier::BOLD);
        }
        let y = area.y + row as u16;
        painter.fill(Rect { x: tile.column, y, width: tile.width, height: 1 }, ' ', style);
        // A gap between frames; without colours that is all that tells them apart.
        let name = match tile.width {
            0..=2 => "\u{258f}".to_owned(),
            width => format!("\u{258f}{}", fit::start(fit::without_path(tree.name(tile.node)), usize::from(width) - 1)),
        };
        painter.put(tile.column, y, tile.width, &name, style);
    }
    let below = Rect { y: area.y + rows, height: area.height - rows, ..area };
    about(app, tree, selected, below, painter);
}

/// What is selected: its whole name, where it is, its numbers; and what the search found.
fn about(app: &App, tree: &Tree, node: usize, area: Rect, painter: &mut Painter<'_>) {
    let view = &app.flame;
    painter.put(0, area.y, area.width, &"\u{2500}".repeat(usize::from(area.width)), painter.palette.faint());
    let all = tree.whole(view.value).max(f64::MIN_POSITIVE);
    let way = match view.direction {
        Direction::Down => "",
        Direction::Up => ", callers below",
    };
    let found = app.search.as_ref().map(|pattern| {
        let matches = tree.matches(pattern, view.value);
        let (sum, share) = (view.value.shown(matches.sum), percent(matches.sum / all));
        format!("   /{}: {} frames, {sum} ({share})", pattern.text(), matches.count)
    });
    let changed = app.compared().map_or_else(String::new, |base| {
        format!("   {}", tree.changed(node, base.tree(view.direction), view.value).shown())
    });
    let measured = tree.measured(node, view.value);
    let size = format!("{} {}{}", view.value.name(), view.value.shown(measured.value), measured.error_text());
    let title = format!(" {size}{changed}{way}{} ", found.unwrap_or_default());
    painter.put(2, area.y, area.width.saturating_sub(4), &crate::units::printable(&title), painter.palette.head());
    let place = place(app, tree, node);
    let name = format!("{}  {place}", tree.name(node));
    painter.put(1, area.y + 1, area.width - 1, &fit::start(&name, usize::from(area.width) - 1), Default::default());
    let sizes = Value::ALL.iter().filter(|&&value| tree.whole(value) > 0.0).map(|&value| {
        let size = tree.size(node, value);
        format!("{} {} ({})", value.name(), value.shown(size), percent(size / tree.whole(value)))
    });
    let sizes: Vec<String> = sizes.collect();
    painter.put(1, area.y + 2, area.width - 1, &sizes.join("   "), painter.palette.faint());
}
