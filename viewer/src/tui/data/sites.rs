//! Lines of Go that call C.

use std::collections::HashMap;

use cgoprof_profile::{FunctionId, Profile};

use crate::tables::sites::{self, SiteRow};

/// All of them.
#[derive(Debug)]
pub(crate) struct Sites {
    /// The largest total first.
    pub(crate) rows: Vec<SiteRow>,
    /// Calls by file and line, of all C functions.
    lines: HashMap<String, HashMap<u32, u64>>,
}

impl Sites {
    pub(crate) fn new(profile: &Profile) -> Sites {
        let rows = sites::rows(profile);
        let mut lines: HashMap<String, HashMap<u32, u64>> = HashMap::new();
        for row in &rows {
            if let Some(site) = row.site.as_ref().filter(|site| site.line > 0) {
                *lines.entry(site.file.clone()).or_default().entry(site.line).or_default() += row.stats.calls;
            }
        }
        Sites { rows, lines }
    }

    /// Crossings made from a line, to any C function.
    pub(crate) fn calls_from(&self, file: &str, line: u32) -> u64 {
        self.lines.get(file).and_then(|lines| lines.get(&line)).copied().unwrap_or(0)
    }

    pub(crate) fn of(&self, function: FunctionId) -> impl Iterator<Item = &SiteRow> {
        self.rows.iter().filter(move |site| site.function == function)
    }
}
