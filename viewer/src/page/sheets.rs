//! Tables of the page: the columns of the text report, with what each cell is sorted by.

use cgoprof_profile::Profile;
use serde_json::{Value as Json, json};

use crate::diff::compare::Diff;
use crate::report::view::View;
use crate::tables::inside::Group;
use crate::tables::{Align, Row, SortKey, callbacks, functions, inside, packages, processes, sites, threads};

/// Returns the tables that have rows.
pub(super) fn all(profile: &Profile, diff: Option<&Diff>) -> Vec<Json> {
    let none = Profile::default();
    let change = diff.map(|diff| {
        let rows: Vec<_> = std::iter::once(&diff.totals).chain(&diff.rows).cloned().collect();
        sheet("change", "Change", &none, &rows)
    });
    let sheets = [
        change,
        Some(sheet("functions", "C functions", profile, &functions::rows(profile))),
        Some(sheet("sites", "Lines of Go", profile, &sites::rows(profile))),
        Some(sheet("packages", "Packages", profile, &packages::rows(profile))),
        (profile.recording.sample_period_ns > 0)
            .then(|| sheet("inside", "Inside C", profile, &inside::rows(profile, Group::Function))),
        Some(sheet("processes", "Processes", profile, &processes::rows(profile))),
        Some(sheet("threads", "Threads", profile, &threads::rows(profile))),
        Some(sheet("goroutines", "Goroutines", profile, &profile.goroutines)),
        Some(sheet("callbacks", "Callbacks", profile, &callbacks::rows(profile))),
    ];
    let has_rows = |sheet: &Json| sheet["rows"].as_array().is_some_and(|rows| !rows.is_empty());
    sheets.into_iter().flatten().filter(has_rows).collect()
}

/// Returns a table. A cell is its text, or its text and a number that it is sorted by.
fn sheet<R: Row>(key: &str, title: &str, profile: &Profile, rows: &[R]) -> Json {
    // These are the columns of the report: without names, none is unknown.
    let columns = View::all().columns::<R>(profile).unwrap_or_default();
    let cell = |row: &R, column: &crate::tables::Column<R>| {
        let text = column.reported(row, profile);
        match column.cell(row, profile).sort_key() {
            SortKey::Number(number) if number.is_finite() => json!([text, number]),
            SortKey::Number(_) | SortKey::Name(_) => json!(text),
        }
    };
    let lines: Vec<Vec<Json>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    let heads = columns
        .iter()
        .map(|column| json!({ "key": column.key(), "head": column.head(), "number": column.align() == Align::Right }));
    json!({ "key": key, "title": title, "columns": heads.collect::<Vec<_>>(), "rows": lines })
}

/// Returns how the times in C, and at the border, of the first functions are spread: middles of buckets in nanoseconds, and
/// counts.
pub(super) fn histograms(profile: &Profile) -> Vec<Json> {
    /// Functions whose histograms are in the page.
    const MOST: usize = 1000;
    let rows = functions::rows(profile).into_iter().take(MOST);
    rows.map(|row| json!([row.stats.c_times.buckets, row.stats.overhead_times.buckets])).collect()
}
