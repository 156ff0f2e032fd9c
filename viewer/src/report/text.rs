//! The report as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cgoprof_profile::Profile;

use super::frames_text::write_frames;
use super::table;
use super::view::{UnknownColumn, View};
use super::{By, blocked_text, scheduler_text, slowest_text};
use crate::analysis;
use crate::cpu_split::CpuSplit;
use crate::oversubscription;
use crate::paths::file_name;
use crate::programs;
use crate::tables::inside::InsideRow;
use crate::tables::{functions, inside, packages, processes, sites};
use crate::units::{calls, count, percent, printable, time, with_error};

/// Writes the report with a view of its table.
///
/// # Errors
/// If the table has no column of a name.
pub fn write(profile: &Profile, by: By, view: &View) -> Result<String, UnknownColumn> {
    let mut text = header(profile);
    match by {
        By::Function => {
            table::write(&mut text, profile, &functions::rows(profile), view)?;
            text.push('\n');
        }
        By::Site => {
            table::write(&mut text, profile, &sites::rows(profile), view)?;
            text.push('\n');
        }
        By::Package => {
            table::write(&mut text, profile, &packages::rows(profile), view)?;
            text.push('\n');
        }
        By::Process if profile.processes.is_empty() => text.push_str(match profile.recording.recordings {
            0 => "the recording is of one process\n\n",
            _ => "a sum of recordings does not tell processes apart: use cgoprof merge --processes\n\n",
        }),
        By::Process => {
            table::write(&mut text, profile, &processes::rows(profile), view)?;
            text.push('\n');
        }
        By::Inside(_) if profile.recording.sample_period_ns == 0 => {
            text.push_str("no samples were taken: record without --no-samples for this\n\n");
        }
        By::Inside(group) => {
            let rows = inside::rows(profile, group);
            table::write(&mut text, profile, &rows, view)?;
            text.push('\n');
            without_lines(&mut text, &rows);
        }
        By::Stack => stacks(&mut text, profile, view),
        By::Blocked => blocked_text::write(&mut text, profile, view),
        By::Thread | By::Goroutine | By::Callback | By::Advice | By::Slowest if !profile.recording.counted() => {
            text.push_str("engine sample sees no crossings, only samples: record with another engine for this\n\n");
        }
        By::Thread | By::Goroutine if !profile.recording.scheduler.migrations => text.push_str(NOT_SEEN),
        By::Callback if !profile.recording.scheduler.callbacks => text.push_str(NOT_SEEN),
        By::Slowest => slowest_text::write(&mut text, profile, view.limit),
        By::Advice => scheduler_text::write_advice(&mut text, profile, view.limit),
        By::Thread => scheduler_text::write_threads(&mut text, profile, view)?,
        By::Goroutine => scheduler_text::write_goroutines(&mut text, profile, view)?,
        By::Callback => scheduler_text::write_callbacks(&mut text, profile, view)?,
    }
    for note in &profile.recording.notes {
        let _ = writeln!(text, "note: {}", printable(note));
    }
    Ok(text)
}

/// Share of the samples in C from which on a file without debug information is named.
const WITHOUT_LINES: f64 = 0.01;

/// Says in which files C has no lines, and how it gets some.
fn without_lines(text: &mut String, rows: &[InsideRow]) {
    let all = rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.own));
    let mut without: BTreeMap<&str, u64> = BTreeMap::new();
    // Where others of a file have lines, those without are not in its debug information: stubs that the linker makes.
    let with: BTreeSet<&str> = rows.iter().filter(|row| !row.file.is_empty()).map(|row| row.library.as_str()).collect();
    let is_without = |row: &&InsideRow| row.file.is_empty() && !with.contains(row.library.as_str());
    for row in rows.iter().filter(|row| row.is_code && row.name.is_some()).filter(is_without) {
        let own = without.entry(&row.library).or_default();
        *own = own.saturating_add(row.own);
    }
    for (library, own) in without {
        let share = own as f64 / all.max(1) as f64;
        if share < WITHOUT_LINES {
            continue;
        }
        let (file, way_out) = match library {
            "" => ("the program".to_owned(), "build its C with -g (CGO_CFLAGS), and don't strip it"),
            library => (
                printable(file_name(library)),
                "install its debug package (Debian: -dbgsym or -dbg; Fedora: dnf debuginfo-install), or record with --debuginfod",
            ),
        };
        let _ = writeln!(
            text,
            "note: {} of the samples in C are in {file}, for which the recording has no debug information: {way_out}",
            percent(share)
        );
    }
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

pub(crate) fn header(profile: &Profile) -> String {
    let (target, recording) = (&profile.target, &profile.recording);
    let (crossings, direct) = analysis::totals(profile);
    let run = recording.duration_ns as f64;
    let mut text = String::new();
    if profile.processes.is_empty() {
        let program = command_line(&target.path, &target.args);
        // A sum is of several processes.
        let process = if target.pid == 0 { String::new() } else { format!("pid {}, ", target.pid) };
        let _ = writeln!(text, "{program}  ({process}{})", printable(&target.go_version));
    } else {
        let number = count(profile.processes.len() as u64);
        // The first one's, if it is that of all.
        let is_one = profile.processes.iter().all(|process| process.target.go_version == target.go_version);
        let version = if is_one { format!("  ({})", printable(&target.go_version)) } else { String::new() };
        let _ = writeln!(text, "{number} processes: {}{version}", programs::processes(profile));
    }
    if !recording.counted() {
        sampled_header(&mut text, profile);
        return text;
    }
    let _ = write!(text, "{} crossings in {}", count(crossings.calls), time(run));
    if crossings.timed > 0 {
        // Without callbacks, so that a crossing made in one is not counted twice.
        let (total, error) = (crossings.total_self(), crossings.total().standard_error());
        let least = if crossings.untimed > 0 { "at least " } else { "" };
        let _ = write!(text, ": {least}{} in total ({} of the run)", with_error(total, error), percent(total / run));
        let (c, overhead) = (time(crossings.c_self()), time(crossings.overhead().sum));
        let doing = if recording.phases_timed() { "getting to C and back" } else { "waiting for a P" };
        let _ = write!(text, ", {c} in C, {overhead} {doing}");
    }
    text.push('\n');
    let mut more = Vec::new();
    if direct.calls > 0 {
        let plural = if direct.calls == 1 { "" } else { "s" };
        more.push(format!("{} direct crossing{plural} more", count(direct.calls)));
    }
    if crossings.callbacks > 0 {
        let where_to = match crossings.timed {
            0 => "",
            _ => " (their time is in TOTAL and C below, not in the line above)",
        };
        more.push(format!("{} callbacks into Go{where_to}", count(crossings.callbacks)));
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
    processors(&mut text, profile);
    scheduler_text::write_summary(&mut text, profile);
    outside(&mut text, profile);
    let _ = writeln!(
        text,
        "engine {}, timing {}: {} of the crossings timed; {}{}",
        printable(&recording.engine),
        printable(&recording.timing),
        percent(crossings.timed as f64 / crossings.calls.max(1) as f64),
        own_cost(profile, crossings.calls.saturating_add(direct.calls)),
        if crossings.timed > 0 { ", subtracted from the times below" } else { "" },
    );
    text.push('\n');
    text
}

/// What counting and timing cost: as samples tell, else as it was calibrated.
fn own_cost(profile: &Profile, crossings: u64) -> String {
    match analysis::hooks(profile) {
        Some((hooks, all)) => format!(
            "recording cost {} of the processor time, {} per crossing",
            percent(hooks.nanos / all.nanos.max(1.0)),
            with_error(hooks.nanos / crossings.max(1) as f64, hooks.standard_error / crossings.max(1) as f64)
        ),
        None => format!("recording cost {} per crossing", time(profile.recording.hook_ns_per_crossing)),
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
const NOT_SEEN: &str = "not in this recording: record again, with engine trampoline of this cgoprof\n\n";

/// Of samples alone.
fn sampled_header(text: &mut String, profile: &Profile) {
    let recording = &profile.recording;
    let samples = profile.samples.iter().fold(0u64, |sum, stack| sum.saturating_add(stack.samples));
    let run = time(recording.duration_ns as f64);
    let _ = match recording.num_cgo_call {
        Some(crossings) => {
            writeln!(text, "at least {} crossings in {run}, by the Go runtime's own count", count(crossings))
        }
        None => writeln!(text, "{run}"),
    };
    processors(text, profile);
    let period = time(recording.sample_period_ns as f64);
    let _ = writeln!(
        text,
        "engine sample: estimates of processor time from {} samples, one per {period} of it; no crossing is counted\n",
        count(samples)
    );
}

/// How processor time splits, and whether there was enough of it.
fn processors(text: &mut String, profile: &Profile) {
    let lines = CpuSplit::of(profile).map(|split| split.line()).into_iter().chain(oversubscription::line(profile));
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
}

fn stacks(text: &mut String, profile: &Profile, view: &View) {
    let (run, limit) = (profile.recording.duration_ns.max(1) as f64, view.limit);
    let mut rows = analysis::by_stack(profile);
    rows.retain(|row| row.frames.iter().any(|frame| view.matches(frame.position.function)));
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
            None => writeln!(text, "{}", calls(row.stats.calls)),
        };
        write_frames(text, &row.frames, row.truncated);
        text.push('\n');
    }
    if rows.len() > limit {
        table::write_more(text, rows.len() - limit, table::LIMIT);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn megabytes_of_arguments_leave_room_for_the_report() {
        assert_eq!(command_line("/app", &["-v".into(), "x y".into()]), "/app -v x y");
        let shown = command_line("/app", &vec!["\u{e9}".repeat(10_000); 200]);
        assert!(shown.starts_with("/app \u{e9}") && shown.ends_with("... (1,999,804 more characters)"), "{shown}");
    }
}
