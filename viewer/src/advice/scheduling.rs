//! Advice on threads: Ps lost, threads made, libraries that want one thread.

use cgoprof_profile::{Function, Profile, Via};

use super::border::WORTH;
use super::finding::{Advice, Kind, Saving, busiest};
use crate::analysis::{self, FunctionRow, SiteRow};
use crate::scheduler::{self, Spread};
use crate::units::{count, time};

/// Ps lost at one line.
const LOST: u64 = 10;
/// Nanoseconds in C, on average: a call that is back sooner keeps its P (`retake` in runtime/proc.go takes it from those that
/// stay for 20 us), unless the machine holds its thread up, which fewer callers don't help.
const LONG: f64 = 20_000.0;
/// Share of the time in C that must be waited for a P afterwards.
const WAITING: f64 = 0.1;
/// Threads made while a function held others.
const GROWTH: u64 = 8;
/// Crossings of a thread-bound function on threads that nothing holds it to.
const WANDERING: u64 = 10;
/// Parts of the file names of libraries whose state belongs to a thread.
const THREAD_BOUND: [&str; 14] = [
    "libGL.",
    "libEGL.",
    "libGLX.",
    "libGLESv2.",
    "libOpenGL.",
    "libglfw.",
    "libSDL2",
    "libSDL3",
    "libgtk-",
    "libjvm.",
    "libpython",
    "libruby",
    "libperl.",
    "libR.",
];
/// What the names of their functions begin with, for those linked in: followed by a capital letter or an underscore.
const THREAD_BOUND_NAMES: [&str; 8] = ["gl", "egl", "glX", "glfw", "SDL_", "JNI_", "Py", "gtk_"];

pub(super) fn advise<'a>(profile: &'a Profile, all: &mut Vec<Advice<'a>>) {
    let run = profile.recording.duration_ns.max(1) as f64;
    let (functions, sites) = (analysis::by_function(profile), analysis::by_site(profile));
    all.extend(sites.iter().filter_map(|row| lost_p(row, run)));
    for (function, (threads, held)) in scheduler::growth(profile) {
        let name = profile.functions[function.0].name.as_str();
        if threads >= GROWTH {
            all.push(Advice {
                kind: Kind::ThreadGrowth,
                function: name,
                site: busiest(&sites, name, |stats| stats.c.sum),
                why: format!("the runtime made {threads} threads while up to {held} others were in it"),
                what: "bound how many goroutines call it at once, with a semaphore or a few workers: threads are kept to the \
                       end"
                    .into(),
                saving: None,
            });
        }
    }
    let spread = scheduler::spread(profile);
    for row in functions.iter().filter(|row| row.via == Via::Cgocall) {
        let spread = spread.get(&(row.id, row.via)).copied().unwrap_or_default();
        all.extend(wandering(row, spread, &sites));
    }
}

fn lost_p<'a>(row: &SiteRow<'a>, run: f64) -> Option<Advice<'a>> {
    let stats = &row.stats;
    // One long wait may be the machine's, and is no pattern.
    let usual = stats.p_wait - stats.p_wait_max;
    let is_long = stats.c.sum >= LONG * stats.measured_calls() as f64;
    if stats.p_lost < LOST || !is_long || usual < WORTH * run || usual < WAITING * stats.c.sum {
        return None;
    }
    Some(Advice {
        kind: Kind::LostP,
        function: &row.function.name,
        site: row.site,
        why: format!(
            "{} of {} crossings lost their P and then waited {} for one in total, up to {}; each was {} in C",
            count(stats.p_waits),
            count(stats.calls),
            time(stats.p_wait),
            time(stats.p_wait_max),
            time(stats.c.sum / stats.measured_calls().max(1) as f64)
        ),
        what:
            "let fewer goroutines call it at once (a semaphore, or a worker pool), or raise GOMAXPROCS if processors \
               are idle"
                .into(),
        // Goroutines wait side by side.
        saving: Some(Saving { nanos: stats.p_wait.min(run), standard_error: 0.0 }),
    })
}

fn wandering<'a>(row: &FunctionRow<'a>, spread: Spread, sites: &[SiteRow<'a>]) -> Option<Advice<'a>> {
    let unlocked = row.stats.calls.saturating_sub(row.locked_calls);
    // Most calls are made locked, and some are not: as if that had been forgotten.
    let mixed = row.locked_calls >= WANDERING && row.locked_calls > unlocked && !is_plain(&row.function.c_name);
    // What it keeps by thread is another's after a migration.
    let own_state =
        row.function.thread_local && row.unlocked_migrations >= WANDERING && !is_plain(&row.function.c_name);
    let is_bound = is_thread_bound(row.function) || mixed || own_state;
    if !is_bound || unlocked < WANDERING || spread.unlocked_threads < 2 {
        return None;
    }
    let name = &row.function.name;
    let state = if own_state { "; its code uses thread-local storage" } else { "" };
    let locked = if mixed { format!("; {} more were made locked", count(row.locked_calls)) } else { String::new() };
    Some(Advice {
        kind: Kind::Wandering,
        function: name,
        site: busiest(sites, name, |stats| stats.migrations as f64),
        why: format!(
            "{} crossings without LockOSThread ran on {} threads{}{locked}{state}",
            count(unlocked),
            spread.unlocked_threads,
            match row.unlocked_migrations {
                0 => String::new(),
                migrations => format!(", {} of them on another than the goroutine's one before", count(migrations)),
            }
        ),
        what: "if it keeps state by thread (a current context, errno-like results), call it between runtime.LockOSThread and \
               UnlockOSThread, from one goroutine"
            .into(),
        saving: None,
    })
}

/// Functions of the C library that know no threads.
fn is_plain(name: &str) -> bool {
    const PLAIN: [&str; 8] = ["malloc", "calloc", "realloc", "free", "strdup", "strlen", "memcpy", "memset"];
    PLAIN.contains(&name)
}

fn is_thread_bound(function: &Function) -> bool {
    let Function { library, c_name, .. } = function;
    let file = library.rsplit('/').next().unwrap_or_default();
    let by_name = THREAD_BOUND_NAMES.iter().filter_map(|prefix| c_name.strip_prefix(prefix).map(|rest| (prefix, rest)));
    let mut by_name = by_name.filter(|(prefix, rest)| {
        prefix.ends_with('_') || rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
    });
    THREAD_BOUND.iter().any(|library| file.starts_with(library)) || by_name.next().is_some()
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Estimate, Stats};

    use super::*;

    #[test]
    fn one_long_wait_for_a_p_is_no_pattern_nor_are_waits_after_short_calls() {
        let function = Function::default();
        let check = |calls: u64, waits: &[f64], advised: bool| {
            let stats = Stats {
                calls,
                p_lost: waits.len() as u64,
                p_waits: waits.len() as u64,
                p_wait: waits.iter().sum(),
                p_wait_max: waits.iter().copied().fold(0.0, f64::max),
                c: Estimate { sum: 1e8, ..Estimate::default() },
                ..Stats::default()
            };
            let row = SiteRow {
                function: &function,
                id: Default::default(),
                via: Via::Cgocall,
                site: None,
                stats,
                cpu: None,
            };
            assert_eq!(lost_p(&row, 1e9).is_some(), advised, "{waits:?}");
        };
        check(2_000, &[2e6; 20], true);
        check(2_000, &[2e5; 20], false);
        // The machine held everybody up once.
        check(2_000, &[&[34e3; 93][..], &[31.2e6]].concat(), false);
        check(2_000, &[2e7; 9], false);
        // It held up calls of a microsecond.
        check(100_000, &[2e6; 20], false);
    }

    #[test]
    fn a_function_that_never_changed_its_thread_is_said_to_wander_without_a_share() {
        let bound = Function { c_name: "SDL_PumpEvents".into(), ..Function::default() };
        let own = Function { c_name: "last_error".into(), thread_local: true, ..Function::default() };
        let check = |function: &Function, migrations: u64, expected: Option<&str>| {
            let stats = Stats { calls: 1000, ..Stats::default() };
            let row = FunctionRow {
                function,
                id: Default::default(),
                via: Via::Cgocall,
                stats,
                locked_calls: 0,
                unlocked_migrations: migrations,
                cpu: None,
            };
            let spread = Spread { unlocked_threads: 2, ..Spread::default() };
            let found = wandering(&row, spread, &[]).map(|advice| advice.why);
            assert_eq!(found.as_deref(), expected, "{}, {migrations}", function.c_name);
        };
        let on_two = "1,000 crossings without LockOSThread ran on 2 threads";
        check(&bound, 0, Some(on_two));
        let other = ", 40 of them on another than the goroutine's one before";
        check(&bound, 40, Some(&format!("{on_two}{other}")));
        check(&own, 0, None);
        check(&own, 40, Some(&format!("{on_two}{other}; its code uses thread-local storage")));
    }
}
