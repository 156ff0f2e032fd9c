//! A comparison as text, JSON, CSV and Markdown.

use std::fmt::Write as _;

use cgoprof_profile::Profile;
use serde_json::json;

use super::compare::{Diff, Side};
use super::measure::Measure;
use super::quantity::Change;
use super::rows::DiffRow;
use crate::programs::programs;
use crate::report::rows::Rows;
use crate::report::table;
use crate::report::tabular::{Form, table as tabular};
use crate::report::view::{UnknownColumn, View};
use crate::units::{count, printable, time};

/// Returns the comparison as text.
///
/// # Errors
/// If there is no column of a name.
pub fn text(diff: &Diff, base: Side<'_>, now: Side<'_>, view: &View) -> Result<String, UnknownColumn> {
    let mut text = head(base, now);
    text.push('\n');
    let (rows, view) = shown(diff, view)?;
    table::write(&mut text, &Profile::default(), rows, &view)?;
    Ok(text)
}

/// Returns what is compared, and how noise is told from changes, in a few lines.
pub(crate) fn head(base: Side<'_>, now: Side<'_>) -> String {
    let mut text = String::new();
    for (name, side) in [("base", base), ("now", now)] {
        let runs = side.repeats.len();
        let nanos: f64 = side.repeats.iter().map(|profile| profile.recording.duration_ns as f64).sum();
        let of = side.repeats.first().map_or_else(String::new, |profile| match profile.processes.len() {
            0 => printable(&profile.target.path),
            _ => programs(profile),
        });
        let recordings =
            if runs == 1 { "1 recording".to_owned() } else { format!("{} recordings", count(runs as u64)) };
        let mean = time(nanos / runs.max(1) as f64);
        let each = if runs == 1 { "" } else { " on average" };
        let _ = writeln!(text, "{name}: {recordings} of {of}, {mean}{each}");
    }
    if base.repeats.len() == 1 || now.repeats.len() == 1 {
        text.push_str(
            "~ marks what the errors of estimates explain; how runs differ from each other is known of folders with \
             repeats only\n",
        );
    } else {
        text.push_str("~ marks what the noise of the repeats explains, at a confidence of 99 %\n");
    }
    if base.per_second {
        text.push_str("sums are per second of the run\n");
    }
    text
}

/// Returns the totals, then the rows of a view in their order, and the view of these.
fn shown<'a>(diff: &'a Diff, view: &View) -> Result<(Vec<&'a DiffRow>, View), UnknownColumn> {
    let mut rows = view.of(&Profile::default(), &diff.rows)?;
    rows.insert(0, &diff.totals);
    Ok((rows, View { limit: view.limit.saturating_add(1), sort: None, filter: None, ..view.clone() }))
}

/// Returns the rows for other programs or documents.
///
/// # Errors
/// If there is no column of a name.
pub fn rows(diff: &Diff, view: &View, form: Form) -> Result<Vec<u8>, UnknownColumn> {
    let (rows, view) = shown(diff, view)?;
    let rows: Vec<DiffRow> = rows.into_iter().cloned().collect();
    tabular(&Profile::default(), &rows, &view, form)
}

/// Returns the whole comparison as JSON: `cgoprof.diff/1`.
///
/// # Errors
/// None that a comparison can cause.
pub fn json(diff: &Diff, base: Side<'_>, now: Side<'_>) -> Result<String, serde_json::Error> {
    let none = Profile::default();
    let side = |side: Side<'_>| {
        json!({
            "recordings": side.repeats.len(),
            "duration_ns": side.repeats.iter().map(|profile| profile.recording.duration_ns).collect::<Vec<_>>(),
        })
    };
    let noise = |row: &DiffRow| {
        let changes =
            Measure::ALL.iter().filter(|&&measure| matches!(row.change(measure), Change::By { is_noise: true, .. }));
        changes.map(|measure| measure.name()).collect::<Vec<_>>()
    };
    let rows = serde_json::to_value(Rows::new(&none, diff.rows.clone()))?;
    let totals = serde_json::to_value(Rows::new(&none, vec![diff.totals.clone()]))?;
    let completed = |rows: serde_json::Value, of: &[DiffRow]| -> Vec<serde_json::Value> {
        let rows = rows.as_array().cloned().unwrap_or_default();
        let named = rows.into_iter().zip(of).map(|(mut row, of)| {
            row["callers"] = json!(of.key.callers);
            row.as_object_mut().map(|row| row.remove("called_by"));
            row["noise"] = json!(noise(of));
            row
        });
        named.collect()
    };
    let document = json!({
        "schema": "cgoprof.diff/1",
        "base": side(base),
        "now": side(now),
        "per_second": base.per_second,
        "totals": completed(totals, std::slice::from_ref(&diff.totals)).first(),
        "rows": completed(rows, &diff.rows),
    });
    serde_json::to_string_pretty(&document)
}
