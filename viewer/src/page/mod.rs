//! A page to look at: a profile, or a comparison of two, as one HTML file that needs no other.
//!
//! The page is data as JSON, the scripts of `viewer/web/`, and the libraries of `viewer/web/vendor/`. Names are data, never
//! markup: scripts show them as text, and a policy in the page forbids everything that comes from elsewhere.

mod flames;
mod sheets;
mod timeline;

use std::io::{self, Write};

use cgoprof_profile::Profile;
use serde_json::{Value as Json, json};

use crate::advice;
use crate::diff::compare::{Diff, Side};
use crate::diff::table;
use crate::programs::{self, programs};
use crate::report::text;
use crate::slowest;
use crate::units::printable;

/// The page with places for texts.
const TEMPLATE: &str = include_str!("../../web/page.html");

/// Texts for the places of the page, by the place's name.
const PARTS: [(&str, &[&str]); 3] = [
    (
        "licenses",
        &[
            include_str!("../../web/vendor/d3.LICENSE"),
            include_str!("../../web/vendor/d3-flame-graph.LICENSE"),
            include_str!("../../web/vendor/tabulator-tables.LICENSE"),
            include_str!("../../web/vendor/uplot.LICENSE"),
        ],
    ),
    (
        "styles",
        &[
            include_str!("../../web/vendor/tabulator_simple.min.css"),
            include_str!("../../web/vendor/uPlot.min.css"),
            include_str!("../../web/page.css"),
        ],
    ),
    (
        "scripts",
        &[
            include_str!("../../web/vendor/d3.min.js"),
            include_str!("../../web/vendor/d3-flamegraph.umd.min.js"),
            include_str!("../../web/vendor/tabulator.min.js"),
            include_str!("../../web/vendor/uPlot.iife.min.js"),
            include_str!("../../web/units.js"),
            include_str!("../../web/tables.js"),
            include_str!("../../web/histogram.js"),
            include_str!("../../web/flame.js"),
            include_str!("../../web/timeline.js"),
            include_str!("../../web/page.js"),
        ],
    ),
];

/// A comparison with what it is of.
#[derive(Clone, Copy)]
pub struct Comparison<'a> {
    /// The comparison.
    pub diff: &'a Diff,
    /// The recordings from before.
    pub base: Side<'a>,
    /// The recordings that are compared with them.
    pub now: Side<'a>,
}

/// Writes the page of a profile; with a comparison, of what has changed up to it too.
///
/// # Errors
/// If the output fails.
pub fn write(profile: &Profile, comparison: Option<Comparison<'_>>, output: &mut dyn Write) -> io::Result<()> {
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        output.write_all(before.as_bytes())?;
        let (place, after) = after.split_once("}}").unwrap_or((after, ""));
        match PARTS.iter().find(|(name, _)| *name == place) {
            Some((_, texts)) => texts.iter().try_for_each(|text| writeln!(output, "{text}"))?,
            None => write_data(&data(profile, comparison), output)?,
        }
        rest = after;
    }
    output.write_all(rest.as_bytes())
}

/// Writes data as JSON in which nothing ends the element around it.
fn write_data(data: &Json, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(data.to_string().replace('<', "\\u003c").as_bytes())
}

fn data(profile: &Profile, comparison: Option<Comparison<'_>>) -> Json {
    let shown = advice::advice(profile).into_iter().map(|one| {
        let caller = one.site.map(|site| printable(site.function));
        json!({ "kind": one.kind.name(), "function": printable(one.function), "caller": caller,
                "why": printable(&one.why), "what": printable(&one.what) })
    });
    let notes = profile.recording.notes.iter().map(|note| printable(note));
    let mut facts: Vec<String> = text::header(profile).lines().map(str::to_owned).collect();
    facts.retain(|fact| !fact.is_empty());
    if let Some(runs) = comparison.map(|it| it.now.repeats.len()).filter(|&runs| runs > 1) {
        facts.push(format!("all views but Change show the first of {runs} recordings"));
    }
    json!({
        "program": programs(profile),
        "facts": facts,
        "notes": notes.collect::<Vec<_>>(),
        "advice": shown.collect::<Vec<_>>(),
        "compared": comparison.map(|it| table::head(it.base, it.now).lines().map(str::to_owned).collect::<Vec<_>>()),
        "sheets": sheets::all(profile, comparison.map(|it| it.diff)),
        "histograms": sheets::histograms(profile),
        "flames": flames::all(profile, comparison.and_then(|it| it.base.repeats.first())),
        "timeline": timeline::data(profile),
        "slowest": slowest_rows(profile),
    })
}

/// The slowest single crossings, with their stacks.
fn slowest_rows(profile: &Profile) -> Vec<Json> {
    /// Crossings that are listed.
    const MOST: usize = 100;
    let rows = slowest::rows(profile, MOST).into_iter().map(|row| {
        let frames: Vec<String> = row.frames.iter().map(|frame| printable(frame.position.function)).collect();
        let blocked = row.blocked.iter().map(|part| json!([part.waits_in.map(printable), part.nanos]));
        json!({ "ns": slowest::total(row.crossing), "at": row.crossing.called_ns, "tid": row.crossing.tid, "pid": programs::pid(profile, row.crossing.process),
                "goid": row.crossing.goid, "function": row.function.map(printable), "frames": frames,
                "blocked": blocked.collect::<Vec<_>>(), "open": row.crossing.open, "labels": slowest::labels_text(row.labels) })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Cell, Function, FunctionId, Kind, Line, Location, LocationId, Stats};

    use super::*;

    #[test]
    fn names_are_no_markup() {
        let name = "</script><script>alert(1)</script>";
        let mut profile = Profile {
            functions: vec![Function { name: name.into(), kind: Kind::C, ..Function::default() }],
            locations: vec![Location { lines: vec![Line { function: FunctionId(0), line: 1 }], ..Location::default() }],
            cells: vec![Cell {
                stack: vec![LocationId(0)],
                stats: Stats { calls: 7, ..Stats::default() },
                ..Cell::default()
            }],
            ..Profile::default()
        };
        profile.target.path = format!("/bin/{name}").replace("</", "<\\/");
        profile.recording.notes = vec!["{{data}}".into()];
        let mut page = Vec::new();
        write(&profile, None, &mut page).expect("a page");
        let page = String::from_utf8(page).expect("text");
        assert!(!page.contains("alert(1)</script>") && page.contains("alert(1)\\u003c/script>"));
        assert_eq!(page.matches("{{data}}").count(), 1, "a name of a place in the data is data");
        let ends = page.matches("</script>").count();
        assert_eq!(ends, TEMPLATE.matches("</script>").count());
    }
}
