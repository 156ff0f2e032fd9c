//! Advice on what crossings cost: chatty sites, callbacks, escaping arguments, C before `main`, name lookups.

use std::collections::BTreeMap;

use cgoprof_profile::{FunctionId, Profile, Stats, Via};

use super::finding::{Advice, Kind, Saving, busiest};
use super::origin;
use crate::analysis::{self, FunctionRow, SiteRow};
use crate::units::{count, crossings, percent, time, with_error};

/// Share of the run that something must take to be worth a word.
pub(super) const WORTH: f64 = 0.01;
/// Crossings of a chatty site.
const CHATTY: u64 = 10_000;
/// Crossings that a batch would make one.
const BATCH: u64 = 10;
/// Callbacks of a function that lives from them.
const MANY_CALLBACKS: u64 = 1000;
/// Share of its time in C that such a function spends in callbacks.
const CALLING: f64 = 0.1;
/// Crossings of a function whose arguments are worth keeping off the heap.
const ESCAPING: u64 = 100_000;
/// Nanoseconds in C before `main`.
const INIT: f64 = 10e6;
/// Lookups through C.
const LOOKUPS: u64 = 10;
/// C's functions that look up names (package net, cgo_unix.go).
const RESOLVERS: [&str; 3] = ["getaddrinfo", "getnameinfo", "res_search"];

pub(super) fn advise<'a>(profile: &'a Profile, all: &mut Vec<Advice<'a>>) {
    let run = profile.recording.duration_ns.max(1) as f64;
    let (functions, sites) = (analysis::by_function(profile), analysis::by_site(profile));
    if profile.recording.phases_timed() {
        all.extend(sites.iter().filter_map(|row| chatty(profile, row, run)));
    }
    for row in functions.iter().filter(|row| row.via == Via::Cgocall) {
        all.extend(callbacks(row, &sites, run));
        all.extend(noescape(profile, row, &sites));
        all.extend(dns(row, &sites, run));
    }
    init(profile, all);
}

/// Many crossings, each shorter than the way there and back.
fn chatty<'a>(profile: &Profile, row: &SiteRow<'a>, run: f64) -> Option<Advice<'a>> {
    let stats = &row.stats;
    let overhead = stats.overhead();
    // Waits for a P take no processor time.
    let border = (overhead.sum - stats.p_wait).max(0.0);
    let is_chatty =
        stats.calls >= CHATTY && stats.timed > 0 && stats.callbacks == 0 && stats.p_lost < stats.calls / 100;
    let is_known = border > 2.0 * overhead.standard_error();
    // Nor do preemptions, of which a busy machine makes more than C and the border take.
    let in_c = (stats.c_self() - stats.preempted).max(0.0);
    if !is_chatty || !is_known || border < WORTH * run || in_c > border {
        return None;
    }
    let calls = stats.measured_calls().max(1) as f64;
    let (saved, batched) = (1.0 - 1.0 / BATCH as f64, BATCH);
    let (saving, error) = (border * saved, overhead.standard_error() * saved);
    let saves = format!("{} of processor time", with_error(saving, error));
    Some(Advice {
        kind: Kind::Chatty,
        function: &row.function.name,
        site: row.site,
        why: format!(
            "{} crossings of {} in C each; getting to C and back took {} each, {} of the run in total",
            count(stats.calls),
            time(in_c / calls),
            time(border / calls),
            percent(border / run)
        ),
        what: match row.function.c_name.as_str() {
            "malloc" | "free" => format!("keep the memory and use it again: each ten times would save {saves}"),
            _ => format!("hand C {batched} at a time: one crossing in place of {batched} saves {saves}"),
        } + &origin::note(profile, row),
        saving: Some(Saving { nanos: saving, standard_error: error }),
    })
}

fn callbacks<'a>(row: &FunctionRow<'a>, sites: &[SiteRow<'a>], run: f64) -> Option<Advice<'a>> {
    let stats = &row.stats;
    let (within, c) = (stats.callback.sum, stats.c.sum);
    if stats.callbacks < MANY_CALLBACKS || within < CALLING * c || within < WORTH * run {
        return None;
    }
    Some(Advice {
        kind: Kind::Callbacks,
        function: &row.function.name,
        site: busiest(sites, &row.function.name, |stats| stats.callback.sum),
        why: format!(
            "{} callbacks into Go took {} of its {} in C ({} each)",
            count(stats.callbacks),
            percent(within / c.max(1.0)),
            time(c),
            time(within / stats.callbacks as f64)
        ),
        what: "let C collect what it would call back for, and take it in one crossing; where C needs the answer at once, as \
               from an allocator, write the called function in C"
            .into(),
        saving: None,
    })
}

fn noescape<'a>(profile: &Profile, row: &FunctionRow<'a>, sites: &[SiteRow<'a>]) -> Option<Advice<'a>> {
    let (stats, wrapper) = (&row.stats, row.function.wrapper?);
    // cmd/cgo knows both directives from Go 1.24 on.
    let known = minor(&profile.target.go_version).is_some_and(|minor| minor >= 24);
    // What it is given is C's memory.
    let frees = ["free", "realloc"].contains(&row.function.c_name.as_str());
    if !known || !wrapper.escapes || frees || stats.calls < ESCAPING || stats.callbacks > 0 {
        return None;
    }
    let name = &row.function.c_name;
    Some(Advice {
        kind: Kind::Noescape,
        function: &row.function.name,
        site: busiest(sites, &row.function.name, |stats| stats.calls as f64),
        why: format!("{} crossings with pointer arguments, and none called back into Go", count(stats.calls)),
        what: format!(
            "if it keeps no pointer it is given, `#cgo noescape {name}` and `#cgo nocallback {name}` let what its pointer \
             arguments point to stay on the stack"
        ),
        saving: None,
    })
}

/// The release of a Go version: 24 of `go1.24.11`.
fn minor(go_version: &str) -> Option<u32> {
    let rest = go_version.split_once("go1.")?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn dns<'a>(row: &FunctionRow<'a>, sites: &[SiteRow<'a>], run: f64) -> Option<Advice<'a>> {
    let stats = &row.stats;
    let is_lookup = row.function.package == "net" && RESOLVERS.iter().any(|name| row.function.c_name.contains(name));
    if !is_lookup || (stats.calls < LOOKUPS && stats.c.sum < WORTH * run) {
        return None;
    }
    Some(Advice {
        kind: Kind::Dns,
        function: &row.function.name,
        site: busiest(sites, &row.function.name, |stats| stats.c.sum),
        why: match stats.timed {
            0 => format!("{} lookups through C's resolver, each holding a thread", count(stats.calls)),
            _ => format!(
                "{} lookups through C's resolver, each holding a thread for {}",
                count(stats.calls),
                time(stats.c.sum / stats.measured_calls().max(1) as f64)
            ),
        },
        what: "use Go's own resolver: GODEBUG=netdns=go, the build tag netgo, or net.Resolver{PreferGo: true}".into(),
        saving: None,
    })
}

/// C called while packages were initialised, one after the other.
fn init<'a>(profile: &'a Profile, all: &mut Vec<Advice<'a>>) {
    let mut by_function: BTreeMap<FunctionId, (Stats, Option<analysis::Position<'a>>)> = BTreeMap::new();
    for cell in profile.cells.iter().filter(|cell| cell.via == Via::Cgocall) {
        let frames = analysis::frames(profile, &cell.stack);
        let initialises = |name: &str| name.starts_with("runtime.doInit");
        if frames.iter().any(|frame| initialises(frame.position.function)) {
            let sum = by_function.entry(cell.function).or_default();
            sum.0.add(&cell.stats);
            sum.1 = sum.1.or_else(|| analysis::site(profile, cell));
        }
    }
    for (function, (stats, site)) in by_function {
        let total = stats.total().sum;
        if total >= INIT {
            all.push(Advice {
                kind: Kind::Init,
                function: &profile.functions[function.0].name,
                site,
                why: format!(
                    "{} took {} before main began",
                    crossings(stats.calls),
                    with_error(total, stats.total().standard_error())
                ),
                what: "call it when it is first needed (sync.Once), or from a goroutine".into(),
                saving: Some(Saving { nanos: total, standard_error: stats.total().standard_error() }),
            });
        }
    }
}
