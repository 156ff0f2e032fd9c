//! Lines of Go that call C.

use std::sync::LazyLock;

use cgoprof_profile::{FunctionId, Profile, Stats, Via};

use super::cell::Cell;
use super::column;
use super::crossings::{self, Crossings};
use super::{Row, known};
use crate::analysis::{self, Cpu};
use crate::paths::short_path;

type Column = column::Column<SiteRow>;

/// A line, for one C function.
#[derive(Clone, Debug)]
pub struct SiteRow {
    /// The C function.
    pub function: FunctionId,
    /// How it is reached.
    pub via: Via,
    /// The line, if the stack names one.
    pub site: Option<Site>,
    /// Sums.
    pub stats: Stats,
    /// Processor time in C.
    pub cpu: Option<Cpu>,
}

/// A line of a Go function.
#[derive(Clone, Debug)]
pub struct Site {
    /// The Go function.
    pub caller: String,
    /// Its file.
    pub file: String,
    /// The line, 0 where it is unknown.
    pub line: u32,
}

/// Returns the sites of a profile, the largest total first.
pub fn rows(profile: &Profile) -> Vec<SiteRow> {
    let rows = analysis::by_site(profile).into_iter().map(|row| SiteRow {
        function: row.id,
        via: row.via,
        site: row.site.map(|site| Site {
            caller: site.function.to_owned(),
            file: site.file.to_owned(),
            line: site.line,
        }),
        stats: row.stats,
        cpu: row.cpu,
    });
    rows.collect()
}

impl Crossings for SiteRow {
    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn cpu(&self) -> Option<Cpu> {
        self.cpu
    }

    fn via(&self) -> Via {
        self.via
    }
}

impl Row for SiteRow {
    fn columns() -> &'static [Column] {
        static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(columns);
        &COLUMNS
    }
}

fn columns() -> Vec<Column> {
    let names = [
        Column::name("function", "C FUNCTION", |row, profile| Cell::text(&profile.functions[row.function.0].name)),
        Column::json("caller", |row, _| Cell::optional_text(row.site.as_ref().map(|site| site.caller.as_str()))),
        Column::name("called_by", "CALLED BY", |row, _| Cell::text(row.site.as_ref().map_or("?", |site| &site.caller)))
            .not_in_json(),
        Column::json("file", |row, _| Cell::optional_text(row.site.as_ref().and_then(|site| known(&site.file)))),
        Column::json("line", |row, _| {
            let line = row.site.as_ref().map(|site| site.line);
            Cell::Number(line.filter(|&line| line > 0).map(u64::from))
        }),
        Column::name("place", "LINE", |row, _| {
            Cell::text(row.site.as_ref().map_or_else(String::new, |at| format!("{}:{}", short_path(&at.file), at.line)))
        })
        .not_in_json(),
    ];
    names.into_iter().chain(crossings::columns()).collect()
}
