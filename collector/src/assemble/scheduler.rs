//! Puts the observed threads, goroutines and callbacks into the profile.

use std::collections::{BTreeMap, HashMap, HashSet};

use cgoprof_profile::{
    Birth, Callback, Counters, Forgotten, FunctionId, Goroutine, Holder, LocationId, Lock, Locked, Made, Peak, Profile,
    SlowCrossing, Thread, Timeline, Via, Wait,
};
use cgoprof_symbols::Avma;

use crate::assemble::label_sets::LabelSets;
use crate::assemble::{Clock, Crossing};
use crate::clock::Monotonic;
use crate::clock::{Moment, Rate};
use crate::correlate::offcpu::OffTime;
use crate::correlate::timeline::Part;
use crate::counts::cell_id::CellId;
use crate::counts::label_looks::LabelLooks;
use crate::counts::snapshot::{BirthCopy, GoroutineCopy, InCSnapshot, LockedCopy, Snapshot, ThreadCopy};
use crate::symbolize::Symbolizer;

/// Observations of threads, beside the engine's counts.
pub(crate) struct Observed<'a> {
    /// Threads that the runtime began to make.
    pub(crate) births: &'a [BirthCopy],
    /// Moment when most threads were in C, and whether every change was seen; none if it is not known.
    pub(crate) peak: Option<(&'a InCSnapshot, bool)>,
    /// Time for which each thread was blocked in slow crossings; none if switches were not seen.
    pub(crate) blocked: Option<&'a HashMap<u64, f64>>,
    /// Time for which threads waited outside of C for goroutines locked to them.
    pub(crate) idle: Option<Idle<'a>>,
    /// The timeline, or its latest part.
    pub(crate) timeline: Option<Part>,
    /// Labels that goroutines had in C, if they were read.
    pub(crate) labels: Option<&'a LabelLooks>,
}

/// Times in nanoseconds for which threads waited outside of C for goroutines locked to them.
#[derive(Clone, Copy)]
pub(crate) struct Idle<'a> {
    /// By the cell of the lock.
    pub(crate) by_lock: &'a HashMap<CellId, u64>,
    /// By thread.
    pub(crate) by_thread: &'a HashMap<u64, u64>,
}

/// Maximum goroutines kept. The others are reported as a sum.
const MOST_GOROUTINES: usize = 20_000;
/// Time within which all threads end when the program does, in nanoseconds.
const AT_ONCE: u64 = 100_000_000;
/// Minimum time in C of a slow crossing in flight, in nanoseconds.
const SHORTEST_OPEN: u64 = 10_000;
/// Maximum time until the kernel reports a thread that the runtime began to make, in nanoseconds.
const LONGEST_BIRTH: u64 = 1_000_000_000;

/// Start and end of the recording, and the rate of the engine's clock.
pub(crate) struct Span {
    pub(crate) rate: Rate,
    pub(crate) begun: Monotonic,
    pub(crate) end: Moment,
}

impl Span {
    /// Nanoseconds since the recording's start.
    fn since_start(&self, time: Monotonic) -> u64 {
        time.0.saturating_sub(self.begun.0)
    }

    fn ticks_since_start(&self, ticks: u64) -> u64 {
        self.since_start(self.rate.monotonic(ticks))
    }
}

/// Puts threads, goroutines, callbacks, locks and the timeline into the profile, in place of those it holds. `off`
/// returns how long a thread was off its processor between two times, and when it ended, if it has.
pub(crate) fn assemble_scheduler(
    profile: &mut Profile,
    snapshot: &Snapshot,
    crossings: &HashMap<CellId, Crossing>,
    symbolizer: &mut Symbolizer<'_, '_>,
    (clock, span): (&Clock, &Span),
    observed: &Observed<'_>,
    off: impl Fn(u64, Monotonic, Monotonic) -> (OffTime, Option<Monotonic>),
) {
    let functions: HashMap<(Avma, bool), (FunctionId, Via)> = crossings
        .values()
        .map(|crossing| ((crossing.function, crossing.via != Via::Cgocall), (crossing.named, crossing.via)))
        .collect();
    add_threads(profile, &snapshot.threads, &functions, clock, observed.blocked);
    add_in_flight(profile, snapshot, crossings, clock);
    callbacks(profile, snapshot, crossings, symbolizer, clock);
    goroutines(profile, snapshot, crossings, symbolizer);
    let (_, program_end) = off(profile.target.pid.into(), span.begun, span.end.monotonic);
    let still = still_locked(&snapshot.locked, span, program_end, off);
    locks(profile, snapshot, symbolizer, clock, observed, &still);
    let holders = |found: &[(u64, CellId)]| -> Vec<Holder> {
        let holder = |&(threads, cell): &(u64, CellId)| {
            let crossing = crossings.get(&cell)?;
            Some(Holder { function: crossing.named, cell: crossing.id, threads })
        };
        merged(found.iter().filter_map(holder))
    };
    profile.peak = observed.peak.map(|(peak, exact)| {
        let in_c: Vec<_> = peak.in_c.iter().map(|&(_, cell)| (1, cell)).collect();
        let (at_ns, threads) = (span.ticks_since_start(peak.at), peak.in_c.len() as u64);
        Peak { at_ns, threads, holders: holders(&in_c), exact }
    });
    let tids = match_births(&profile.threads, observed.births, span);
    profile.births.clear();
    for (birth, tid) in observed.births.iter().zip(tids) {
        profile.births.push(Birth {
            process: 0,
            at_ns: span.ticks_since_start(birth.at),
            tid,
            stack: crossings.get(&birth.cell).map_or_else(Vec::new, |crossing| crossing.stack.clone()),
            in_c: birth.in_c,
            holders: holders(&birth.holders),
        });
    }
    // Locks that last are reported once, at the end.
    let lasting =
        snapshot.locked.iter().zip(&still).filter(|_| observed.timeline.as_ref().is_some_and(|part| part.whole));
    let lasting = lasting.map(|(copy, still)| Locked {
        process: 0,
        tid: copy.tid,
        goid: copy.goid,
        from_ns: span.ticks_since_start(copy.since),
        to_ns: (!still.lasts).then(|| span.since_start(still.until)),
    });
    let lasting: Vec<_> = lasting.collect();
    if let Some(part) = &observed.timeline {
        let mut sets = LabelSets::new(observed.labels);
        let mut timeline = timeline(part, crossings, span, lasting, &mut sets);
        if part.whole {
            timeline.crossings.extend(open(snapshot, crossings, clock, span, part.shortest_crossing, &mut sets));
        }
        timeline.label_sets = sets.into_sets();
        profile.timeline = timeline.into();
    }
}

/// Merges holders by function, and puts those with the most threads first.
fn merged(holders: impl Iterator<Item = Holder>) -> Vec<Holder> {
    let mut by_function: BTreeMap<FunctionId, Holder> = BTreeMap::new();
    for holder in holders {
        let sum = by_function.entry(holder.function).or_insert(Holder { threads: 0, ..holder });
        sum.threads += holder.threads;
    }
    let mut merged: Vec<_> = by_function.into_values().collect();
    merged.sort_by_key(|holder| std::cmp::Reverse(holder.threads));
    merged
}

fn add_threads(
    profile: &mut Profile,
    copies: &[ThreadCopy],
    functions: &HashMap<(Avma, bool), (FunctionId, Via)>,
    clock: &Clock,
    blocked: Option<&HashMap<u64, f64>>,
) {
    // A thread id may be used again. The last thread that had it is meant.
    let mut by_tid: HashMap<u64, usize> =
        profile.threads.iter().enumerate().map(|(index, thread)| (thread.tid, index)).collect();
    for copy in copies {
        let index = *by_tid.entry(copy.tid).or_insert_with(|| {
            profile.threads.push(Thread { tid: copy.tid, ..Thread::default() });
            profile.threads.len() - 1
        });
        let thread = &mut profile.threads[index];
        thread.m = Some(copy.m);
        for (key, made) in &copy.made {
            let Some(&(function, via)) = functions.get(key) else { continue };
            let c_ns = clock.c_nanos(made.c, made.calls);
            match thread.made.iter_mut().find(|known| (known.function, known.via) == (function, via)) {
                Some(known) => {
                    known.calls += made.calls;
                    known.locked += made.locked;
                    known.c_ns += c_ns;
                }
                None => thread.made.push(Made { function, via, calls: made.calls, locked: made.locked, c_ns }),
            }
        }
    }
    for thread in &mut profile.threads {
        thread.made.sort_by_key(|made| (made.function, made.via as u8));
        thread.blocked_ns = blocked.map(|blocked| blocked.get(&thread.tid).copied().unwrap_or(0.0));
    }
}

/// Adds the time so far of crossings that are still in C.
fn add_in_flight(profile: &mut Profile, snapshot: &Snapshot, crossings: &HashMap<CellId, Crossing>, clock: &Clock) {
    for entry in &snapshot.in_flight {
        let Some(crossing) = crossings.get(&entry.cell) else { continue };
        let (elapsed, callbacks) = clock.so_far(entry);
        let of = |thread: &&mut Thread| thread.tid == entry.tid;
        let made = profile.threads.iter_mut().rfind(of).map(|thread| &mut thread.made);
        let is_its = |made: &&mut Made| (made.function, made.via) == (crossing.named, crossing.via);
        if let Some(made) = made.and_then(|made| made.iter_mut().find(is_its)) {
            made.c_ns += clock.nanos((elapsed - callbacks) as f64);
        }
    }
}

fn callbacks(
    profile: &mut Profile,
    snapshot: &Snapshot,
    crossings: &HashMap<CellId, Crossing>,
    symbolizer: &mut Symbolizer<'_, '_>,
    clock: &Clock,
) {
    let mut rows: BTreeMap<(FunctionId, Option<FunctionId>), Callback> = BTreeMap::new();
    let calls: HashMap<CellId, u64> = snapshot.cells.iter().map(|cell| (cell.at, cell.shown.calls)).collect();
    for raw in &snapshot.callbacks {
        let function = symbolizer.exported(profile, raw.function);
        let within = crossings.get(&raw.enclosing).map(|crossing| crossing.named);
        let row =
            rows.entry((function, within)).or_insert_with(|| Callback { function, within, ..Callback::default() });
        // Callbacks of one crossing are timed together, and their times may be alike.
        let together = calls.get(&raw.enclosing).map_or(1.0, |&calls| raw.shown.calls as f64 / calls.max(1) as f64);
        clock.add_callback(row, raw, together.max(1.0));
    }
    let mut foreign: HashMap<FunctionId, HashSet<u64>> = HashMap::new();
    for thread in &snapshot.threads {
        for &function in thread.called_in.keys() {
            foreign.entry(symbolizer.exported(profile, function)).or_default().insert(thread.tid);
        }
    }
    for row in rows.values_mut().filter(|row| row.within.is_none()) {
        row.foreign_threads = foreign.get(&row.function).map_or(0, |threads| threads.len() as u64);
    }
    profile.callbacks = rows.into_values().collect();
}

fn goroutines(
    profile: &mut Profile,
    snapshot: &Snapshot,
    crossings: &HashMap<CellId, Crossing>,
    symbolizer: &mut Symbolizer<'_, '_>,
) {
    let mut copies: Vec<&GoroutineCopy> = snapshot.goroutines.iter().collect();
    copies.sort_by_key(|copy| (std::cmp::Reverse(copy.calls), copy.goid));
    let locks: HashMap<CellId, &[Avma]> = snapshot.locks.iter().map(|cell| (cell.at, cell.stack.as_slice())).collect();
    let forgotten = snapshot.forgotten;
    profile.recording.forgotten = Forgotten {
        goroutines: forgotten.goroutines,
        alive: forgotten.alive,
        calls: forgotten.calls,
        migrations: forgotten.migrations,
    };
    for copy in copies.iter().skip(MOST_GOROUTINES) {
        let forgotten = &mut profile.recording.forgotten;
        forgotten.goroutines += 1;
        forgotten.calls += copy.calls;
        forgotten.migrations += copy.migrations;
    }
    profile.goroutines.clear();
    for copy in copies.into_iter().take(MOST_GOROUTINES) {
        let stack: Vec<LocationId> = match (crossings.get(&copy.cell), locks.get(&copy.cell)) {
            (Some(crossing), _) => crossing.stack.clone(),
            (None, Some(stack)) => symbolizer.lock_site(profile, stack),
            (None, None) => Vec::new(),
        };
        profile.goroutines.push(Goroutine {
            process: 0,
            goid: copy.goid,
            function: outermost(profile, &stack),
            calls: copy.calls,
            threads: copy.threads,
            migrations: copy.migrations,
            locks: copy.locks,
        });
    }
}

/// Returns the function that a goroutine began with: the outermost one except `goexit`.
fn outermost(profile: &Profile, stack: &[LocationId]) -> Option<FunctionId> {
    let functions = stack.iter().rev().flat_map(|location| profile.locations[location.0].lines.iter().rev());
    let mut functions = functions.map(|line| line.function);
    functions.find(|function| profile.functions[function.0].name != "runtime.goexit")
}

/// A lock that lasts to the end of its thread or of the recording, or was the last on its thread.
struct Still {
    cell: CellId,
    tid: u64,
    nanos: u64,
    /// Part of `nanos` in which the thread waited outside of C.
    waited: u64,
    until: Monotonic,
    lasts: bool,
}

fn still_locked(
    locked: &[LockedCopy],
    span: &Span,
    program_end: Option<Monotonic>,
    off: impl Fn(u64, Monotonic, Monotonic) -> (OffTime, Option<Monotonic>),
) -> Vec<Still> {
    let still = |copy: &LockedCopy| {
        let from = span.rate.monotonic(copy.since);
        let to = copy.until.map_or(span.end.monotonic, |until| span.rate.monotonic(until));
        let (found, ended) = off(copy.tid, from, to);
        let to = ended.map_or(to, |ended| ended.min(to));
        let nanos = to.0.saturating_sub(from.0);
        // All threads end when the program does.
        let with_program = |ended: Monotonic| program_end.is_some_and(|end| ended.0 + AT_ONCE > end.0);
        let lasts = copy.until.is_none() && ended.is_none_or(with_program);
        Still { cell: copy.cell, tid: copy.tid, nanos, waited: found.blocked, until: to, lasts }
    };
    locked.iter().map(still).collect()
}

fn locks(
    profile: &mut Profile,
    snapshot: &Snapshot,
    symbolizer: &mut Symbolizer<'_, '_>,
    clock: &Clock,
    observed: &Observed<'_>,
    still: &[Still],
) {
    let mut rows: BTreeMap<Vec<LocationId>, Lock> = BTreeMap::new();
    for raw in &snapshot.locks {
        let stack = symbolizer.lock_site(profile, &raw.stack);
        let row = rows.entry(stack.clone()).or_insert_with(|| Lock { stack, ..Lock::default() });
        row.locks += raw.shown.calls;
        row.held_ns += clock.nanos(raw.shown.c.census_sum as f64);
        row.longest_ns = row.longest_ns.max(clock.nanos(raw.c_extremes.1 as f64));
        let mut idle = observed.idle.map_or(0, |idle| idle.by_lock.get(&raw.at).copied().unwrap_or(0));
        for lock in still.iter().filter(|lock| lock.cell == raw.at) {
            row.held += u64::from(lock.lasts);
            row.held_ns += lock.nanos as f64;
            row.longest_ns = row.longest_ns.max(lock.nanos as f64);
            idle += lock.waited;
        }
        if observed.idle.is_some() {
            *row.idle_ns.get_or_insert(0.0) += idle as f64;
        }
    }
    profile.locks = rows.into_values().collect();
    let mut held: HashMap<u64, (f64, u64)> = HashMap::new();
    for lock in still {
        let sum = held.entry(lock.tid).or_default();
        sum.0 += lock.nanos as f64;
        sum.1 += lock.waited;
    }
    for copy in &snapshot.threads {
        held.entry(copy.tid).or_default().0 += clock.nanos(copy.locked as f64);
    }
    for thread in &mut profile.threads {
        let (nanos, waited) = held.get(&thread.tid).copied().unwrap_or_default();
        thread.locked_ns = Some(nanos);
        let idle = observed.idle.map(|idle| idle.by_thread.get(&thread.tid).copied().unwrap_or(0) + waited);
        thread.locked_idle_ns = idle.map(|idle| idle as f64);
    }
}

/// Returns the kernel's thread for each thread that the runtime began to make: the first that the same thread started
/// next.
fn match_births(threads: &[Thread], births: &[BirthCopy], span: &Span) -> Vec<Option<u64>> {
    let mut started: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
    for thread in threads {
        if let (Some(parent), Some(created)) = (thread.parent, thread.created_ns) {
            started.entry(parent).or_default().push((created, thread.tid));
        }
    }
    started.values_mut().for_each(|children| children.sort_unstable());
    let matched = births.iter().map(|birth| {
        let at = span.ticks_since_start(birth.at);
        let children = started.get_mut(&birth.creator)?;
        // The clocks agree to some microseconds.
        let first = children.iter().position(|&(created, _)| created + 50_000 >= at)?;
        if children[first].0 > at + LONGEST_BIRTH {
            return None;
        }
        Some(children.remove(first).1)
    });
    matched.collect()
}

/// Returns the crossings that are still in C, and have been for long enough to be kept.
fn open<'a>(
    snapshot: &'a Snapshot,
    crossings: &'a HashMap<CellId, Crossing>,
    clock: &'a Clock,
    span: &'a Span,
    shortest: u64,
    sets: &'a mut LabelSets<'_>,
) -> impl Iterator<Item = SlowCrossing> + 'a {
    snapshot.in_flight.iter().filter_map(move |entry| {
        let c_ns = clock.nanos(clock.so_far(entry).0 as f64) as u64;
        (c_ns >= shortest.max(SHORTEST_OPEN)).then_some(SlowCrossing {
            cell: crossings.get(&entry.cell)?.id,
            tid: entry.tid,
            called_ns: span.ticks_since_start(entry.called),
            c_ns: Some(c_ns),
            weight: 1,
            labels: sets.of(entry.tid, entry.cell, entry.called, span.end.ticks),
            open: true,
            ..SlowCrossing::default()
        })
    })
}

fn timeline(
    part: &Part,
    crossings: &HashMap<CellId, Crossing>,
    span: &Span,
    lasting: Vec<Locked>,
    sets: &mut LabelSets<'_>,
) -> Timeline {
    let id = |cell: CellId| crossings.get(&cell).map_or(0, |crossing| crossing.id);
    let mut labels = |one: &crate::correlate::timeline::Crossing| {
        let returned = Monotonic(one.called.0 + one.c?);
        sets.of(one.tid, one.cell, span.rate.ticks(one.called), span.rate.ticks(returned))
    };
    let crossing = |one: &crate::correlate::timeline::Crossing| SlowCrossing {
        process: 0,
        cell: id(one.cell),
        tid: one.tid,
        goid: one.goid,
        called_ns: span.since_start(one.called),
        enter_ns: one.enter,
        c_ns: one.c,
        exit_ns: one.exit,
        exit_tid: one.exit_tid,
        blocked_ns: one.blocked,
        preempted_ns: one.preempted,
        weight: one.gap,
        open: false,
        labels: labels(one),
    };
    let wait = |one: &crate::correlate::timeline::Wait| Wait {
        process: 0,
        tid: one.tid,
        from_ns: span.since_start(one.from),
        to_ns: span.since_start(one.to),
        stack: one.stack,
    };
    let ended = part.locks.iter().map(|one| Locked {
        process: 0,
        tid: one.tid,
        goid: one.goid,
        from_ns: span.since_start(one.from),
        to_ns: Some(span.since_start(one.to)),
    });
    let look = |one: &crate::correlate::timeline::Counters| Counters {
        at_ns: span.since_start(one.at),
        in_c: one.in_c,
        in_go: one.in_go,
        idle: one.idle,
    };
    Timeline {
        label_sets: Vec::new(),
        crossings: part.crossings.iter().map(crossing).collect(),
        waits: part.waits.iter().map(wait).collect(),
        locked: ended.chain(lasting).collect(),
        counters: part.looks.iter().map(look).collect(),
        shortest_ns: part.shortest_crossing,
        dropped: part.dropped_crossings,
        shortest_wait_ns: part.shortest_wait,
        dropped_waits: part.dropped_waits,
        asleep: part.asleep.iter().map(wait).collect(),
        shortest_asleep_ns: part.shortest_asleep,
        dropped_asleep: part.dropped_asleep,
    }
}
