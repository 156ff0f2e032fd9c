//! Lines of Go that call C.

use std::collections::HashMap;

use cgoprof_profile::{FunctionId, Profile, Stats, Via};

use crate::analysis;

/// All of them.
#[derive(Debug)]
pub(crate) struct Sites {
    pub(crate) rows: Vec<Site>,
    /// Calls by file and line, of all C functions.
    lines: HashMap<String, HashMap<u32, u64>>,
}

/// One, for one C function.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) function: FunctionId,
    pub(crate) via: Via,
    /// The Go function; empty where the stack names none.
    pub(crate) caller: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) stats: Stats,
}

impl Sites {
    /// The largest total first.
    pub(crate) fn new(profile: &Profile) -> Sites {
        let ids: HashMap<*const cgoprof_profile::Function, FunctionId> =
            profile.functions.iter().enumerate().map(|(at, function)| (&raw const *function, FunctionId(at))).collect();
        let mut lines: HashMap<String, HashMap<u32, u64>> = HashMap::new();
        let rows = analysis::by_site(profile).into_iter().filter_map(|row| {
            let (caller, file, line) = row.site.map_or(("", "", 0), |site| (site.function, site.file, site.line));
            if line > 0 {
                *lines.entry(file.to_owned()).or_default().entry(line).or_default() += row.stats.calls;
            }
            Some(Site {
                function: *ids.get(&(&raw const *row.function))?,
                via: row.via,
                caller: caller.to_owned(),
                file: file.to_owned(),
                line,
                stats: row.stats,
            })
        });
        let rows = rows.collect();
        Sites { rows, lines }
    }

    /// Crossings made from a line, to any C function.
    pub(crate) fn calls_from(&self, file: &str, line: u32) -> u64 {
        self.lines.get(file).and_then(|lines| lines.get(&line)).copied().unwrap_or(0)
    }

    pub(crate) fn of(&self, function: FunctionId) -> impl Iterator<Item = &Site> {
        self.rows.iter().filter(move |site| site.function == function)
    }
}
