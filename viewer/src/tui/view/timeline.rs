//! Threads in time.

use cgoprof_profile::SlowCrossing;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::app::App;
use super::super::data::lanes::{Doing, Lane, Lanes, end};
use super::super::layout::areas::{ABOVE_LANES, BELOW, LANE_NAME};
use super::super::palette::Palette;
use super::painter::Painter;
use crate::slowest;
use crate::tables::Part;
use crate::text_width as fit;
use crate::units::{printable, time};

/// How a stretch of a lane is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stroke {
    symbol: char,
    part: Part,
}

const fn stroke(symbol: char, part: Part) -> Stroke {
    Stroke { symbol, part }
}

/// In C, running or ready.
const IN_C: Stroke = stroke('\u{2588}', Part::C);
const BLOCKED: Stroke = stroke('\u{2592}', Part::Blocked);
const WAITING: Stroke = stroke('\u{259a}', Part::Waiting);
const LOCKED: Stroke = stroke('\u{2550}', Part::Locked);
/// Nothing of these, where it is not known when threads slept.
const OTHER: Stroke = stroke('\u{2500}', Part::Idle);
const GO: Stroke = stroke('\u{2500}', Part::Go);
const IDLE: Stroke = stroke('\u{b7}', Part::Idle);
/// A slow crossing, in a column that is mostly something else.
const SOME: Stroke = stroke('\u{258f}', Part::C);

/// What most of each column is, the columns being the times between these moments.
fn strokes(lane: &Lane, moments: &[u64], sleeps: bool) -> Vec<Option<Stroke>> {
    let doings = [Doing::InC, Doing::Blocked, Doing::WaitingForP, Doing::Locked, Doing::Asleep];
    let shares = doings.map(|doing| lane.shares(doing, moments));
    let awake = match (sleeps, lane.was_seen()) {
        (true, true) => GO,
        // It would have been seen to lose the processor.
        (true, false) => IDLE,
        (false, _) => OTHER,
    };
    let stroke = |(at, two): (usize, &[u64])| {
        let there = two[1] > lane.life.start && two[0] < lane.life.end;
        there.then(|| stroke_of(shares.each_ref().map(|shares| shares[at]), awake))
    };
    moments.windows(2).enumerate().map(stroke).collect()
}

fn stroke_of([in_c, blocked, waiting, locked, asleep]: [f64; 5], awake: Stroke) -> Stroke {
    // Waits are within C, and a thread whose goroutine waits for a P sleeps.
    let (blocked, running) = (blocked.min(in_c), (in_c - blocked).max(0.0));
    let other = (1.0 - in_c - waiting).max(0.0);
    let idle = (asleep - blocked - waiting).clamp(0.0, other);
    let rest = match (idle > other / 2.0, locked > 0.5) {
        (_, true) => LOCKED,
        (true, false) => IDLE,
        (false, false) => awake,
    };
    let mut most = (other, rest);
    for (share, stroke) in [(running, IN_C), (blocked, BLOCKED), (waiting, WAITING)] {
        if share > most.0 {
            most = (share, stroke);
        }
    }
    let hidden = in_c + waiting > 0.0 && most.1 == rest;
    if hidden { SOME } else { most.1 }
}

pub(super) fn draw(app: &App, area: Rect, painter: &mut Painter<'_>) {
    let lanes = app.shown.lanes();
    let columns = area.width.saturating_sub(LANE_NAME);
    if lanes.lanes.is_empty() {
        let text = "no threads were watched, and nothing was slow: there is no timeline";
        return painter.put(1, area.y, area.width, text, painter.palette.faint());
    }
    axis(app, lanes, area, painter);
    counters(app, lanes, area, columns, painter);
    let view = &app.timeline;
    let rows = area.height.saturating_sub(ABOVE_LANES + BELOW);
    let moments: Vec<u64> = (0..=columns).map(|column| view.time_of(column, lanes).start).collect();
    let seen = lanes.lanes.iter().enumerate().skip(view.scroll.first).take(usize::from(rows));
    for (y, (at, lane)) in (area.y + ABOVE_LANES..).zip(seen) {
        let selected = at == view.scroll.selected;
        let style = if selected { painter.palette.selected() } else { Style::new() };
        let m = lane.m.map_or_else(|| "thread".to_owned(), |m| format!("M{m}"));
        let name = fit::left(&format!("{m:<6}{} {}", lane.tid, lane.name), usize::from(LANE_NAME) - 1);
        painter.put(0, y, LANE_NAME - 1, &name, style);
        for (x, stroke) in (LANE_NAME..area.width).zip(strokes(lane, &moments, lanes.sleeps.is_some())) {
            if let Some(stroke) = stroke {
                painter.fill(Rect { x, y, width: 1, height: 1 }, stroke.symbol, painter.palette.part(stroke.part));
            }
        }
    }
    marks(app, lanes, area, rows, painter);
    let below = Rect { y: area.y + ABOVE_LANES + rows, height: BELOW, ..area };
    about(app, lanes, below, painter);
}

/// Moments along the top.
fn axis(app: &App, lanes: &Lanes, area: Rect, painter: &mut Painter<'_>) {
    const APART: u16 = 14;
    let seen = app.timeline.seen(lanes);
    let length = time((seen.end - seen.start) as f64);
    painter.put(0, area.y, LANE_NAME - 1, &format!("{} lanes, {length}", lanes.lanes.len()), painter.palette.head());
    let columns = area.width.saturating_sub(LANE_NAME);
    for column in (0..columns.saturating_sub(APART / 2)).step_by(usize::from(APART)) {
        let at = app.timeline.time_of(column, lanes).start;
        let text = format!("\u{258f}{}", moment(at, (seen.end - seen.start) / u64::from(columns.max(1))));
        painter.put(LANE_NAME + column, area.y, APART - 1, &text, painter.palette.faint());
    }
}

/// As many digits as columns can be told apart by.
fn moment(nanos: u64, step: u64) -> String {
    let seconds = nanos as f64 / 1e9;
    match step {
        ..10 => format!("{seconds:.9} s"),
        10..10_000 => format!("{seconds:.6} s"),
        10_000..10_000_000 => format!("{seconds:.3} s"),
        _ => format!("{seconds:.1} s"),
    }
}

/// Threads in C, and threads born.
fn counters(app: &App, lanes: &Lanes, area: Rect, columns: u16, painter: &mut Painter<'_>) {
    const BARS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    let times = || (0..columns).map(|column| (column, app.timeline.time_of(column, lanes)));
    let most = lanes.counters.iter().map(|look| look.in_c).max().unwrap_or(0);
    painter.put(0, area.y + 1, LANE_NAME - 1, &format!("in C, up to {most}"), painter.palette.part(Part::C));
    painter.put(
        0,
        area.y + 2,
        LANE_NAME - 1,
        &format!("born: {}", lanes.births.len()),
        painter.palette.part(Part::Border),
    );
    for (column, time) in times() {
        if let Some(in_c) = lanes.most_in_c(&time).filter(|_| most > 0) {
            let height = (in_c as f64 / most as f64 * 8.0).ceil() as usize;
            painter.put(LANE_NAME + column, area.y + 1, 1, BARS[height.min(8)], painter.palette.part(Part::C));
        }
        match lanes.born(&time) {
            0 => {}
            1 => painter.put(LANE_NAME + column, area.y + 2, 1, "+", painter.palette.part(Part::Border)),
            2..=9 => painter.put(
                LANE_NAME + column,
                area.y + 2,
                1,
                &lanes.born(&time).to_string(),
                painter.palette.part(Part::Border),
            ),
            _ => painter.put(LANE_NAME + column, area.y + 2, 1, "*", painter.palette.part(Part::Border)),
        }
    }
}

/// The cursor, and the span that is marked or being marked.
fn marks(app: &App, lanes: &Lanes, area: Rect, rows: u16, painter: &mut Painter<'_>) {
    let view = &app.timeline;
    let column = |column: u16, width: u16| Rect { x: LANE_NAME + column, y: area.y, width, height: ABOVE_LANES + rows };
    let seen = view.seen(lanes);
    let under = view.under_cursor(lanes);
    let span = match view.mark {
        Some(from) => Some(from.min(under.start)..from.max(under.end)),
        None => view.span.clone(),
    };
    if let Some(span) = span.filter(|span| span.start < seen.end && span.end > seen.start) {
        let from = view.column_of(span.start.max(seen.start), lanes).unwrap_or(0);
        let to = view.column_of((span.end - 1).clamp(span.start, seen.end), lanes).unwrap_or(view.columns);
        painter.tone(column(from, to.saturating_sub(from) + 1), span_style(painter.palette));
    }
    if let Some(at) = view.column_of(view.cursor, lanes) {
        painter.tone(column(at, 1), Style::new().add_modifier(ratatui::style::Modifier::REVERSED));
    }
}

fn span_style(palette: Palette) -> Style {
    match palette.colours {
        super::super::palette::Colours::True => palette.selected(),
        _ => Style::new().add_modifier(ratatui::style::Modifier::UNDERLINED),
    }
}

/// What is under the cursor, with its stack; and what strokes mean.
fn about(app: &App, lanes: &Lanes, area: Rect, painter: &mut Painter<'_>) {
    painter.put(0, area.y, area.width, &"\u{2500}".repeat(usize::from(area.width)), painter.palette.faint());
    let mut x = 2;
    let mut legend =
        vec![(IN_C, "C"), (BLOCKED, "blocked"), (WAITING, "waits for P"), (SOME, "some C"), (LOCKED, "locked")];
    match lanes.sleeps {
        Some(_) => legend.extend([(GO, "Go"), (IDLE, "idle")]),
        None => legend.push((OTHER, "Go or idle")),
    }
    for (stroke, name) in legend {
        let text = format!(" {} {name} ", stroke.symbol);
        painter.put(x, area.y, area.width.saturating_sub(x), &text, painter.palette.part(stroke.part));
        x += fit::width(&text) as u16 + 1;
    }
    let view = &app.timeline;
    let under = view.under_cursor(lanes);
    let width = area.width - 1;
    match app.event() {
        Some(event) => {
            let (what, stack) = event_lines(app, event);
            painter.put(1, area.y + 1, width, &what, Style::new());
            painter.put(1, area.y + 2, width, &stack, painter.palette.faint());
        }
        None => {
            let at = time(under.start as f64);
            let locked = view.lane(lanes).is_some_and(|lane| lane.share(Doing::Locked, &under) > 0.5);
            let locked = if locked { "; a goroutine is locked to the thread" } else { "" };
            painter.put(1, area.y + 1, width, &format!("at {at}: no slow crossing{locked}"), painter.palette.faint());
            let timeline = &app.whole.profile.timeline;
            let mut missing = Vec::new();
            if timeline.dropped > 0 {
                let shortest = time(timeline.shortest_ns as f64);
                missing.push(format!("{} slow crossings shorter than {shortest} were not kept", timeline.dropped));
            }
            let waits = [
                (timeline.dropped_waits, timeline.shortest_wait_ns, "waits in C"),
                (timeline.dropped_asleep, timeline.shortest_asleep_ns, "sleeps"),
            ];
            for (dropped, shortest, what) in waits.into_iter().filter(|&(dropped, ..)| dropped > 0) {
                missing.push(format!("{dropped} {what} shorter than {} were not kept", time(shortest as f64)));
            }
            if let Some(shortest) = lanes.sleeps {
                missing.push(format!("sleeps shorter than {} and short crossings look like Go", time(shortest as f64)));
            }
            painter.put(1, area.y + 2, width, &missing.join("; "), painter.palette.faint());
        }
    }
}

fn event_lines(app: &App, event: &SlowCrossing) -> (String, String) {
    let profile = &app.shown.profile;
    let cell = app.shown.cell(event.cell);
    let name = cell.map_or("?", |cell| &profile.functions[cell.function.0].name);
    let mut what = format!("{}  at {}: ", printable(name), moment(event.called_ns, 100));
    what += &slowest::time_in_c(event);
    if event.blocked_ns > 0 {
        what += &format!(", {} of it blocked", time(event.blocked_ns as f64));
    }
    let blocked = slowest::blocked_in(profile, event);
    let longest = blocked.iter().find_map(|part| Some((part, part.waits_in?)));
    if let Some((part, call)) = longest {
        what += &format!(" ({} in {})", time(part.nanos as f64), printable(call));
    }
    if let Some(preempted) = event.preempted_ns.filter(|&nanos| nanos > 0) {
        what += &format!(", {} of it preempted", time(preempted as f64));
    }
    if event.exit_ns > 0 {
        what += &format!(", then {} back to Go", time(event.exit_ns as f64));
    }
    if event.goid > 0 {
        what += &format!(", goroutine {}", event.goid);
    }
    if let Some(labels) = slowest::labels_text(slowest::labels(profile, event)) {
        what += &format!(", labels {labels}");
    }
    if let Some(other) = slowest::other_thread(event) {
        what += &format!(", went on in thread {other}");
    }
    if !event.open {
        what += &format!(", until {}", moment(end(event), 100));
    }
    let frames = cell.map(|cell| crate::analysis::frames(profile, &cell.stack)).unwrap_or_default();
    // What waited, and the function of C that had called it; where no look found that, the Go frames tell more.
    let inside = longest.map_or(&[][..], |(part, _)| part.inside.get(1..).unwrap_or_default());
    let frames = if inside.is_empty() { &frames[frames.len().min(2)..] } else { &frames[..] };
    let stack: Vec<String> = inside.iter().chain(frames).map(super::super::state::detail::frame_line).collect();
    (what, stack.join("  \u{2190}  "))
}
