//! Advice, ready to be shown.

use cgoprof_profile::Profile;

use crate::advice;
use crate::units::printable;

/// One piece of advice.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) kind: &'static str,
    /// The C function.
    pub(crate) function: String,
    /// The Go function that calls it and the line, if one stands out.
    pub(crate) caller: String,
    pub(crate) line: String,
    /// What was seen, and what to do.
    pub(crate) why: String,
    pub(crate) what: String,
    /// Nanoseconds.
    pub(crate) saving: f64,
}

/// That which saves most first.
pub(crate) fn rows(profile: &Profile) -> Vec<Row> {
    let rows = advice::advice(profile).into_iter().map(|advice| Row {
        kind: advice.kind.name(),
        function: printable(advice.function),
        caller: advice.site.map_or_else(String::new, |site| printable(site.function)),
        line: advice.site.map_or_else(String::new, |site| printable(&format!("{}:{}", site.file, site.line))),
        why: printable(&advice.why),
        what: printable(&advice.what),
        saving: advice.saving.map_or(0.0, |saving| saving.nanos),
    });
    rows.collect()
}
