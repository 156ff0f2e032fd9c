//! Threads, goroutines and callbacks of a profile, as people ask for them. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cgoprof_profile::{Birth, Callback, Estimate, FunctionId, Goroutine, Holder, Profile, Thread, Via};

use crate::analysis::{Frame, frames};

/// How many threads call a C function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Threads that called it.
    pub threads: u64,
    /// Threads that called it for a goroutine not locked to them.
    pub unlocked_threads: u64,
}

/// Why the runtime made a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The template thread, which makes threads where a locked one may not: the runtime starts it when a program with cgo
    /// begins.
    Template,
    /// The runtime's monitor, which every program has.
    Monitor,
    /// A P was taken from a thread that was long in C or in a system call, and none was idle to run it.
    TakenP,
    /// A goroutine was ready, a P was idle and no thread was.
    Work,
    /// Work stopped for the garbage collector goes on.
    AfterStop,
    /// A locked thread needed another to go on with its P.
    Locked,
    /// None of these.
    Other,
}

impl Why {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Why::Template => "template thread",
            Why::Monitor => "runtime's monitor",
            Why::TakenP => "P taken from a thread in C or in a system call",
            Why::Work => "a goroutine was ready and no thread idle",
            Why::AfterStop => "work went on after a stop of the world",
            Why::Locked => "a thread was locked to its goroutine",
            Why::Other => "runtime",
        }
    }

    /// Whether every program with cgo has such a thread, whatever it does.
    pub fn is_usual(self) -> bool {
        matches!(self, Why::Template | Why::Monitor)
    }
}

/// A thread with what explains it.
#[derive(Clone, Debug)]
pub struct ThreadRow<'a> {
    /// The thread.
    pub thread: &'a Thread,
    /// Its place in the profile.
    pub index: usize,
    /// Its crossings that `runtime.NumCgoCall` counts.
    pub crossings: u64,
    /// Time in C of these.
    pub c_ns: f64,
    /// Why the runtime made it, and who was in C then.
    pub birth: Option<BirthRow<'a>>,
}

impl ThreadRow<'_> {
    /// Why it was made, and who was in C then; empty if that is not known.
    pub fn because(&self) -> String {
        let Some(birth) = &self.birth else { return String::new() };
        let held = held(&birth.holders, birth.birth.in_c);
        if held.is_empty() || birth.why.is_usual() {
            birth.why.text().to_owned()
        } else {
            format!("{}: {held}", birth.why.text())
        }
    }
}

/// A thread that the runtime made.
#[derive(Clone, Debug)]
pub struct BirthRow<'a> {
    /// What the profile tells.
    pub birth: &'a Birth,
    /// Its place in the profile.
    pub index: usize,
    /// Why.
    pub why: Why,
    /// Who was in C, by function, the most first.
    pub holders: Vec<(&'a str, u64)>,
}

/// By C function and way, how many threads called it; empty if that is not known.
pub fn spread(profile: &Profile) -> HashMap<(FunctionId, Via), Spread> {
    let mut spread: HashMap<(FunctionId, Via), Spread> = HashMap::new();
    for made in profile.threads.iter().flat_map(|thread| &thread.made) {
        let row = spread.entry((made.function, made.via)).or_default();
        row.threads += 1;
        row.unlocked_threads += u64::from(made.calls > made.locked);
    }
    spread
}

/// Threads, those with the most time in C first.
pub fn by_thread(profile: &Profile) -> Vec<ThreadRow<'_>> {
    let births = births(profile);
    let mut by_tid: HashMap<(usize, u64), Vec<&BirthRow<'_>>> = HashMap::new();
    for row in &births {
        by_tid.entry((row.birth.process, row.birth.tid.unwrap_or(0))).or_default().push(row);
    }
    let birth = |thread: &Thread| {
        let own = by_tid.get(&(thread.process, thread.tid)).into_iter().flatten().take(MOST_OF_ONE_NUMBER);
        own.copied().find(|row| row.birth.tid.is_some() && is_its(row.birth, thread)).cloned()
    };
    let mut rows: Vec<_> = profile
        .threads
        .iter()
        .enumerate()
        .map(|(index, thread)| {
            let made = || thread.made.iter().filter(|made| made.via == Via::Cgocall);
            ThreadRow {
                thread,
                index,
                crossings: made().fold(0, |sum, made| u64::saturating_add(sum, made.calls)),
                c_ns: made().map(|made| made.c_ns).sum(),
                birth: birth(thread),
            }
        })
        .collect();
    rows.sort_by(|one, other| {
        let by_time = other.c_ns.total_cmp(&one.c_ns).then(other.crossings.cmp(&one.crossings));
        by_time.then(one.thread.tid.cmp(&other.thread.tid))
    });
    rows
}

/// Threads of one number that are looked at.
const MOST_OF_ONE_NUMBER: usize = 100;

/// A thread's number may have been another's.
fn is_its(birth: &Birth, thread: &Thread) -> bool {
    const SOON: u64 = 1_000_000_000;
    thread.created_ns.is_none_or(|created| created.abs_diff(birth.at_ns) < SOON)
}

/// The threads that the runtime made, in their order.
pub fn births(profile: &Profile) -> Vec<BirthRow<'_>> {
    (0..profile.births.len()).map(|index| birth(profile, index)).collect()
}

/// The thread at a place among those that the runtime made.
pub(crate) fn birth(profile: &Profile, index: usize) -> BirthRow<'_> {
    let birth = &profile.births[index];
    BirthRow { birth, index, why: why(profile, birth), holders: holders(profile, &birth.holders) }
}

/// Names and numbers of who was in C.
pub fn holders<'a>(profile: &'a Profile, holders: &[Holder]) -> Vec<(&'a str, u64)> {
    holders.iter().map(|holder| (profile.functions[holder.function.0].name.as_str(), holder.threads)).collect()
}

/// `7 in sleep, 1 in nop`.
pub fn held(holders: &[(&str, u64)], in_c: u64) -> String {
    let mut parts: Vec<_> = holders.iter().map(|(name, threads)| format!("{threads} in {name}")).collect();
    let others = holders.iter().fold(in_c, |others, (_, threads)| others.saturating_sub(*threads));
    if others > 0 {
        parts.push(format!("{others} elsewhere in C"));
    }
    parts.join(", ")
}

/// From the runtime functions that led there (runtime/proc.go).
fn why(profile: &Profile, birth: &Birth) -> Why {
    let stack = frames(profile, &birth.stack);
    let names: BTreeSet<&str> = stack.iter().map(|frame: &Frame<'_>| frame.position.function).collect();
    let has = |name: &str| names.contains(name);
    // The runtime's own threads come from runtime.main, on the system stack.
    if has("runtime.startTemplateThread") {
        Why::Template
    } else if has("runtime.templateThread") || has("runtime.stoplockedm") || has("runtime.startlockedm") {
        Why::Locked
    } else if has("runtime.startTheWorldWithSema") || has("runtime.startTheWorld") {
        Why::AfterStop
    } else if has("runtime.retake") || has("runtime.sysmon") || has("runtime.handoffp") {
        Why::TakenP
    } else if has("runtime.startm") || has("runtime.wakep") || has("runtime.schedule") {
        Why::Work
    } else if names.iter().any(|name| name.starts_with("runtime.main")) {
        Why::Monitor
    } else {
        Why::Other
    }
}

/// A goroutine that was locked to its thread at the end.
#[derive(Clone, Copy, Debug)]
pub struct HeldRow<'a> {
    /// Its process, by its index in [`Profile::processes`].
    pub process: usize,
    /// Its number.
    pub goid: u64,
    /// The function it began with.
    pub function: Option<&'a str>,
    /// Kernel thread id.
    pub tid: u64,
    /// Since when, since the recording's start.
    pub since_ns: u64,
}

/// Goroutines that were locked to their threads at the end, the longest first.
pub fn held_at_end(profile: &Profile) -> Vec<HeldRow<'_>> {
    let known = |goroutine: &Goroutine| Some(((goroutine.process, goroutine.goid), goroutine.function?));
    let functions: HashMap<(usize, u64), FunctionId> = profile.goroutines.iter().filter_map(known).collect();
    let lasting = profile.timeline.locked.iter().filter(|locked| locked.to_ns.is_none());
    let mut rows: Vec<_> = lasting
        .map(|locked| HeldRow {
            goid: locked.goid,
            process: locked.process,
            function: functions
                .get(&(locked.process, locked.goid))
                .map(|function| profile.functions[function.0].name.as_str()),
            tid: locked.tid,
            since_ns: locked.from_ns,
        })
        .collect();
    rows.sort_by_key(|row| (row.since_ns, row.goid));
    rows
}

/// Callbacks of one Go function, however called.
#[derive(Clone, Debug)]
pub struct CallbackRow<'a> {
    /// The Go function.
    pub name: &'a str,
    /// The C function that calls it; none for foreign threads.
    pub within: Option<&'a str>,
    /// Numbers.
    pub callback: &'a Callback,
    /// Its place in the profile.
    pub index: usize,
}

/// All phases of callbacks together.
pub(crate) fn total(callback: &Callback) -> Estimate {
    let mut total = callback.acquire;
    total += callback.go;
    total += callback.release;
    total
}

/// Callbacks, those with the longest time first.
pub fn by_callback<'a>(profile: &'a Profile) -> Vec<CallbackRow<'a>> {
    let name = |id: FunctionId| profile.functions[id.0].name.as_str();
    let row = |(index, callback): (usize, &'a Callback)| CallbackRow {
        index,
        name: name(callback.function),
        within: callback.within.map(name),
        callback,
    };
    let mut rows: Vec<_> = profile.callbacks.iter().enumerate().map(row).collect();
    rows.sort_by(|one, other| {
        let total = |row: &CallbackRow<'_>| total(row.callback).sum;
        let by_time = total(other).total_cmp(&total(one)).then(other.callback.calls.cmp(&one.callback.calls));
        by_time.then(one.name.cmp(other.name)).then(one.within.cmp(&other.within))
    });
    rows
}

/// How many threads the runtime made for Ps that it had taken while one C function held at least half of all threads made
/// by then, by this function; and the most that it held.
pub fn growth(profile: &Profile) -> BTreeMap<FunctionId, (u64, u64)> {
    let mut growth: BTreeMap<FunctionId, (u64, u64)> = BTreeMap::new();
    for (made, row) in births(profile).iter().enumerate().filter(|(_, row)| row.why == Why::TakenP) {
        let holds = |holder: &&Holder| holder.threads.saturating_mul(2) > made as u64;
        if let Some(first) = row.birth.holders.first().filter(holds) {
            let sum = growth.entry(first.function).or_default();
            sum.0 += 1;
            sum.1 = sum.1.max(first.threads);
        }
    }
    growth
}
