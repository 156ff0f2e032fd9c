//! What could be done. The text report writes it in sentences; these columns are those of JSON and the screen.

use cgoprof_profile::{Profile, Recording};

use super::Row;
use super::cell::Cell;
use super::column::{self, Tone};
use super::part::Part;
use crate::advice::{self, Saving};
use crate::measured::Measured;

type Column = column::Column<AdviceRow>;

/// A piece of advice.
#[derive(Clone, Debug)]
pub struct AdviceRow {
    /// What it is about.
    pub kind: &'static str,
    /// The C function.
    pub function: String,
    /// The Go function that calls it, the file and the line, where one stands out.
    pub site: Option<(String, String, u32)>,
    /// What was seen.
    pub why: String,
    /// What to do.
    pub what: String,
    /// What this would save, where that can be told.
    pub saving: Option<Saving>,
}

/// Returns the advice on a profile, that which most likely saves most first.
pub fn rows(profile: &Profile) -> Vec<AdviceRow> {
    let rows = advice::advice(profile).into_iter().map(|advice| AdviceRow {
        kind: advice.kind.name(),
        function: advice.function.to_owned(),
        site: advice.site.map(|site| (site.function.to_owned(), site.file.to_owned(), site.line)),
        why: advice.why,
        what: advice.what,
        saving: advice.saving,
    });
    rows.collect()
}

/// What is said where there is no advice.
pub fn none(recording: &Recording) -> &'static str {
    match (recording.counted(), recording.timing.as_str()) {
        (false, _) => "engine sample sees no crossings: no advice",
        (true, "none") => "nothing stands out among the counts; times were not measured: no advice",
        (true, _) => "nothing stands out: no advice",
    }
}

impl AdviceRow {
    /// Name of the Go function that calls, if one stands out.
    fn caller(&self) -> Option<&str> {
        self.site.as_ref().map(|(caller, ..)| caller.as_str())
    }

    /// File and line, if one stands out.
    fn place(&self) -> Option<String> {
        self.site.as_ref().map(|(_, file, line)| format!("{file}:{line}"))
    }
}

impl Row for AdviceRow {
    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::number("saves", "SAVES", |row, _| Cell::Nanos(row.saving.map(|saving| saving.nanos)))
                .not_in_json()
                .on_screen(8, 0)
                .tone(Tone::Heat),
            Column::name("kind", "KIND", |row, _| Cell::text(row.kind)).on_screen(13, 0).tone(Tone::Of(Part::Border)),
            Column::name("function", "C FUNCTION", |row, _| Cell::text(&row.function)).on_screen(16, 0),
            Column::name("caller", "CALLED BY", |row, _| Cell::optional_text(row.caller()))
                .on_screen(16, 2)
                .tone(Tone::Faint),
            Column::name("site", "LINE", |row, _| Cell::optional_text(row.place())).on_screen(20, 1).tone(Tone::Faint),
            Column::json("why", |row, _| Cell::text(&row.why)),
            Column::json("what", |row, _| Cell::text(&row.what)),
            Column::json("saving", |row, _| {
                let saving = row.saving.map(|saving| Measured { value: saving.nanos, error: saving.standard_error });
                Cell::Estimate(saving)
            }),
        ];
        COLUMNS
    }
}
