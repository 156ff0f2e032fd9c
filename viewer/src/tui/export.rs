//! What is shown as a file: the flame graph as an SVG, all else as comma-separated values (RFC 4180), times in nanoseconds.

use std::ops::Range;
use std::sync::Arc;

use super::app::App;
use super::data::Data;
use super::data::direction::Direction;
use super::data::tree::Tree;
use super::effect::NewFile;
use super::screen::Screen;
use super::state::table::Table;
use super::state::tables::Kind;
use super::tables::{Sheet, SortKey};
use crate::comma_separated;
use crate::export::flamegraph::Drawing;
use crate::units::printable;
use crate::value::Value;

/// Makes a file, or tells why there is none.
pub(super) type Background = Box<dyn FnOnce() -> Result<NewFile, String> + Send>;

/// The file of what a screen shows now, to be made.
pub(super) fn of(app: &App) -> Background {
    let file = |stem: &str, extension, contents| NewFile { stem: format!("cgoprof-{stem}"), extension, contents };
    let csv = move |stem: &str, lines: Vec<Vec<String>>| file(stem, "csv", comma_separated::lines(&lines));
    let shown = Arc::clone(&app.shown);
    match (app.kind(), app.screen) {
        (Some(kind), _) => {
            let lines = app.sheet(kind, rows);
            Box::new(move || Ok(csv(stem(kind), lines)))
        }
        (None, Screen::Flame) => {
            let (direction, value) = (app.flame.direction, app.flame.value);
            let tree = shown.tree(direction);
            let below: Vec<String> =
                tree.names_down_to(app.flame.zoomed(tree)).into_iter().map(str::to_owned).collect();
            Box::new(move || {
                let below: Vec<&str> = below.iter().map(String::as_str).collect();
                let inverted = direction == Direction::Up;
                let svg = Drawing { value, inverted, below: &below, ..Drawing::default() }.draw(&shown.profile);
                svg.map(|svg| file("flame", "svg", svg)).map_err(|error| error.to_string())
            })
        }
        (None, Screen::Timeline) => {
            let seen = app.timeline.seen(shown.lanes());
            Box::new(move || Ok(csv("timeline", events(&shown, &seen))))
        }
        (None, Screen::Detail) => {
            let text = super::layout::detail::text(app).join("\n");
            Box::new(move || Ok(file("detail", "txt", (text + "\n").into_bytes())))
        }
        (None, _) => {
            let lines = tree(app, shown.tree(app.tree.direction));
            Box::new(move || Ok(csv("tree", lines)))
        }
    }
}

fn stem(kind: Kind) -> &'static str {
    match kind {
        Kind::Functions => "functions",
        Kind::Threads => "threads",
        Kind::Goroutines => "goroutines",
        Kind::Locks => "locks",
        Kind::Callbacks => "callbacks",
        Kind::Advice => "advice",
    }
}

/// The rows of a table as they are filtered and sorted, all columns in use.
fn rows(table: &Table, sheet: &dyn Sheet) -> Vec<Vec<String>> {
    let is_told = |column: &usize| sheet.is_used(*column) && !sheet.is_drawn(*column);
    let columns: Vec<usize> = (0..sheet.heads().len()).filter(is_told).collect();
    let heads = columns.iter().map(|&column| sheet.heads()[column].text.to_owned()).collect();
    let cell = |row: usize, column: usize| match sheet.sorted(row, column) {
        SortKey::Name(name) => name,
        SortKey::Number(number) if number.is_finite() => plain(number),
        SortKey::Number(_) => String::new(),
    };
    let line = |&row: &usize| columns.iter().map(|&column| cell(row, column)).collect();
    std::iter::once(heads).chain(table.order.iter().map(line)).collect()
}

/// Without digits that nobody needs.
fn plain(number: f64) -> String {
    if number.fract().abs() < 1e-9 || number.abs() >= 1e6 { format!("{number:.0}") } else { format!("{number:.4}") }
}

/// The rows of the tree that are open.
fn tree(app: &App, tree: &Tree) -> Vec<Vec<String>> {
    let heads = ["depth", "function"].into_iter().chain(Value::ALL.map(Value::name)).map(str::to_owned).collect();
    let line = |&node: &usize| {
        let sizes = Value::ALL.map(|value| plain(tree.size(node, value)));
        [tree.node(node).depth.to_string(), tree.name(node).to_owned()].into_iter().chain(sizes).collect()
    };
    std::iter::once(heads).chain(app.tree.rows.iter().map(line)).collect()
}

/// The slow crossings of a time.
fn events(data: &Data, seen: &Range<u64>) -> Vec<Vec<String>> {
    let heads =
        ["tid", "goroutine", "function", "called_ns", "enter_ns", "c_ns", "exit_ns", "blocked_ns", "stands for"];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    for lane in &data.lanes().lanes {
        let ends_after = |crossing: &&cgoprof_profile::SlowCrossing| super::data::lanes::end(crossing) > seen.start;
        let to = lane.crossings.partition_point(|crossing| crossing.called_ns < seen.end);
        for crossing in lane.crossings[..to].iter().filter(ends_after) {
            let function = data.cell(crossing.cell).map(|cell| &data.profile.functions[cell.function.0].name);
            let numbers = [crossing.called_ns, crossing.enter_ns];
            let more = [crossing.exit_ns, crossing.blocked_ns, crossing.weight.max(1)];
            let mut line = vec![lane.tid.to_string(), crossing.goid.to_string()];
            line.push(function.map_or_else(String::new, |name| printable(name)));
            line.extend(numbers.map(|number| number.to_string()));
            line.push(crossing.c_ns.map_or_else(String::new, |nanos| nanos.to_string()));
            line.extend(more.map(|number| number.to_string()));
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_digits_that_nobody_needs() {
        assert_eq!(plain(3.0), "3");
        assert_eq!(plain(0.25), "0.2500");
        assert_eq!(plain(-0.5), "-0.5000");
        assert_eq!(plain(1234567.8), "1234568");
    }
}
