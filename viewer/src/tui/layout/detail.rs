//! The document about one C function.

use cgoprof_profile::{Function, Stats};

use super::histogram::{self, Bar};
use crate::measured::Measured;
use crate::tables::Part;
use crate::text_width::{self as fit, wrapped};
use crate::tui::app::App;
use crate::tui::data::change::Change;
use crate::tui::state::detail::Detail;
use crate::tui::state::sources::{Source, SourceLine};
use crate::units::{calls, count, percent, printable, some_count, some_time, time};

/// A piece of a line.
pub(crate) enum Piece {
    Text(String, Look),
    /// A bar of a share of so many columns.
    Bar(f64, u16, Part),
}

/// How a text looks.
#[derive(Clone, Copy)]
pub(crate) enum Look {
    Plain,
    Head,
    Faint,
    Good,
    Part(Part),
}

/// A line of the document.
pub(crate) type Line = Vec<Piece>;

/// How many lines there are.
pub(crate) fn length(app: &App) -> usize {
    lines(app).len()
}

/// The lines as text: for searching, and for a file.
pub(crate) fn text(app: &App) -> Vec<String> {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text, _) => text.clone(),
        &Piece::Bar(share, columns, _) => {
            fit::left(&"#".repeat((share.clamp(0.0, 1.0) * f64::from(columns)).round() as usize), usize::from(columns))
        }
    };
    lines(app).iter().map(|line| line.iter().map(piece).collect::<String>().trim_end().to_owned()).collect()
}

/// The lines of the document.
pub(crate) fn lines(app: &App) -> Vec<Line> {
    let width = usize::from(app.size.width.saturating_sub(2));
    match &app.detail.shown {
        Some(detail) => document(app, detail, width),
        None => {
            let text = match app.about_name() {
                Some(name) => format!("{name} was not called in what is shown"),
                None => "no function is selected: Enter on one in Functions".into(),
            };
            vec![vec![Piece::Text(text, Look::Faint)]]
        }
    }
}

fn plain(text: impl Into<String>) -> Line {
    vec![Piece::Text(text.into(), Look::Plain)]
}

fn head(lines: &mut Vec<Line>, text: impl Into<String>) {
    lines.push(Vec::new());
    lines.push(vec![Piece::Text(text.into(), Look::Head)]);
}

fn document(app: &App, detail: &Detail, width: usize) -> Vec<Line> {
    let row = &detail.row;
    let function = &app.shown.profile.functions[row.id.0];
    let mut lines = vec![vec![Piece::Text(row.name.clone(), Look::Head)]];
    let mut facts = Vec::new();
    let Function { package, library, symbol, file, .. } = function;
    for (what, value) in [("Go package", package), ("library", library), ("symbol", symbol), ("file", file)] {
        if !value.is_empty() {
            facts.push(format!("{what} {}", printable(value)));
        }
    }
    lines.push(vec![Piece::Text(facts.join(", "), Look::Faint)]);
    lines.extend(wrapped(&numbers(app, detail), width).into_iter().map(plain));
    phases(detail, width, &mut lines);
    histograms(detail, width, &mut lines);
    advice(detail, width, &mut lines);
    sites(detail, width, &mut lines);
    sources("CALLS TO ANY C FUNCTION", &detail.sources, &mut lines);
    sources("PROCESSOR TIME IN C", &detail.in_c, &mut lines);
    threads(detail, &mut lines);
    stacks(detail, width, &mut lines);
    lines
}

fn numbers(app: &App, detail: &Detail) -> String {
    let stats = &detail.row.stats;
    let before = app.compared().map(|base| base.same_function(&detail.row).map(|row| &row.stats));
    let changed = |of: fn(&Stats) -> Measured| match before {
        Some(before) => format!(" ({})", Change::between(before.map(of), of(stats)).shown()),
        None => String::new(),
    };
    let mut parts = Vec::new();
    if app.shown.profile.recording.counted() {
        parts.push(format!("{}{}", calls(stats.calls), changed(|stats| Measured::count(stats.calls))));
    }
    if stats.timed > 0 {
        let total = Measured::from(stats.total());
        parts.push(format!(
            "{}{} in total{}, {} of the run",
            time(total.value),
            total.error_text(),
            changed(|stats| stats.total().into()),
            percent(total.value / app.shown.totals.duration.max(1.0))
        ));
        // What began before is in the sum, and not among the calls.
        if stats.calls > 0 {
            parts.push(format!("{} each", time(total.value / stats.measured_calls().max(1) as f64)));
        }
    }
    if let Some(cpu) = detail.row.cpu.filter(|cpu| cpu.nanos > 0.0) {
        let cpu = Measured { value: cpu.nanos, error: cpu.standard_error };
        parts.push(format!("{}{} of processor time in C", time(cpu.value), cpu.error_text()));
    }
    let some = |number: u64, what: &str| (number > 0).then(|| format!("{} {what}", count(number)));
    parts.extend(some(stats.p_lost, "Ps lost"));
    parts.extend(some(stats.migrations, "migrations"));
    parts.extend(some(detail.row.locked_calls, "of them locked to a thread"));
    parts.extend(some(stats.callbacks, "callbacks"));
    parts.extend(some(stats.abandoned, "abandoned"));
    parts.extend(some(stats.in_flight, "still in C"));
    parts.join(", ")
}

/// Where the time goes, as one bar of parts.
fn phases(detail: &Detail, width: usize, lines: &mut Vec<Line>) {
    let stats = &detail.row.stats;
    let total = stats.total().sum;
    if total <= 0.0 {
        return;
    }
    head(lines, "WHERE THE TIME GOES");
    let callbacks = stats.callback.sum.min(stats.c.sum);
    let blocked = stats.blocked_self().min(stats.c.sum - callbacks);
    let exact = |value: f64| Measured { value, error: 0.0 };
    let in_c = Measured { value: stats.c.sum - callbacks - blocked, ..stats.c.into() };
    let phases = [
        ("getting to C", stats.enter.into(), '\u{2591}', Part::Border),
        ("in C", in_c, '\u{2588}', Part::C),
        ("blocked in C", exact(blocked), '\u{2592}', Part::Blocked),
        ("callbacks into Go", Measured { value: callbacks, ..stats.callback.into() }, '\u{2550}', Part::Go),
        ("back to Go", stats.exit.into(), '\u{259a}', Part::Waiting),
    ];
    let columns = width.min(100) as f64;
    let mut bar = Vec::new();
    for &(_, time, symbol, part) in &phases {
        let own = ((time.value / total).clamp(0.0, 1.0) * columns).round() as usize;
        bar.push(Piece::Text(symbol.to_string().repeat(own), Look::Part(part)));
    }
    lines.push(bar);
    for (name, phase, symbol, part) in phases.into_iter().filter(|(_, phase, ..)| phase.value > 0.0) {
        let (share, error) = (percent(phase.value / total), phase.error_text());
        let text = format!(" {name:<18}{:>9} {share:>8} {error}", time(phase.value));
        lines.push(vec![Piece::Text(symbol.into(), Look::Part(part)), Piece::Text(text, Look::Plain)]);
    }
}

/// C times and overheads, beside each other where there is room.
fn histograms(detail: &Detail, width: usize, lines: &mut Vec<Line>) {
    let stats = &detail.row.stats;
    let (c, overhead) = (histogram::bars(&stats.c_times), histogram::bars(&stats.overhead_times));
    let quantiles = |times: &cgoprof_profile::Distribution| {
        let at = |share: f64| times.quantile(share).map_or_else(String::new, time);
        let (low, high) = times.extremes.unwrap_or_default();
        format!("{} .. p50 {} p90 {} p99 {} .. {}", time(low), at(0.5), at(0.9), at(0.99), time(high))
    };
    if width >= 110 && !c.is_empty() && !overhead.is_empty() {
        let half = width / 2 - 1;
        lines.push(Vec::new());
        let title = |name: &str, times| fit::left(&format!("{name}  {}", quantiles(times)), half);
        let titles = title("TIME IN C", &stats.c_times) + "  " + &title("OVERHEAD", &stats.overhead_times);
        lines.push(vec![Piece::Text(titles, Look::Head)]);
        for at in 0..c.len().max(overhead.len()) {
            let mut line = histogram_line(c.get(at), half, Part::C);
            line.push(Piece::Text("  ".into(), Look::Plain));
            line.extend(histogram_line(overhead.get(at), half, Part::Border));
            lines.push(line);
        }
        return;
    }
    for (name, bars, times, part) in
        [("TIME IN C", c, &stats.c_times, Part::C), ("OVERHEAD", overhead, &stats.overhead_times, Part::Border)]
    {
        if !bars.is_empty() {
            head(lines, format!("{name}  {}", quantiles(times)));
            lines.extend(bars.iter().map(|bar| histogram_line(Some(bar), width, part)));
        }
    }
}

/// Columns of a bar's beginning and count.
const FROM: usize = 9;
const COUNT: usize = 14;

fn histogram_line(bar: Option<&Bar>, width: usize, part: Part) -> Line {
    let Some(bar) = bar else { return vec![Piece::Text(" ".repeat(width), Look::Plain)] };
    let columns = width.saturating_sub(FROM + COUNT + 1);
    let from = Piece::Text(fit::right(&bar.from, FROM) + " ", Look::Faint);
    let text = if bar.count > 0 { count(bar.count) } else { String::new() };
    vec![from, Piece::Bar(bar.share, columns as u16, part), Piece::Text(fit::right(&text, COUNT), Look::Plain)]
}

fn advice(detail: &Detail, width: usize, lines: &mut Vec<Line>) {
    if detail.advice.is_empty() {
        return;
    }
    head(lines, "ADVICE");
    for advice in &detail.advice {
        let saving = advice.saving.map(|saving| saving.nanos).filter(|&nanos| nanos > 0.0);
        let saving = saving.map_or_else(String::new, |nanos| format!("saves {}: ", time(nanos)));
        lines.extend(wrapped(&printable(&format!("{saving}{}", advice.why)), width).into_iter().map(plain));
        let what = wrapped(&printable(&advice.what), width).into_iter();
        lines.extend(what.map(|line| vec![Piece::Text(line, Look::Good)]));
    }
}

fn sites(detail: &Detail, width: usize, lines: &mut Vec<Line>) {
    if detail.sites.is_empty() {
        return;
    }
    let sites = format!("{} SITE{}", detail.sites.len(), if detail.sites.len() == 1 { "" } else { "S" });
    head(lines, format!("{sites:<11}CALLS     TOTAL      \u{b1}   CALLED BY"));
    for site in detail.sites.iter().take(MOST_SITES) {
        let total = Measured::from(site.stats.total());
        let error = total.relative_error().map_or_else(String::new, percent);
        let total = if site.stats.timed > 0 { time(total.value) } else { String::new() };
        let text = site.site.as_ref().map_or_else(
            || "?".to_owned(),
            |at| match at.line {
                0 => printable(&at.caller),
                line => printable(&format!("{}  {}:{line}", at.caller, at.file)),
            },
        );
        let numbers = format!("{:>16} {total:>9} {error:>6}   ", some_count(site.stats.calls));
        let room = width.saturating_sub(fit::width(&numbers));
        lines.push(vec![Piece::Text(numbers, Look::Plain), Piece::Text(fit::end(&text, room), Look::Part(Part::Go))]);
    }
    more(lines, detail.sites.len().saturating_sub(MOST_SITES));
}

const MOST_SITES: usize = 50;
const MOST_THREADS: usize = 20;

fn sources(title: &str, sources: &[Source], lines: &mut Vec<Line>) {
    for source in sources {
        head(lines, format!("{title}  {}", source.file));
        for SourceLine { number, text, measured } in &source.lines {
            let look = if measured.is_empty() { Look::Faint } else { Look::Plain };
            lines.push(vec![
                Piece::Text(format!("{measured:>14} "), Look::Part(Part::C)),
                Piece::Text(format!("{number:>6}  "), Look::Faint),
                Piece::Text(text.clone(), look),
            ]);
        }
    }
}

fn threads(detail: &Detail, lines: &mut Vec<Line>) {
    if detail.threads.is_empty() {
        return;
    }
    let threads = format!("{} THREAD{}", detail.threads.len(), if detail.threads.len() == 1 { "" } else { "S" });
    head(lines, format!("{threads:<11}CALLS    LOCKED         C   THREAD"));
    for thread in detail.threads.iter().take(MOST_THREADS) {
        let (calls, locked, c) = (some_count(thread.calls), some_count(thread.locked), some_time(thread.c_ns));
        lines.push(plain(format!("{calls:>16} {locked:>9} {c:>9}   {} {}", thread.tid, thread.name)));
    }
    more(lines, detail.threads.len().saturating_sub(MOST_THREADS));
}

fn stacks(detail: &Detail, width: usize, lines: &mut Vec<Line>) {
    let number = detail.stacks.len() + detail.more_stacks;
    head(lines, format!("{number} STACK{}", if number == 1 { "" } else { "S" }));
    for stack in &detail.stacks {
        let stats = &stack.stats;
        let total = Measured::from(stats.total());
        let total = (stats.timed > 0).then(|| format!("{}{}", time(total.value), total.error_text()));
        let calls = (stats.calls > 0).then(|| calls(stats.calls));
        let parts: Vec<String> = calls.into_iter().chain(total).collect();
        lines.push(plain(if parts.is_empty() { "a stack".into() } else { parts.join(", ") }));
        for frame in &stack.frames {
            lines.push(vec![Piece::Text(
                format!("    {}", fit::end(frame, width.saturating_sub(4))),
                Look::Part(Part::Go),
            )]);
        }
    }
    more(lines, detail.more_stacks);
}

fn more(lines: &mut Vec<Line>, number: usize) {
    if number > 0 {
        lines.push(vec![Piece::Text(format!("... {number} more"), Look::Faint)]);
    }
}
