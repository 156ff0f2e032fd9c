//! The slowest crossings, as text.

use std::fmt::Write as _;

use cgoprof_profile::{Profile, SlowCrossing};

use super::frames_text::write_frames;
use super::table;
use crate::programs;
use crate::slowest::{self, BlockedIn, SlowestRow};
use crate::units::{count, printable, time};
use crate::waits;

/// Maximum printed parts of a crossing's blocked time.
const MOST_PARTS: usize = 4;

/// Writes at most so many crossings.
pub(super) fn write(text: &mut String, profile: &Profile, limit: usize) {
    if profile.recording.timing == "none" {
        text.push_str("single crossings are not in this recording: record with times for this\n\n");
        return;
    }
    let timeline = &profile.timeline;
    if timeline.crossings.is_empty() {
        text.push_str("this recording lists no slow crossings\n\n");
        return;
    }
    if timeline.crossings.iter().any(|crossing| crossing.weight > 1) {
        text.push_str("not every crossing was timed, so there may be others as slow\n\n");
    }
    let rows = slowest::rows(profile, limit);
    for (index, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "{}. {}", count(index as u64 + 1), head(profile, row));
        let _ = writeln!(text, "    {}", phases(row.crossing));
        for part in row.blocked.iter().take(MOST_PARTS) {
            let _ = writeln!(text, "    {}", blocked_part(part));
        }
        if let Some(rest) = row.blocked.get(MOST_PARTS..).filter(|rest| !rest.is_empty()) {
            let nanos = rest.iter().fold(0u64, |sum, part| sum.saturating_add(part.nanos));
            let _ = writeln!(text, "    blocked {} in {} other stacks", time(nanos as f64), count(rest.len() as u64));
        }
        write_frames(text, &row.frames, row.truncated);
        text.push('\n');
    }
    let is_unknown = |part: &BlockedIn<'_>| part.waits_in.is_none();
    if rows.iter().any(|row| row.blocked.iter().any(is_unknown))
        && let Some(how) = waits::how_found(profile).filter(|_| !waits::mostly_seen(profile))
    {
        let _ = writeln!(text, "{how}; to see every wait, record as root with --waits every\n");
    }
    if timeline.crossings.len() > rows.len() {
        table::write_more(text, timeline.crossings.len() - rows.len(), "--slowest");
        text.push('\n');
    }
}

fn head(profile: &Profile, row: &SlowestRow<'_>) -> String {
    let crossing = row.crossing;
    let mut head = format!("{} {}", time(slowest::total(crossing) as f64), printable(row.function.unwrap_or("?")));
    let _ = write!(head, " at {:.6} s", crossing.called_ns as f64 / 1e9);
    if crossing.goid > 0 {
        let _ = write!(head, ", goroutine {}", crossing.goid);
    }
    let _ = write!(head, ", thread {}{}", crossing.tid, programs::of_process(profile, crossing.process));
    if let Some(other) = slowest::other_thread(crossing) {
        let _ = write!(head, ", went on in thread {other}");
    }
    if let Some(labels) = slowest::labels_text(row.labels) {
        let _ = write!(head, ", labels {labels}");
    }
    head
}

/// What its time consists of.
fn phases(crossing: &SlowCrossing) -> String {
    let mut phases = Vec::new();
    if crossing.enter_ns > 0 {
        phases.push(format!("{} to C", time(crossing.enter_ns as f64)));
    }
    phases.push(slowest::time_in_c(crossing));
    if crossing.exit_ns > 0 {
        phases.push(format!("{} back to Go", time(crossing.exit_ns as f64)));
    }
    if let Some(preempted) = crossing.preempted_ns.filter(|&nanos| nanos > 0) {
        phases.push(format!("preempted for {} in C", time(preempted as f64)));
    }
    phases.join(", ")
}

fn blocked_part(part: &BlockedIn<'_>) -> String {
    let nanos = time(part.nanos as f64);
    let Some(call) = part.waits_in else {
        return format!("blocked {nanos}, not known in what");
    };
    // The first frame is what it waits in.
    let functions: Vec<_> = part.inside.iter().skip(1).map(|frame| printable(frame.position.function)).collect();
    match functions.is_empty() {
        true => format!("blocked {nanos} in {}", printable(call)),
        false => format!("blocked {nanos} in {}: {}", printable(call), functions.join(" \u{2190} ")),
    }
}
