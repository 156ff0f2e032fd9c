//! Advice on memory of C's that Go asks for and does not give back.

use std::collections::BTreeMap;

use cgoprof_profile::{Profile, Via};

use super::{Advice, Kind};
use crate::analysis::{self, Position};
use crate::units::count;

/// Pieces of memory that are missing.
const MISSING: u64 = 100;

pub(super) fn advise<'a>(profile: &'a Profile, all: &mut Vec<Advice<'a>>) {
    let mut by_caller: BTreeMap<&str, Balance<'a>> = BTreeMap::new();
    let (mut taken, mut freed) = (0u64, 0u64);
    for row in analysis::by_site(profile).iter().filter(|row| row.via == Via::Cgocall) {
        let Some(site) = row.site else { continue };
        let balance = by_caller.entry(outermost(site.function)).or_default();
        match row.function.c_name.as_str() {
            "malloc" | "calloc" | "strdup" | "strndup" => {
                taken = taken.saturating_add(row.stats.calls);
                balance.taken = balance.taken.saturating_add(row.stats.calls);
                if balance.site.is_none_or(|(_, calls)| calls < row.stats.calls) {
                    balance.site = Some((site, row.stats.calls));
                    balance.function = row.function.name.as_str();
                }
            }
            "free" => {
                freed = freed.saturating_add(row.stats.calls);
                balance.freed = balance.freed.saturating_add(row.stats.calls);
            }
            _ => {}
        }
    }
    // What one function takes another may free.
    if taken.saturating_sub(freed) < MISSING || taken - freed < taken / 10 {
        return;
    }
    for balance in by_caller.values() {
        let missing = balance.taken.saturating_sub(balance.freed);
        let Some((site, _)) = balance.site.filter(|_| missing >= MISSING && missing >= balance.taken / 10) else {
            continue;
        };
        let (own, total) = (count(balance.taken), count(taken));
        all.push(Advice {
            kind: Kind::Unfreed,
            function: balance.function,
            site: Some(site),
            why: format!(
                "{own} pieces of C's memory were taken here (C.CString, C.CBytes, C.malloc) and {} given back; in the whole \
                 program {} of {total}",
                count(balance.freed),
                count(freed)
            ),
            what: "C.free each one when C has done with it, unless C itself frees them".into(),
            saving_ns: None,
        });
    }
}

#[derive(Default)]
struct Balance<'a> {
    taken: u64,
    freed: u64,
    function: &'a str,
    /// The line that takes most.
    site: Option<(Position<'a>, u64)>,
}

/// The function that holds a closure or a deferred call: `main.f` of `main.f.func1` and `main.f.deferwrap2`.
fn outermost(function: &str) -> &str {
    let cut = [".func", ".deferwrap", ".gowrap"].iter().filter_map(|part| {
        let at = function.find(part)?;
        function[at + part.len()..].starts_with(|c: char| c.is_ascii_digit()).then_some(at)
    });
    &function[..cut.min().unwrap_or(function.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closures_belong_to_their_function() {
        let check = |function: &str, expected: &str| assert_eq!(outermost(function), expected);
        check("main.f", "main.f");
        check("main.f.func1", "main.f");
        check("main.f.func1.2", "main.f");
        check("main.f.deferwrap2", "main.f");
        check("main.(*T).functional", "main.(*T).functional");
    }
}
