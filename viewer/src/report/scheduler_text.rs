//! The report's sections on threads, goroutines, callbacks and advice.

use std::fmt::Write as _;

use cgoprof_profile::{Counters, Profile, Via};

use super::table;
use super::view::{UnknownColumn, View};
use crate::advice;
use crate::analysis::Position;
use crate::paths::short_path;
use crate::tables::advice::none;
use crate::tables::{callbacks, threads};
use crate::units::{count, printable, time};
use crate::{programs, scheduler};

/// Threads, then those that the runtime made and why.
pub(super) fn write_threads(text: &mut String, profile: &Profile, view: &View) -> Result<(), UnknownColumn> {
    if let Some(peak) = &profile.peak {
        let how = if peak.exact { "" } else { "at least " };
        let held = scheduler::held(&scheduler::holders(profile, &peak.holders), peak.threads);
        let _ = write!(text, "most threads in C at one time: {how}{}", peak.threads);
        let _ = match held.is_empty() {
            true => writeln!(text),
            false => writeln!(text, ", at {}: {}", time(peak.at_ns as f64), printable(&held)),
        };
    }
    if let Some((in_c, in_go, idle)) = mean_counters(profile) {
        let _ =
            writeln!(text, "threads on average: {in_c:.1} in C, {in_go:.1} in Go or ready, {idle:.1} idle or waiting");
    }
    table::write(text, profile, &threads::rows(profile), view)?;
    let unknown: Vec<_> = scheduler::births(profile).into_iter().filter(|row| row.birth.tid.is_none()).collect();
    if !unknown.is_empty() {
        let _ = writeln!(text, "{} threads that the runtime made are not among them by number", unknown.len());
    }
    text.push('\n');
    Ok(())
}

/// Threads in C, in Go and idle, on average over the looks.
fn mean_counters(profile: &Profile) -> Option<(f64, f64, f64)> {
    let looks = &profile.timeline.counters;
    let mean = |of: fn(&Counters) -> Option<u64>| {
        let sum = looks.iter().map(|look| of(look).map(|threads| threads as f64)).sum::<Option<f64>>()?;
        (!looks.is_empty()).then(|| sum / looks.len() as f64)
    };
    Some((mean(|look| Some(look.in_c))?, mean(|look| look.in_go)?, mean(|look| look.idle)?))
}

/// Goroutines, then the places where they lock themselves to threads.
pub(super) fn write_goroutines(text: &mut String, profile: &Profile, view: &View) -> Result<(), UnknownColumn> {
    table::write(text, profile, &profile.goroutines, view)?;
    let forgotten = profile.recording.forgotten;
    if forgotten.goroutines > 0 {
        let _ = writeln!(
            text,
            "{} more goroutines made {} crossings, {} of them on another thread than before",
            count(forgotten.goroutines),
            count(forgotten.calls),
            count(forgotten.migrations)
        );
    }
    text.push('\n');
    if profile.locks.is_empty() {
        return Ok(());
    }
    let mut locks: Vec<_> = profile.locks.iter().collect();
    locks.sort_by(|one, other| other.held_ns.total_cmp(&one.held_ns));
    table::write(text, profile, locks, &view.beside())?;
    let held = scheduler::held_at_end(profile);
    for row in held.iter().take(view.limit) {
        let name = row.function.map_or_else(String::new, |name| format!(" ({})", printable(name)));
        let (since, of) = (time(row.since_ns as f64), programs::of_process(profile, row.process));
        let _ = writeln!(
            text,
            "goroutine {}{name} was locked to thread {}{of} from {since} on to the end",
            row.goid, row.tid
        );
    }
    table::write_more(text, held.len().saturating_sub(view.limit), table::LIMIT);
    text.push('\n');
    Ok(())
}

/// Go functions that C calls.
pub(super) fn write_callbacks(text: &mut String, profile: &Profile, view: &View) -> Result<(), UnknownColumn> {
    if profile.callbacks.is_empty() {
        text.push_str("no callbacks\n");
    } else {
        table::write(text, profile, &callbacks::rows(profile), view)?;
    }
    text.push('\n');
    Ok(())
}

/// What could be done.
pub(super) fn write_advice(text: &mut String, profile: &Profile, limit: usize) {
    let all = advice::advice(profile);
    if all.is_empty() {
        let _ = writeln!(text, "{}\n", none(&profile.recording));
    }
    for one in all.iter().take(limit) {
        let (caller, line) = place(one.site);
        let at = if caller.is_empty() { String::new() } else { format!("  {caller}  {line}") };
        let _ = writeln!(text, "{}: {}{at}", one.kind.name(), printable(one.function));
        let _ = writeln!(text, "  {}", printable(&one.why));
        let _ = writeln!(text, "  -> {}\n", printable(&one.what));
    }
    table::write_more(text, all.len().saturating_sub(limit), table::LIMIT);
}

/// What the other report says of threads in a line.
pub(super) fn write_summary(text: &mut String, profile: &Profile) {
    let seen = profile.recording.scheduler;
    let mut stats = cgoprof_profile::Stats::default();
    profile.cells.iter().filter(|cell| cell.via == Via::Cgocall).for_each(|cell| stats.add(&cell.stats));
    let mut parts = Vec::new();
    if seen.ps && stats.p_lost > 0 {
        let waited =
            if stats.p_waits > 0 { format!(", then {} waiting for one", time(stats.p_wait)) } else { String::new() };
        let lost = if stats.p_lost == 1 { "P was lost" } else { "Ps were lost" };
        parts.push(format!("{} {lost} in C{waited}", count(stats.p_lost)));
    }
    let made = scheduler::births(profile).iter().filter(|row| !row.why.is_usual() && row.birth.in_c > 0).count();
    if made > 0 {
        let threads = if made == 1 { "thread was" } else { "threads were" };
        parts.push(format!("{made} {threads} made while others were in C"));
    }
    if seen.migrations && stats.migrations > 0 {
        let migrations = if stats.migrations == 1 { "migration" } else { "migrations" };
        parts.push(format!("{} {migrations}", count(stats.migrations)));
    }
    if !parts.is_empty() {
        let _ = writeln!(text, "{}", parts.join("; "));
    }
}

fn place(site: Option<Position<'_>>) -> (String, String) {
    site.map_or_else(Default::default, |site| {
        (printable(site.function), printable(&format!("{}:{}", short_path(site.file), site.line)))
    })
}
