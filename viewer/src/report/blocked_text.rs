//! Where C waited, as text.

use std::fmt::Write as _;

use cgoprof_profile::Profile;

use super::frames_text::write_frames;
use super::table;
use super::view::View;
use crate::blocked::{self, BlockedRow};
use crate::units::{count, percent, printable, with_error};
use crate::waits;

/// Writes the stacks of a view that waited, with what they waited in.
pub(super) fn write(text: &mut String, profile: &Profile, view: &View) {
    if !profile.recording.off_cpu {
        text.push_str("blocked times are not in this recording: record with samples and times for this\n\n");
        return;
    }
    let mut rows = blocked::by_stack(profile);
    if rows.is_empty() {
        text.push_str("no slow crossing was blocked\n\n");
        return;
    }
    if let Some(how) = waits::how_found(profile) {
        let _ = writeln!(text, "{how}\n");
    }
    let (all, limit) = (rows.iter().map(|row| row.time.value).sum::<f64>(), view.limit);
    rows.retain(|row| row.frames.iter().any(|frame| view.matches(frame.position.function)));
    for row in rows.iter().take(limit) {
        let (time, share) = (with_error(row.time.value, row.time.error), percent(row.time.value / all));
        let _ = write!(text, "{time} ({share} of the blocked time) in ");
        let _ = match row.waits_in {
            Some(call) => writeln!(text, "{}, {}", printable(call), found(row)),
            None => writeln!(text, "something that is not known"),
        };
        write_frames(text, &row.frames, row.truncated);
        text.push('\n');
    }
    if rows.len() > limit {
        table::write_more(text, rows.len() - limit, table::LIMIT);
        text.push('\n');
    }
}

fn found(row: &BlockedRow<'_>) -> String {
    match row.found {
        1 => "found once".to_owned(),
        more => format!("found {} times", count(more)),
    }
}
