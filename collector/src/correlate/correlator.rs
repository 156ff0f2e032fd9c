//! Puts single events together: how long slow crossings were off the processor, and which threads did what. Pure: the
//! same events give the same sums.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use nix::unistd::Pid;

use super::every_wait::{EndedWait, EveryWait};
use super::nested::{Ended, EndedLately};
use super::offcpu::{OffCpu, OffTime, Runnable};
use super::samples::Samples;
use super::sightings::{Sighting, Sightings};
use super::slow::uniform_variance;
use super::threads::Threads;
use super::timeline::{Counters, Part, Timeline, Wait};
use super::waits::{WaitStack, Waited, Waiting};
use crate::clock::{Monotonic, Rate};
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::{SUSPICIOUS, SlowEvent, SlowKind};
use crate::counts::snapshot::InCSnapshot;
use crate::perf::Switch;
use crate::unwind::Walk;

/// Something that happened to the program.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A thread was sampled.
    Sampled(Walk),
    /// A thread in C was found to wait.
    Waited(Waited),
    /// A thread in C has begun to wait, on this stack.
    Blocked { tid: u64, since: Monotonic, stack: Arc<WaitStack>, is_whole: bool },
    /// The begin of every wait is told from this time on.
    EveryWait(Monotonic),
    /// It is not, from this time on.
    SomeWaits(Monotonic),
    /// The begins of some waits were not told, of this many in all so far.
    LostBegins { in_all: u64 },
    /// A thread lost its processor or got one.
    Switched(Switch),
    /// A thread was started by another.
    Started { tid: u64, parent: u64, time: Monotonic },
    /// A thread has a name now.
    Named { tid: u64, name: String },
    /// A thread has ended. `m` is the number of its M, if that is known.
    Ended { tid: u64, m: Option<u64>, time: Monotonic },
    /// The process has become a program.
    BecameProgram,
    /// The process, or one that it has started, has started another.
    StartedProcess(Pid),
    /// Such a process has ended.
    ProcessEnded(Pid),
    /// This many records were dropped (buffer full).
    Lost(u64),
    /// A phase of a crossing, or a lock, took long.
    Slow(SlowEvent),
    /// The threads in C at one moment.
    Looked(InCSnapshot),
    /// All events before a moment have been fed. `rate` is that of the clock of slow events.
    Complete { before: Monotonic, rate: Rate },
}

/// Everything that has been found out.
pub(crate) struct Correlator {
    /// Whether context switches are seen.
    sees_switches: bool,
    samples: Samples,
    off: OffCpu,
    threads: Threads,
    /// How often the process became a program while it was watched.
    execs: u64,
    /// Processes that it has started, and those that these have started, while they run.
    children: BTreeSet<Pid>,
    timeline: Timeline,
    /// Slow events and looks that wait until everything before their end is known.
    pending: Vec<SlowEvent>,
    looks: Vec<InCSnapshot>,
    ended_lately: EndedLately,
    sightings: Sightings,
    every_wait: EveryWait,
    /// By cell, for sampled crossings that are suspicious: the weighted sum of ticks in C in which their threads were
    /// not preempted, since it was last taken.
    confirmed: HashMap<CellId, f64>,
}

/// Nanoseconds for which an ended thread's switches are kept, for events that come late.
const KEPT: u64 = 2_000_000_000;
/// Maximum processes kept.
const MOST_CHILDREN: usize = 10_000;
/// Nanoseconds of an enter or exit phase without a wait that show that it was held up.
const HELD_UP: u64 = 10_000;

impl Correlator {
    /// Returns a correlator that knows these threads, and whether the process has become the program already. Where
    /// switches are not seen, blocked times are not known.
    pub(crate) fn new(threads: Threads, runs: bool, sees_switches: bool) -> Correlator {
        Correlator {
            sees_switches,
            samples: Samples::default(),
            off: OffCpu::default(),
            threads,
            execs: runs.into(),
            children: BTreeSet::new(),
            timeline: Timeline::default(),
            pending: Vec::new(),
            looks: Vec::new(),
            ended_lately: EndedLately::default(),
            sightings: Sightings::default(),
            every_wait: EveryWait::default(),
            confirmed: HashMap::new(),
        }
    }

    /// Takes in an event. Events of one thread must come in the order of their times.
    pub(crate) fn feed(&mut self, event: Event) {
        match event {
            Event::Sampled(walk) => self.samples.count(walk),
            Event::Waited(Waited { tid, looked_at: Some(at), stack, .. }) if self.every_wait.is_on() => {
                self.every_wait.look(tid, at, stack);
            }
            Event::Waited(_) if self.every_wait.is_on() => {}
            Event::Blocked { tid, since, stack, is_whole } => {
                if is_whole {
                    self.see_wait(tid, since, &stack);
                }
                self.every_wait.blocked(tid, since, stack, is_whole);
            }
            Event::LostBegins { in_all } => {
                self.samples.lost_begins = self.samples.lost_begins.max(in_all);
                self.every_wait.lose_samples();
            }
            Event::EveryWait(from) => self.every_wait.begin(from),
            Event::SomeWaits(at) => {
                self.settle_found(at);
                let waited = self.every_wait.end(at);
                waited.into_iter().for_each(|waited| self.samples.add_waited(waited));
            }
            Event::Waited(waited) => {
                let (tid, looked_at) = (waited.tid, waited.looked_at);
                if let Some((at, stack)) = looked_at.zip(self.samples.add_wait(waited)) {
                    self.sightings.add(tid, Sighting { at, stack });
                }
            }
            Event::Switched(switch) => {
                if let Some(from) = self.off.add(switch) {
                    self.timeline.asleep(Wait { tid: switch.tid, from, to: switch.time, stack: None });
                    let ended = self.every_wait.back(switch.tid, from, switch.time);
                    self.end_wait(switch.tid, ended);
                }
            }
            Event::Started { tid, parent, time } => self.threads.start(tid, parent, time),
            Event::Named { tid, name } => self.threads.name(tid, name),
            Event::Ended { tid, m, time } => {
                self.off.end(tid, time);
                let ended = self.every_wait.ended(tid, time);
                self.end_wait(tid, ended);
                self.threads.end(tid, m, time);
            }
            Event::BecameProgram => self.execs += 1,
            Event::StartedProcess(pid) => {
                if self.children.len() < MOST_CHILDREN {
                    self.children.insert(pid);
                }
            }
            Event::ProcessEnded(pid) => {
                self.children.remove(&pid);
            }
            Event::Lost(count) => {
                self.samples.lost += count;
                self.every_wait.lose_track();
            }
            Event::Slow(event) => self.pending.push(event),
            Event::Looked(look) => self.looks.push(look),
            Event::Complete { before, rate } => {
                self.settle_found(before);
                self.every_wait.see_until(before);
                self.settle(before, rate);
                self.settle_looks(before, rate);
            }
        }
    }

    /// Returns since when each of these threads waits for something, if it does. Leaves out those whose stack needs no
    /// look.
    pub(crate) fn waiting(&self, threads: impl Iterator<Item = u64>) -> Vec<Waiting> {
        let waiting = threads.map(|tid| Waiting { tid, since: self.off.waits_since(tid) });
        if !self.every_wait.is_on() {
            return waiting.collect();
        }
        waiting.filter(|one| one.since.is_some_and(|since| !self.every_wait.needs_no_look(one.tid, since))).collect()
    }

    /// Whether the program became another. The first exec only makes the process the program.
    pub(crate) fn became_another(&self) -> bool {
        self.execs > 1
    }

    /// Returns the processes that the program has started, and those that these have started, unless they are known to
    /// have ended.
    pub(crate) fn children(&self) -> Vec<Pid> {
        self.children.iter().copied().collect()
    }

    /// Returns the threads that have come and gone.
    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Returns the sums up to a time.
    pub(crate) fn samples(&self, until: Monotonic) -> Samples {
        let mut samples = self.samples.clone();
        samples.every_wait = self.every_wait.seen(until);
        self.every_wait.so_far(until).into_iter().for_each(|waited| samples.add_waited(waited));
        samples
    }

    /// Returns how long all threads ran, and how long they could have run, up to a time.
    pub(crate) fn runnable(&self, until: Monotonic) -> Runnable {
        self.off.runnable(until)
    }

    /// Returns the sums, to add to them.
    pub(super) fn samples_mut(&mut self) -> &mut Samples {
        &mut self.samples
    }

    /// Returns how long a thread was off its processor between two times, and when it ended if it has.
    pub(crate) fn off(&self, tid: u64, from: Monotonic, to: Monotonic) -> (OffTime, Option<Monotonic>) {
        let ended = self.off.ended(tid);
        (self.off.between(tid, from, ended.map_or(to, |ended| to.min(ended))).unwrap_or_default(), ended)
    }

    /// Returns how long those slow crossings of a thread were blocked that began after a time and have ended.
    pub(crate) fn blocked_within(&self, tid: u64, from: Monotonic) -> u64 {
        self.ended_lately.blocked_since(tid, from)
    }

    /// Takes the part of the timeline that has come since the last call.
    pub(crate) fn take_new_timeline(&mut self) -> Part {
        self.timeline.take_new()
    }

    /// Returns the whole timeline, including waits that have not ended at this moment; those in C of the threads for which this
    /// holds.
    pub(crate) fn timeline(&self, now: Monotonic, is_in_c: impl Fn(u64) -> bool) -> Part {
        let mut part = self.timeline.all();
        part.asleep.extend(self.off.waiting().map(|(tid, from)| Wait { tid, from, to: now, stack: None }));
        part.waits.extend(self.open_waits(now, is_in_c));
        part
    }

    /// Takes the time, by cell, in which threads in suspicious crossings were not preempted, since the last call.
    pub(super) fn take_confirmed(&mut self) -> HashMap<CellId, f64> {
        std::mem::take(&mut self.confirmed)
    }

    /// Looks up the slow events that ended before a moment: by then all switches are known.
    fn settle(&mut self, before: Monotonic, rate: Rate) {
        // Nested events come before the event that they are in, and a crossing before its exit.
        self.pending.sort_by_key(|event| event.to);
        let is_known = |event: &mut SlowEvent| rate.monotonic(event.to) < before;
        for event in self.pending.extract_if(.., is_known).collect::<Vec<_>>() {
            if !self.sees_switches {
                self.timeline.add(&event, None, rate);
                continue;
            }
            let (cell, to) = (event.cell, rate.monotonic(event.to));
            let event = &self.with_begin(&event, rate);
            let from = rate.monotonic(event.from);
            let off = self.off.between(event.tid, from, to).unwrap_or_default();
            let mut preempted = off.preempted as f64 * rate.ticks_per_ns;
            let is_border = matches!(event.kind, SlowKind::Enter | SlowKind::Exit) && event.is_sampled;
            if is_border && to.0.saturating_sub(from.0) >= HELD_UP {
                // The way to C and back takes nanoseconds. A host or an interrupt has held the thread up, and no switch
                // tells of that.
                let blocked = off.blocked as f64 * rate.ticks_per_ns;
                preempted = preempted.max(event.to.saturating_sub(event.from) as f64 - blocked);
            }
            if preempted > 0.0 && event.kind != SlowKind::Locked {
                let slow = self.samples.slow.entry(cell).or_default();
                let phase = match event.kind {
                    SlowKind::Enter => &mut slow.enter,
                    SlowKind::Exit => &mut slow.exit,
                    _ => &mut slow.c,
                };
                phase.add(event, preempted);
            }
            match event.kind {
                SlowKind::C | SlowKind::CLocked | SlowKind::Direct => {
                    let ended = Ended { from, to, blocked: off.blocked };
                    let within = self.ended_lately.add(event.tid, ended);
                    let own = off.blocked.saturating_sub(within.iter().map(|ended| ended.blocked).sum());
                    self.samples.add_slow(event, off, own);
                    if event.is_sampled && to.0.saturating_sub(from.0) >= SUSPICIOUS {
                        let confirmed = (event.to.saturating_sub(event.from) as f64 - preempted).max(0.0);
                        *self.confirmed.entry(cell).or_default() += confirmed * event.weight as f64;
                    }
                    let sightings = self.sightings.take(event.tid, from, to);
                    for (from, to) in self.off.waits(event.tid, from, to) {
                        if !within.iter().any(|ended| ended.from <= from && to <= ended.to) {
                            let stack = stack_of(&sightings, from, to);
                            self.timeline.wait(Wait { tid: event.tid, from, to, stack });
                        }
                    }
                }
                SlowKind::Locked => {
                    let in_c = self.samples.locked_blocked.remove(&event.tid).unwrap_or(0);
                    let idle = off.blocked.saturating_sub(in_c);
                    *self.samples.idle.entry(cell).or_default() += idle;
                    *self.samples.thread_idle.entry(event.tid).or_default() += idle;
                }
                _ => {}
            }
            self.timeline.add(event, Some(off), rate);
        }
        let kept = Monotonic(before.0.saturating_sub(KEPT));
        self.off.forget_ended_before(kept);
        self.sightings.keep_threads(|tid| self.off.ended(tid).is_none_or(|ended| ended >= kept));
        self.ended_lately.limit();
    }

    /// A thread was seen to wait on this stack at a time.
    fn see_wait(&mut self, tid: u64, at: Monotonic, stack: &Arc<WaitStack>) {
        if let Some(stack) = self.samples.begin_wait(stack) {
            self.sightings.add(tid, Sighting { at, stack });
        }
    }

    /// Adds a wait that is over.
    fn end_wait(&mut self, tid: u64, ended: Option<EndedWait>) {
        let Some(EndedWait { since, stack, nanos, is_new }) = ended else { return };
        if is_new {
            self.see_wait(tid, since, &stack);
        }
        self.samples.add_waited((stack, nanos));
    }

    /// Adds what looks have found while the begin of every wait is told: waits that had begun before, or whose begin was
    /// not told.
    fn settle_found(&mut self, before: Monotonic) {
        for found in self.every_wait.settle(before, &self.off) {
            self.see_wait(found.tid, found.at, &found.stack);
            if let Some(nanos) = found.nanos {
                self.samples.add_waited((found.stack, nanos));
            }
        }
    }

    /// Returns the waits that looks have found, and that go on, of threads that are in C.
    fn open_waits(&self, now: Monotonic, is_in_c: impl Fn(u64) -> bool) -> Vec<Wait> {
        let last = |own: &[Sighting]| own.last().copied();
        let latest = self.sightings.left().filter_map(|(tid, own)| Some((tid, last(own)?)));
        let open = latest.filter(|&(tid, _)| is_in_c(tid)).filter_map(|(tid, sighting)| {
            let (from, None) = self.off.wait_at(tid, sighting.at)? else { return None };
            let to = self.off.ended(tid).unwrap_or(now);
            Some(Wait { tid, from, to, stack: Some(sighting.stack) })
        });
        open.collect()
    }

    /// Moves an untimed begin of a crossing to where its thread had a processor.
    fn with_begin(&mut self, event: &SlowEvent, rate: Rate) -> SlowEvent {
        if event.begin_span == 0 {
            return *event;
        }
        let span = u64::from(event.begin_span);
        let earliest = event.from.saturating_sub(span / 2);
        let (from, to) = (rate.monotonic(earliest), rate.monotonic(earliest + span));
        let Some((mean, variance)) = self.off.running(event.tid, from, to) else { return *event };
        let from = earliest + (mean * rate.ticks_per_ns) as u64;
        let begin = &mut self.samples.slow.entry(event.cell).or_default().begin;
        begin.sum += event.from as f64 - from as f64;
        begin.variance += variance * rate.ticks_per_ns.powi(2) - uniform_variance(span as f64);
        SlowEvent { from, begin_span: 0, ..*event }
    }

    /// Adds the looks that were taken before a moment, with the number of threads in Go and of those that waited.
    fn settle_looks(&mut self, before: Monotonic, rate: Rate) {
        let is_known = |look: &mut InCSnapshot| rate.monotonic(look.at) < before;
        for look in self.looks.extract_if(.., is_known).collect::<Vec<_>>() {
            let (at, in_c) = (rate.monotonic(look.at), look.in_c.len() as u64);
            let others = self.sees_switches.then(|| self.others(&look, at));
            let (in_go, idle) = others.unzip();
            self.timeline.look(Counters { at, in_c, in_go, idle });
        }
    }

    /// Counts the threads that were not in C at a moment: how many were in Go, and how many waited.
    fn others(&self, look: &InCSnapshot, at: Monotonic) -> (u64, u64) {
        let (mut in_go, mut idle) = (0, 0);
        for tid in self.threads.living_at(at).filter(|tid| !look.in_c.iter().any(|(in_c, _)| in_c == tid)) {
            *if self.off.is_waiting(tid, at) { &mut idle } else { &mut in_go } += 1;
        }
        (in_go, idle)
    }
}

/// Returns the stack that was found in a wait between two times.
fn stack_of(sightings: &[Sighting], from: Monotonic, to: Monotonic) -> Option<u32> {
    let after = sightings.partition_point(|sighting| sighting.at <= to);
    sightings[..after].last().filter(|sighting| sighting.at >= from).map(|sighting| sighting.stack)
}
