//! The call tree.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::app::App;
use super::super::data::direction::Direction;
use super::super::data::tree::Tree;
use super::painter::{Painter, below};
use crate::tables::Part;
use crate::text_width as fit;
use crate::units::percent;

/// The part that a frame's side of the border is drawn as.
pub(super) fn part_of(kind: cgoprof_profile::Kind) -> Part {
    match kind {
        cgoprof_profile::Kind::Go => Part::Go,
        cgoprof_profile::Kind::Border => Part::Border,
        cgoprof_profile::Kind::C => Part::C,
        cgoprof_profile::Kind::Kernel => Part::Blocked,
    }
}

/// Columns of the numbers.
const SIZE: u16 = 14;
const SHARE: u16 = 8;
const ERROR: u16 = 7;
const CHANGE: u16 = 9;
/// Columns of the bar.
const BAR: u16 = 8;

pub(super) fn draw(app: &App, area: Rect, painter: &mut Painter<'_>) {
    let view = &app.tree;
    let tree = app.shown.tree(view.direction);
    let value = view.value;
    let wide = area.width >= 100;
    let mut x = 0;
    let head = painter.palette.head();
    painter.put_right(x, area.y, SIZE, &value.name().to_uppercase(), head);
    x += SIZE + 1;
    let error = x;
    // Where there is no room for both, an error tells more than a bar.
    let errors = wide || tree.measured(0, value).relative_error().is_some();
    let bars = wide || !errors;
    if errors {
        painter.put_right(x, area.y, ERROR, "\u{b1}", head);
        x += ERROR + 1;
    }
    let share_at = x;
    painter.put_right(x, area.y, SHARE, "OF ALL", head);
    x += SHARE + 1;
    let change_at = x;
    let base = app.compared().map(|base| base.tree(view.direction));
    if base.is_some() {
        painter.put_right(x, area.y, CHANGE, "\u{394}", head);
        x += CHANGE + 1;
    }
    let own = x;
    if wide {
        painter.put_right(x, area.y, SIZE, "ITS OWN", head);
        x += SIZE + 1;
    }
    let bar = x;
    x += if bars { BAR + 1 } else { 0 };
    let way = match view.direction {
        Direction::Down => "CALLS FROM GO'S ROOTS DOWN",
        Direction::Up => "C FUNCTIONS AND THEIR CALLERS",
    };
    painter.put(x, area.y, area.width.saturating_sub(x), way, head);
    let rows = below(area, 1);
    let all = tree.whole(value);
    if all <= 0.0 {
        painter.put(
            1,
            rows.y,
            rows.width,
            &format!("nothing of this value: {}", value.name()),
            painter.palette.faint(),
        );
        return;
    }
    let matching = app.search.as_ref().map(|pattern| tree.matches(pattern, value));
    let seen = view.rows.iter().enumerate().skip(view.scroll.first).take(usize::from(rows.height));
    for (y, (at, &node)) in (rows.y..).zip(seen) {
        let size = tree.size(node, value);
        let share = size / all;
        let heat = painter.palette.heat(share);
        painter.put_right(0, y, SIZE, &value.shown(size), heat);
        painter.put_right(share_at, y, SHARE, &percent(share), heat);
        if let Some(base) = base {
            let change = tree.changed(node, base, value);
            painter.put_right(change_at, y, CHANGE, &change.text(), painter.palette.changed(change.direction()));
        }
        if let Some(share) = tree.measured(node, value).relative_error().filter(|_| errors) {
            painter.put_right(error, y, ERROR, &percent(share), painter.palette.faint());
        }
        let own_size = tree.own(node, value);
        if wide && own_size > 0.0 {
            painter.put_right(own, y, SIZE, &value.shown(own_size), painter.palette.faint());
        }
        if bars {
            painter.bar(bar, y, BAR, share, part_of(tree.node(node).kind));
        }
        let found = matching.as_ref().is_some_and(|matches| tree.is_match(matches, node));
        let style = if found { painter.palette.matched() } else { name_style(painter, tree, node) };
        let depth = tree.node(node).depth;
        let mark = match (tree.is_leaf(node), view.is_open(tree, node)) {
            (true, _) => ' ',
            (false, true) => '\u{25be}',
            (false, false) => '\u{25b8}',
        };
        let room = usize::from(area.width.saturating_sub(x));
        let indent = (depth * if wide { 2 } else { 1 }).min(room / 2);
        let place = place(app, tree, node);
        let name = if wide { tree.name(node) } else { fit::without_path(tree.name(node)) };
        let left = room.saturating_sub(indent + 2);
        painter.put(x + indent as u16, y, 1, &mark.to_string(), painter.palette.faint());
        let shown = fit::end(name, left);
        painter.put(x + indent as u16 + 2, y, left as u16, &shown, style);
        let after = indent + 2 + fit::width(&shown) + 2;
        if room > after + 8 {
            painter.put(
                x + after as u16,
                y,
                (room - after) as u16,
                &fit::end(&place, room - after),
                painter.palette.faint(),
            );
        }
        if at == view.scroll.selected {
            painter.tone(Rect { y, height: 1, ..area }, painter.palette.selected());
        }
    }
}

fn name_style(painter: &Painter<'_>, tree: &Tree, node: usize) -> Style {
    if node == 0 { Style::new() } else { painter.palette.part(part_of(tree.node(node).kind)) }
}

/// `dir/file.go:12`, or nothing.
pub(super) fn place(app: &App, tree: &Tree, node: usize) -> String {
    let Some(function) = tree.function(node) else { return String::new() };
    let file = &app.shown.profile.functions[function.0].file;
    match (file.is_empty(), tree.node(node).line) {
        (true, _) => String::new(),
        (false, 0) => crate::units::printable(file),
        (false, line) => crate::units::printable(&format!("{file}:{line}")),
    }
}
