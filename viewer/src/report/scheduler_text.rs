//! The report's sections on threads, goroutines, callbacks and advice.

use std::fmt::Write as _;

use cgoprof_profile::{Counters, Distribution, Profile, Via};

use super::paths::short_path;
use super::table::Table;
use crate::advice;
use crate::analysis::{self, Position};
use crate::scheduler;
use crate::units::{count, percent, printable, time, with_error};

/// Threads, then those that the runtime made and why.
pub(super) fn threads(text: &mut String, profile: &Profile, limit: usize) {
    let rows = scheduler::by_thread(profile);
    if let Some(peak) = &profile.peak {
        let how = if peak.exact { "at most" } else { "at least" };
        let held = scheduler::held(&scheduler::holders(profile, &peak.holders), peak.threads);
        let _ = write!(text, "threads in C at once: {how} {}", peak.threads);
        let _ = match held.is_empty() {
            true => writeln!(text),
            false => writeln!(text, ", at {}: {}", time(peak.at_ns as f64), printable(&held)),
        };
    }
    if let Some((in_c, in_go, idle)) = mean_counters(profile) {
        let _ =
            writeln!(text, "threads on average: {in_c:.1} in C, {in_go:.1} in Go or ready, {idle:.1} idle or waiting");
    }
    let mut table = Table::new(
        &["TID", "M", "CROSSINGS", "C", "BLOCKED", "LOCKED", "IDLE LOCKED", "STARTED", "ENDED"],
        &["NAME", "MADE BECAUSE"],
    );
    let some = |nanos: Option<f64>| nanos.filter(|&nanos| nanos > 0.0).map_or_else(String::new, time);
    for row in rows.iter().take(limit) {
        let thread = row.thread;
        table.row([
            thread.tid.to_string(),
            thread.m.map_or_else(String::new, |m| m.to_string()),
            if thread.made.is_empty() { String::new() } else { count(row.crossings) },
            some(Some(row.c_ns)),
            some(thread.blocked_ns),
            some(thread.locked_ns),
            some(thread.locked_idle_ns),
            thread.created_ns.map_or_else(String::new, |nanos| time(nanos as f64)),
            thread.exited_ns.map_or_else(String::new, |nanos| time(nanos as f64)),
            printable(&thread.name),
            printable(&row.because()),
        ]);
    }
    table.write(text);
    more(text, rows.len(), limit);
    let unknown: Vec<_> = scheduler::births(profile).into_iter().filter(|row| row.birth.tid.is_none()).collect();
    if !unknown.is_empty() {
        let _ = writeln!(text, "{} threads that the runtime made are not among them by number", unknown.len());
    }
    text.push('\n');
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
pub(super) fn goroutines(text: &mut String, profile: &Profile, limit: usize) {
    let mut table = Table::new(&["GOID", "CROSSINGS", "THREADS", "MIGRATIONS", "LOCKS"], &["BEGAN WITH"]);
    for goroutine in profile.goroutines.iter().take(limit) {
        let name = goroutine.function.map_or("", |function| &profile.functions[function.0].name);
        table.row([
            goroutine.goid.to_string(),
            count(goroutine.calls),
            count(goroutine.threads),
            count(goroutine.migrations),
            if goroutine.locks > 0 { count(goroutine.locks) } else { String::new() },
            printable(name),
        ]);
    }
    table.write(text);
    more(text, profile.goroutines.len(), limit);
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
        return;
    }
    let mut table = Table::new(&["LOCKS", "STILL", "HELD", "LONGEST", "THREAD IDLE"], &["LOCKED BY", "LINE"]);
    let mut locks: Vec<_> = profile.locks.iter().collect();
    locks.sort_by(|one, other| other.held_ns.total_cmp(&one.held_ns));
    for lock in locks.iter().take(limit) {
        let frames = analysis::frames(profile, &lock.stack);
        let (caller, line) = place(frames.first().map(|frame| frame.position));
        table.row([
            count(lock.locks),
            if lock.held > 0 { count(lock.held) } else { String::new() },
            time(lock.held_ns),
            time(lock.longest_ns),
            lock.idle_ns.map_or_else(String::new, time),
            caller,
            line,
        ]);
    }
    table.write(text);
    more(text, locks.len(), limit);
    let held = scheduler::held_at_end(profile);
    for row in held.iter().take(limit) {
        let name = row.function.map_or_else(String::new, |name| format!(" ({})", printable(name)));
        let since = time(row.since_ns as f64);
        let _ =
            writeln!(text, "goroutine {}{name} was locked to thread {} from {since} on to the end", row.goid, row.tid);
    }
    more(text, held.len(), limit);
    text.push('\n');
}

/// Go functions that C calls.
pub(super) fn callbacks(text: &mut String, profile: &Profile, limit: usize) {
    let run = profile.recording.duration_ns.max(1) as f64;
    let rows = scheduler::by_callback(profile);
    let mut table = Table::new(
        &[
            "TOTAL",
            "RUN",
            "CALLS",
            "GETTING A P",
            "GO",
            "RELEASE",
            "GO P50",
            "GO P99",
            "BORDER P50",
            "BORDER P99",
            "PANICKED",
            "THREADS",
            "FIRST CALLS",
            "ATTACHING",
        ],
        &["GO FUNCTION", "CALLED BY"],
    );
    for row in rows.iter().take(limit) {
        let callback = row.callback;
        let timed = |value: String| if callback.timed > 0 { value } else { String::new() };
        let some = |number: u64| if number > 0 { count(number) } else { String::new() };
        let quantile = |times: &Distribution, share| times.quantile(share).map_or_else(String::new, time);
        table.row([
            timed(time(row.total())),
            timed(percent(row.total() / run)),
            count(callback.calls),
            timed(time(callback.acquire.sum)),
            timed(with_error(callback.go.sum, callback.go.standard_error())),
            timed(time(callback.release.sum)),
            quantile(&callback.go_times, 0.5),
            quantile(&callback.go_times, 0.99),
            quantile(&callback.border_times, 0.5),
            quantile(&callback.border_times, 0.99),
            some(callback.abandoned),
            some(callback.foreign_threads),
            some(callback.attached),
            if callback.attached > 0 { time(callback.attach_ns) } else { String::new() },
            printable(row.name),
            printable(row.within.unwrap_or("(threads that C made)")),
        ]);
    }
    if rows.is_empty() {
        text.push_str("no callbacks\n");
    } else {
        table.write(text);
    }
    more(text, rows.len(), limit);
    text.push('\n');
}

/// What could be done.
pub(super) fn advice(text: &mut String, profile: &Profile, limit: usize) {
    let all = advice::advice(profile);
    if all.is_empty() {
        text.push_str("nothing stands out: no advice\n");
    }
    for one in all.iter().take(limit) {
        let (caller, line) = place(one.site);
        let at = if caller.is_empty() { String::new() } else { format!("  {caller}  {line}") };
        let _ = writeln!(text, "{}: {}{at}", one.kind.name(), printable(one.function));
        let _ = writeln!(text, "  {}", printable(&one.why));
        let _ = writeln!(text, "  -> {}\n", printable(&one.what));
    }
    more(text, all.len(), limit);
}

/// What the other report says of threads in a line.
pub(super) fn summary(text: &mut String, profile: &Profile) {
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

fn more(text: &mut String, rows: usize, limit: usize) {
    if rows > limit {
        let _ = writeln!(text, "... {} more (--limit)", rows - limit);
    }
}
