//! Advice on memory of C's that Go asks for and does not give back. Which piece is freed where is not known: only the sums of
//! the whole program tell something.

use cgoprof_profile::{Profile, Via};

use super::finding::{Advice, Kind};
use crate::analysis::{self, SiteRow};
use crate::units::count;

/// Pieces of memory that are missing.
const MISSING: u64 = 100;
/// Share of the pieces taken that is missing.
const SHARE: f64 = 0.01;
/// Sites that are named.
const NAMED: usize = 3;

pub(super) fn advise<'a>(profile: &'a Profile, all: &mut Vec<Advice<'a>>) {
    let sites = analysis::by_site(profile);
    let called = |names: &[&str]| -> Vec<&SiteRow<'a>> {
        let of_name = |row: &&SiteRow<'_>| names.contains(&row.function.c_name.as_str());
        sites.iter().filter(|row| row.via == Via::Cgocall && row.stats.calls > 0).filter(of_name).collect()
    };
    let (mut takers, frees) = (called(&["malloc", "calloc", "strdup", "strndup"]), called(&["free"]));
    takers.sort_by_key(|row| std::cmp::Reverse(row.stats.calls));
    let sum = |rows: &[&SiteRow<'_>]| rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.stats.calls));
    let (taken, freed) = (sum(&takers), sum(&frees));
    let missing = taken.saturating_sub(freed);
    let Some(first) = takers.first().filter(|_| missing >= MISSING && missing as f64 >= SHARE * taken as f64) else {
        return;
    };
    let only = takers.len() == 1;
    let places = if only {
        String::new()
    } else {
        format!(". Which of these lines they come from is not known: {}", named(&takers))
    };
    all.push(Advice {
        kind: Kind::Unfreed,
        function: &first.function.name,
        site: first.site.filter(|_| only),
        why: format!(
            "Go took {} pieces of C's memory (C.CString, C.CBytes, C.malloc) and freed {}: {} fewer{places}",
            count(taken),
            count(freed),
            count(missing)
        ),
        what: "C.free each one when C has done with it, unless C itself frees them".into(),
        saving: None,
    });
}

/// The sites that take most.
fn named(takers: &[&SiteRow<'_>]) -> String {
    let name = |row: &&SiteRow<'_>| match row.site {
        Some(site) => {
            let file = site.file.rsplit('/').next().unwrap_or_default();
            format!("{} at {file}:{} ({})", site.function, site.line, count(row.stats.calls))
        }
        None => format!("an unknown line ({})", count(row.stats.calls)),
    };
    let more = match takers.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    takers.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ") + &more
}
