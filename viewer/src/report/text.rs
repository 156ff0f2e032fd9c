//! The report as a table.

use std::fmt::Write as _;

use cgoprof_profile::metrics::{METRICS, Reading};
use cgoprof_profile::{Kind, Profile, Recording, Stats, Via};

use super::paths::{file_name, short_path};
use super::table::Table;
use super::{By, scheduler_text};
use crate::analysis::{self, Cpu, StackRow};
use crate::units::{count, percent, printable, time, with_error};

/// Writes the report with at most so many rows.
pub fn write(profile: &Profile, by: By, limit: usize) -> String {
    let mut text = header(profile);
    match by {
        By::Function => {
            let rows = analysis::by_function(profile);
            let named = rows.iter().map(|row| {
                let name = printable(&row.function.name);
                let way = match row.via {
                    Via::Cgocall => "",
                    Via::Runtime => "  [runtime's own]",
                    Via::Direct => "  [direct]",
                };
                let library = file_name(&row.function.library);
                let library = if library.is_empty() { String::new() } else { format!("  [{}]", printable(library)) };
                let package = printable(&row.function.package);
                (&row.stats, row.cpu, vec![format!("{name}{way}{library}"), package])
            });
            table(&mut text, profile, &["C FUNCTION", "GO PACKAGE"], named.collect(), limit);
        }
        By::Site => {
            let rows = analysis::by_site(profile);
            let named = rows.iter().map(|row| {
                let (caller, line) = row.site.map_or(("?".to_owned(), String::new()), |site| {
                    (printable(site.function), printable(&format!("{}:{}", short_path(site.file), site.line)))
                });
                (&row.stats, row.cpu, vec![printable(&row.function.name), caller, line])
            });
            table(&mut text, profile, &["C FUNCTION", "CALLED BY", "LINE"], named.collect(), limit);
        }
        By::Stack => stacks(&mut text, profile, limit),
        By::Thread | By::Goroutine | By::Callback | By::Advice if !profile.recording.counted() => {
            text.push_str("engine sample sees no crossings, only samples: record with another engine for this\n\n");
        }
        By::Thread | By::Goroutine if !profile.recording.scheduler.migrations => text.push_str(NOT_SEEN),
        By::Callback if !profile.recording.scheduler.callbacks => text.push_str(NOT_SEEN),
        By::Advice => scheduler_text::advice(&mut text, profile, limit),
        By::Thread => scheduler_text::threads(&mut text, profile, limit),
        By::Goroutine => scheduler_text::goroutines(&mut text, profile, limit),
        By::Callback => scheduler_text::callbacks(&mut text, profile, limit),
    }
    for note in &profile.recording.notes {
        let _ = writeln!(text, "note: {}", printable(note));
    }
    text
}

/// A program and its arguments, as far as they fit into a few lines: there may be megabytes of them.
fn command_line(path: &str, args: &[String]) -> String {
    const MOST: usize = 400;
    let whole = std::iter::once(path).chain(args.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let mut shown = printable(&whole.chars().take(MOST).collect::<String>());
    let more = whole.chars().count().saturating_sub(MOST);
    if more > 0 {
        let _ = write!(shown, "... ({} more characters)", count(more as u64));
    }
    shown
}

fn header(profile: &Profile) -> String {
    let (target, recording) = (&profile.target, &profile.recording);
    let (crossings, direct) = analysis::totals(profile);
    let run = recording.duration_ns as f64;
    let mut text = String::new();
    let program = command_line(&target.path, &target.args);
    let _ = writeln!(text, "{program}  (pid {}, {})", target.pid, printable(&target.go_version));
    if !recording.counted() {
        sampled_header(&mut text, profile);
        return text;
    }
    let _ = write!(text, "{} crossings in {}", count(crossings.calls), time(run));
    if crossings.timed > 0 {
        // Without callbacks, so that a crossing made in one is not counted twice.
        let (total, error) = (crossings.total_self(), crossings.total().standard_error());
        let least = if crossings.untimed > 0 { "at least " } else { "" };
        let _ = write!(text, ": {least}{} in all ({} of the run)", with_error(total, error), percent(total / run));
        let (c, overhead) = (time(crossings.c_self()), time(crossings.overhead().sum));
        let doing = if recording.phases_timed() { "getting there and back" } else { "waiting to get back" };
        let _ = write!(text, ", {c} in C, {overhead} {doing}");
    }
    text.push('\n');
    let mut more = Vec::new();
    if direct.calls > 0 {
        more.push(format!("{} direct crossings", count(direct.calls)));
    }
    if crossings.callbacks > 0 {
        let callbacks = count(crossings.callbacks);
        more.push(format!(
            "{callbacks} callbacks into Go (their time is not in the line above, but in TOTAL and C below)"
        ));
    }
    if crossings.preempted >= PREEMPTED * run.max(1.0) {
        more.push(format!("threads were preempted for {} of the time in C", time(crossings.preempted)));
    }
    if crossings.abandoned > 0 {
        more.push(format!("{} abandoned by panic or Goexit", count(crossings.abandoned)));
    }
    if !more.is_empty() {
        let _ = writeln!(text, "{}", more.join(", "));
    }
    scheduler_text::summary(&mut text, profile);
    outside(&mut text, profile);
    let _ = writeln!(
        text,
        "engine {}, timing {}: {} of the crossings timed; {}, taken off the times below",
        printable(&recording.engine),
        printable(&recording.timing),
        percent(crossings.timed as f64 / crossings.calls.max(1) as f64),
        own_cost(profile, crossings.calls.saturating_add(direct.calls)),
    );
    text.push('\n');
    text
}

/// What counting and timing cost: as samples tell, else as it was calibrated.
fn own_cost(profile: &Profile, crossings: u64) -> String {
    match analysis::hooks(profile) {
        Some((hooks, all)) => format!(
            "recording cost {} of the processor time, {} a crossing",
            percent(hooks.nanos / all.nanos.max(1.0)),
            with_error(hooks.nanos / crossings.max(1) as f64, hooks.standard_error / crossings.max(1) as f64)
        ),
        None => format!("recording cost {} a crossing", time(profile.recording.hook_ns_per_crossing)),
    }
}

/// Share of the run from which on preemption in C is told in the head.
const PREEMPTED: f64 = 0.01;
/// Threads of C libraries that are named in the head.
const NAMED_OUTSIDE: usize = 3;

/// Processor time of C that no crossing has called: of threads that C libraries have made.
fn outside(text: &mut String, profile: &Profile) {
    let rows = analysis::outside(profile);
    let all: f64 = rows.iter().map(|row| row.cpu.nanos).sum();
    if all == 0.0 {
        return;
    }
    let named = rows.iter().take(NAMED_OUTSIDE).map(|row| {
        let library = if row.library.is_empty() { "the program" } else { file_name(row.library) };
        format!("{} {} in {}", printable(row.thread), time(row.cpu.nanos), printable(library))
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = rows.len().saturating_sub(NAMED_OUTSIDE);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let _ = writeln!(text, "{} of processor time in C outside of crossings, by thread: {named}{more}", time(all));
}

/// Said in place of a section.
const NOT_SEEN: &str = "this is not in the recording: engine trampoline of this cgoprof sees it\n\n";

/// Of samples alone.
fn sampled_header(text: &mut String, profile: &Profile) {
    let recording = &profile.recording;
    let samples = profile.samples.iter().fold(0u64, |sum, stack| sum.saturating_add(stack.samples));
    let run = time(recording.duration_ns as f64);
    let _ = match recording.num_cgo_call {
        Some(crossings) => writeln!(text, "{} crossings in {run}, by the Go runtime's own count", count(crossings)),
        None => writeln!(text, "{run}"),
    };
    let period = time(recording.sample_period_ns as f64);
    let _ = writeln!(
        text,
        "engine sample: estimates of processor time from {} samples, one for each {period}; no crossing is counted\n",
        count(samples)
    );
}

const NUMBERS: [&str; 12] =
    ["TOTAL", "\u{b1}", "RUN", "CALLS", "EACH", "C", "CPU", "BLOCKED", "ENTER", "EXIT", "C P50", "C P99"];
/// Where samples were taken: the place of CPU in [`NUMBERS`].
const CPU: usize = 6;
/// Where switches were seen: the place of BLOCKED in [`NUMBERS`].
const BLOCKED: usize = 7;
/// Where getting to C was timed: the place of ENTER in [`NUMBERS`].
const ENTER: usize = 8;

/// Of samples alone.
const SAMPLED_NUMBERS: [&str; 4] = ["CPU IN C", "\u{b1}", "RUN", "SAMPLES"];

fn sampled_numbers(cpu: Cpu, recording: &Recording) -> Vec<String> {
    let samples = cpu.nanos / recording.sample_period_ns.max(1) as f64;
    vec![
        time(cpu.nanos),
        percent(cpu.standard_error / cpu.nanos.max(1.0)),
        percent(cpu.nanos / recording.duration_ns.max(1) as f64),
        count(samples.round() as u64),
    ]
}

fn numbers(stats: &Stats, cpu: Option<Cpu>, run: f64) -> Vec<String> {
    let cpu = cpu.map_or_else(String::new, |cpu| time(cpu.nanos));
    if stats.timed == 0 {
        let mut cells = vec![String::new(); NUMBERS.len()];
        cells[3] = count(stats.calls);
        cells[CPU] = cpu;
        return cells;
    }
    let total = stats.total();
    let relative = total.standard_error() / total.sum.max(1.0);
    let calls = stats.measured_calls().max(1) as f64;
    // Where nothing is known of some crossings' times.
    let sum = |nanos: f64| if stats.untimed > 0 { format!("\u{2265}{}", time(nanos)) } else { time(nanos) };
    let quantile = |share| stats.c_times.quantile(share).map_or_else(String::new, time);
    vec![
        sum(total.sum),
        if relative >= 0.0005 { percent(relative) } else { String::new() },
        percent(total.sum / run),
        count(stats.calls),
        time(total.sum / calls),
        sum(stats.c.sum),
        cpu,
        time(stats.blocked),
        time(stats.enter.sum),
        time(stats.exit.sum),
        quantile(0.5),
        quantile(0.99),
    ]
}

/// A metric as people read it, nothing where it is none.
fn shown(reading: Reading<'_>) -> String {
    match reading {
        Reading::Count(0) => String::new(),
        Reading::Count(number) => count(number),
        Reading::Nanos(nanos) => time(nanos),
        Reading::Estimate(sum) => with_error(sum.sum, sum.standard_error()),
        Reading::Times(times) => times.quantile(0.5).map_or_else(String::new, time),
    }
}

fn table(
    text: &mut String,
    profile: &Profile,
    names: &[&str],
    rows: Vec<(&Stats, Option<Cpu>, Vec<String>)>,
    limit: usize,
) {
    let recording = &profile.recording;
    let run = recording.duration_ns.max(1) as f64;
    let hidden = rows.len().saturating_sub(limit);
    let metrics = || METRICS.iter().filter(|metric| metric.shown.in_text().is_some() && metric.known.of(recording));
    let heads: Vec<&str> = if recording.counted() {
        NUMBERS.into_iter().chain(metrics().filter_map(|metric| metric.shown.in_text())).collect()
    } else {
        SAMPLED_NUMBERS.to_vec()
    };
    let mut table = Table::new(&heads, names);
    for (stats, cpu, named) in rows.iter().take(limit) {
        let numbers = if recording.counted() {
            numbers(stats, *cpu, run).into_iter().chain(metrics().map(|metric| shown((metric.of)(stats)))).collect()
        } else {
            sampled_numbers(cpu.unwrap_or_default(), recording)
        };
        table.row(numbers.into_iter().chain(named.iter().cloned()));
    }
    if recording.counted() {
        if !recording.off_cpu {
            table.hide(BLOCKED);
        }
        if !recording.phases_timed() {
            table.hide(ENTER);
        }
    }
    table.write(text);
    if hidden > 0 {
        let _ = writeln!(text, "... {hidden} more (--limit)");
    }
    text.push('\n');
}

fn stacks(text: &mut String, profile: &Profile, limit: usize) {
    let run = profile.recording.duration_ns.max(1) as f64;
    let rows = analysis::by_stack(profile);
    for row in rows.iter().take(limit) {
        let total = row.stats.total();
        if row.stats.timed > 0 {
            let each = total.sum / row.stats.measured_calls().max(1) as f64;
            let _ = write!(
                text,
                "{}{} ({} of the run), {} each, ",
                if row.stats.untimed > 0 { "at least " } else { "" },
                with_error(total.sum, total.standard_error()),
                percent(total.sum / run),
                time(each)
            );
        }
        let _ = match row.cpu.filter(|_| !profile.recording.counted()) {
            Some(cpu) => {
                let error = with_error(cpu.nanos, cpu.standard_error);
                writeln!(text, "{error} of processor time in C ({} of the run)", percent(cpu.nanos / run))
            }
            None => writeln!(text, "{} calls", count(row.stats.calls)),
        };
        let more = if profile.recording.counted() { "more frames: --stack-depth" } else { "the rest is not known" };
        write_frames(text, row, more);
        text.push('\n');
    }
    if rows.len() > limit {
        let _ = writeln!(text, "... {} more (--limit)\n", rows.len() - limit);
    }
}

fn write_frames(text: &mut String, row: &StackRow<'_>, more: &str) {
    for frame in &row.frames {
        let side = match frame.kind {
            Kind::Go => "go",
            Kind::Border => "--",
            Kind::C => "c ",
        };
        let _ = write!(text, "  {side}  {}", printable(frame.position.function));
        if !frame.position.file.is_empty() {
            let _ = write!(text, "  {}:{}", printable(short_path(frame.position.file)), frame.position.line);
        }
        text.push_str(if frame.inlined { "  (inlined)\n" } else { "\n" });
    }
    if row.truncated {
        let _ = writeln!(text, "  ... ({more})");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_of_any_kind_has_a_text() {
        assert_eq!(shown(Reading::Count(0)), "");
        assert_eq!(shown(Reading::Count(1234)), "1,234");
        assert_eq!(shown(Reading::Nanos(1500.0)), "1.50 us");
        assert_eq!(shown(Reading::Times(&cgoprof_profile::Distribution::default())), "");
    }

    #[test]
    fn megabytes_of_arguments_leave_room_for_the_report() {
        assert_eq!(command_line("/app", &["-v".into(), "x y".into()]), "/app -v x y");
        let shown = command_line("/app", &vec!["\u{e9}".repeat(10_000); 200]);
        assert!(shown.starts_with("/app \u{e9}") && shown.ends_with("... (1,999,804 more characters)"), "{shown}");
    }
}
