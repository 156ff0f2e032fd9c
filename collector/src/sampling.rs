//! The thread that reads the target's perf records: it adds up its samples, and looks up how long slow crossings were
//! off the processor.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::eventfd::EventFd;
use nix::unistd::Pid;

use crate::cell_id::CellId;
use crate::clock::Moment;
use crate::clock::{Rate, Timebase};
use crate::offcpu::{Monotonic, OffCpu, OffTime};
use crate::perf::{PerfError, Record, Session, TracedProbe};
use crate::process::maps::Mapping;
use crate::sample::GoStacks;
use crate::slow_event::{SlowEvent, SlowKind};
use crate::snapshot::{Look, Seen, Snapshot};
use crate::threads::Threads;
use crate::timeline::{Counters, Part, Timeline, Wait};
use crate::trampoline::TableSet;
use crate::unwind::{GoModule, Place, Unwinder, Walk};
use crate::uprobe::{Crossings, Landmarks};

/// Longest time between two looks at the rings.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest time between two looks at what hardly ever changes.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// Different stacks that are kept; what comes later is counted without its frames.
const MOST_STACKS: usize = 200_000;

/// How long what a thread did before it ended is kept, for events that come late.
const KEPT: u64 = 2_000_000_000;

/// What has been sampled so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// How often each stack was seen.
    pub(crate) walks: HashMap<Arc<Walk>, u64>,
    /// Records that found no room in their ring.
    pub(crate) lost: u64,
    /// A processor came into use after the start: what ran on it was not seen.
    pub(crate) new_processor: bool,
    /// By their cell, the slow crossings that have ended.
    pub(crate) slow: HashMap<CellId, Slow>,
    /// By their thread, how long slow crossings were blocked.
    pub(crate) blocked: HashMap<u64, f64>,
    /// By their cell, how long threads waited outside of C for goroutines that were locked to them, in nanoseconds.
    pub(crate) idle: HashMap<CellId, u64>,
    /// The same by their thread.
    pub(crate) thread_idle: HashMap<u64, u64>,
    /// By thread, how long its locked goroutine's slow crossings were blocked since it was locked.
    pub(crate) locked_blocked: HashMap<u64, u64>,
    /// `runtime.NumCgoCall` and when it was read, if it could be.
    pub(crate) num_cgo_call: Option<(u64, Monotonic)>,
}

/// All that the thread has found.
struct Found {
    pid: Pid,
    samples: Samples,
    /// When threads were off their processor.
    off: OffCpu,
    /// Executable mappings that have come.
    mappings: Vec<Mapping>,
    /// Threads that have come and gone.
    threads: Threads,
    /// Counted by probes.
    crossings: Option<Crossings>,
    /// For who sets how often crossings are timed.
    confirmed: Confirmed,
    /// How often the process became a program while it was watched.
    execs: u64,
    /// Processes that it has started, and those that these have, as far as they go on.
    children: BTreeSet<Pid>,
    /// What took long.
    timeline: Timeline,
    /// By thread, slow crossings that ended lately.
    ended_lately: HashMap<u64, Vec<Ended>>,
}

/// A slow crossing that has ended: what it waited is in that of the one around it too.
#[derive(Clone, Copy)]
struct Ended {
    from: Monotonic,
    to: Monotonic,
    /// With all within it.
    blocked: u64,
}

/// Threads of which slow crossings are remembered; when there are more all are forgotten.
const MOST_THREADS: usize = 10_000;
/// Crossings of a thread that are remembered for the one around them.
const MOST_ENDED: usize = 256;

/// How the crossing of a sample in C is known.
pub(crate) enum Source {
    /// The hooks tell. Slow crossings come from the tables, which the program has there.
    Hooks {
        /// Where they come.
        events: Events,
        /// Where looks at who is in C come.
        looks: Looks,
        /// Where the time of slow crossings is told in which their threads were not preempted.
        confirmed: Confirmed,
        /// The tables.
        tables: TableSet,
    },
    /// From the hits of probes.
    Probes(Box<Crossings>),
    /// Not at all: its Go stack is looked up.
    GoStacks(GoStacks),
}

/// Slow crossings of one cell: sums in nanoseconds, each weighted with the crossings it stands for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slow {
    pub(crate) blocked: f64,
    pub(crate) preempted: f64,
    /// By phase.
    pub(crate) enter: Preempted,
    pub(crate) c: Preempted,
    pub(crate) exit: Preempted,
    pub(crate) begin: Begin,
}

/// What the switches tell of the long crossings whose begin was not timed: one begins when its thread has a processor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Begin {
    /// How much longer they were in C than the hooks took them to be, in ticks.
    pub(crate) sum: f64,
    /// How much that changes the variance of their sum, in ticks squared.
    pub(crate) variance: f64,
}

/// What slow phases of a cell's crossings owe to preemption, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Preempted {
    /// Of sampled crossings, each weighted with the crossings that it stands for.
    pub(crate) sum: f64,
    /// How much larger it makes their sum of squares.
    pub(crate) squares: f64,
    /// Of crossings that stand for themselves.
    pub(crate) census: f64,
}

impl Preempted {
    fn add(&mut self, event: &SlowEvent, preempted: f64) {
        let whole = event.to.saturating_sub(event.from) as f64;
        let (preempted, weight) = (preempted.min(whole), event.weight as f64);
        if event.is_sampled {
            self.sum += weight * preempted;
            self.squares += weight * (whole.powi(2) - (whole - preempted).powi(2));
        } else {
            self.census += preempted;
        }
    }
}

/// Slow crossings as they come from the tables.
pub(crate) type Events = Arc<Mutex<Vec<SlowEvent>>>;

/// Nanoseconds from which on an enter or exit phase without a wait has been held up.
const HELD_UP: u64 = 10_000;

/// Nanoseconds in C from which on a crossing counts as preempted until the switches show that it was not: threads that compete
/// for a processor have it for milliseconds each (`base_slice_ns`, Documentation/scheduler/sched-eevdf.rst).
pub(crate) const SUSPICIOUS: u64 = 1_000_000;

/// Of sampled crossings that are suspicious by their cell, the weighted sum of ticks in C in which their threads were not
/// preempted.
pub(crate) type Confirmed = Arc<Mutex<HashMap<CellId, f64>>>;

/// Looks at who is in C, as the ticker takes them.
pub(crate) type Looks = Arc<Mutex<Vec<Look>>>;

/// The running thread; dropped, it stops.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    found: Arc<Mutex<Found>>,
    /// Who waits for `found`.
    asking: Arc<AtomicUsize>,
    waker: Arc<EventFd>,
    /// Modules that are not known to the thread yet.
    modules: Arc<Mutex<Vec<NewModule>>>,
    thread: Option<JoinHandle<()>>,
    /// The thread ended before it was told to.
    failed: bool,
}

impl Sampler {
    /// Starts to read. `timebase` is what slow crossings are timed by; `runs` tells whether the process had become the program
    /// before the session began.
    ///
    /// # Errors
    /// If the system has no thread for us.
    pub(crate) fn start(
        mut session: Session,
        pid: Pid,
        mut unwinder: Unwinder,
        source: Source,
        timebase: Timebase,
        runs: bool,
    ) -> std::io::Result<Sampler> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut found = Found {
            pid,
            samples: Samples::default(),
            off: OffCpu::default(),
            mappings: Vec::new(),
            threads: Threads::of(pid),
            crossings: None,
            confirmed: Confirmed::default(),
            execs: runs.into(),
            children: BTreeSet::new(),
            timeline: Timeline::default(),
            ended_lately: HashMap::new(),
        };
        let (mut events, mut looks, mut tables, mut go_stacks) = (Events::default(), Looks::default(), None, None);
        match source {
            Source::Hooks { events: theirs, looks: taken, confirmed, tables: shared } => {
                (events, looks, tables) = (theirs, taken, Some(shared));
                found.confirmed = confirmed;
            }
            Source::Probes(crossings) => found.crossings = Some(*crossings),
            Source::GoStacks(stacks) => go_stacks = Some(stacks),
        }
        let found = Arc::new(Mutex::new(found));
        let waker = session.waker();
        let asking = Arc::new(AtomicUsize::new(0));
        let modules = Arc::new(Mutex::new(Vec::new()));
        let added = Arc::clone(&modules);
        let (stopped, shared, waiting) = (Arc::clone(&stop), Arc::clone(&found), Arc::clone(&asking));
        let thread = std::thread::Builder::new().spawn(move || {
            let (start, mut pending, mut counters_due) = (timebase.now(), Vec::new(), Monotonic(0));
            let mut processors_due = Monotonic(0);
            let mut looked = Vec::new();
            if shared.lock().is_ok_and(|found| found.crossings.is_some()) {
                keep_up();
            }
            loop {
                // Whatever was written before the order to stop is read.
                let last = stopped.load(Ordering::Acquire);
                let now = timebase.now();
                let mut found = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let rate = Rate::between(start, now);
                for new in std::mem::take(&mut *added.lock().unwrap_or_else(PoisonError::into_inner)) {
                    found.add_module(new, &mut session, &mut unwinder);
                }
                let in_c_since = |tid, time| tables.as_ref()?.in_c_since(tid, rate.ticks(time));
                let complete =
                    session.read(last, |record| found.add(record, &mut unwinder, (go_stacks.as_ref(), &in_c_since)));
                pending.append(&mut events.lock().unwrap_or_else(PoisonError::into_inner));
                if let Some(crossings) = &mut found.crossings {
                    pending.append(&mut crossings.take_events());
                    looked.append(&mut crossings.take_looks(complete));
                }
                looked.append(&mut looks.lock().unwrap_or_else(PoisonError::into_inner));
                found.settle(&mut pending, complete, rate);
                found.settle_looks(&mut looked, complete, rate);
                if let Some(stacks) = &go_stacks
                    && (last || now.monotonic >= counters_due)
                {
                    found.samples.num_cgo_call = stacks.num_cgo_call(now.monotonic).or(found.samples.num_cgo_call);
                    counters_due = Monotonic(now.monotonic.0 + PAUSE.as_nanos() as u64);
                }
                if last || now.monotonic >= processors_due {
                    if !found.samples.new_processor && session.has_new_processor() {
                        found.samples.new_processor = true;
                        found.crossings.iter_mut().for_each(Crossings::lose_track);
                    }
                    processors_due = Monotonic(now.monotonic.0 + LONG_PAUSE.as_nanos() as u64);
                }
                if last {
                    found.samples.lost = session.lost().unwrap_or(0).max(found.samples.lost);
                    return;
                }
                drop(found);
                // Who asks for what was found is to have it, however much comes in.
                while waiting.load(Ordering::Acquire) > 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
                session.wait(PAUSE);
            }
        })?;
        Ok(Sampler { stop, found, asking, waker, modules, thread: Some(thread), failed: false })
    }

    /// What the probes have counted.
    pub(crate) fn crossings(&self) -> Option<Snapshot> {
        self.found().crossings.as_ref().map(Crossings::snapshot)
    }

    /// What the probes tell of threads.
    pub(crate) fn seen(&self) -> Option<Seen> {
        let found = self.found();
        found.crossings.as_ref().map(Crossings::seen)
    }

    /// Adds Go code that the program has loaded.
    pub(crate) fn add_module(&self, module: GoModule) {
        self.add(NewModule { module, probed: None });
    }

    /// Adds Go code with probes that are defined, and waits until they are set.
    ///
    /// # Errors
    /// If they can't be.
    pub(crate) fn add_probes(
        &self,
        module: GoModule,
        probes: Vec<TracedProbe>,
        landmarks: Landmarks,
    ) -> Result<(), PerfError> {
        let (outcome, done) = channel();
        self.add(NewModule { module, probed: Some(Probed { probes, landmarks, outcome }) });
        let _ = self.waker.write(1);
        loop {
            match done.recv_timeout(PAUSE) {
                Ok(outcome) => return outcome,
                // A thread that has failed sets none.
                Err(_) if self.thread.as_ref().is_none_or(JoinHandle::is_finished) => return Err(PerfError::Ended),
                Err(_) => {}
            }
        }
    }

    fn add(&self, new: NewModule) {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner).push(new);
    }

    /// Number of modules with probes.
    pub(crate) fn probed_modules(&self) -> usize {
        self.found().crossings.as_ref().map_or(0, Crossings::modules)
    }

    /// Whether the program became another.
    pub(crate) fn became_another(&self) -> bool {
        self.found().execs > 1
    }

    /// Processes that the program has started, and those that these have, as far as they are not known to have ended.
    pub(crate) fn children(&self) -> Vec<Pid> {
        self.found().children.iter().copied().collect()
    }

    /// The threads that have come and gone.
    pub(crate) fn threads(&self) -> Vec<cgoprof_profile::Thread> {
        let found = self.found();
        found.threads.list(|tid| found.crossings.as_ref().and_then(|crossings| crossings.m(tid)))
    }

    /// Threads that came and went and are not among them.
    pub(crate) fn forgotten_threads(&self) -> u64 {
        self.found().threads.forgotten()
    }

    /// What has been sampled so far.
    pub(crate) fn samples(&self) -> Samples {
        self.found().samples.clone()
    }

    /// How long a thread was off its processor between two times, and when it ended if it has.
    pub(crate) fn off(&self, tid: u64, from: Monotonic, to: Monotonic) -> (OffTime, Option<Monotonic>) {
        let found = self.found();
        let ended = found.off.ended(tid);
        (found.off.between(tid, from, ended.map_or(to, |ended| to.min(ended))).unwrap_or_default(), ended)
    }

    /// How long the slow crossings of a thread were blocked that began after a time and have ended.
    pub(crate) fn blocked_within(&self, tid: u64, from: Monotonic) -> u64 {
        let found = self.found();
        let lately = found.ended_lately.get(&tid).map_or(&[][..], Vec::as_slice);
        lately.iter().filter(|ended| ended.from >= from).map(|ended| ended.blocked).sum()
    }

    /// What took long: all of it, or what has come since the last call.
    pub(crate) fn timeline(&self, all: bool) -> Part {
        let mut found = self.found();
        if !all {
            return found.timeline.take_new();
        }
        let mut part = found.timeline.all();
        // Those that have not ended are in no part.
        let to = Moment::now().monotonic;
        part.asleep.extend(found.off.waiting().map(|(tid, from)| Wait { tid, from, to }));
        part
    }

    /// Executable mappings that have come since the last call.
    pub(crate) fn take_mappings(&self) -> Vec<Mapping> {
        std::mem::take(&mut self.found().mappings)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.asking.fetch_add(1, Ordering::AcqRel);
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        self.asking.fetch_sub(1, Ordering::AcqRel);
        found
    }

    /// Whether reading ended before its time.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// Reads what is left and stops.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.waker.write(1);
        if let Some(thread) = self.thread.take() {
            self.failed = thread.join().is_err();
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A module to be added.
struct NewModule {
    module: GoModule,
    probed: Option<Probed>,
}

/// Probes of a module to be added.
struct Probed {
    probes: Vec<TracedProbe>,
    landmarks: Landmarks,
    /// To be told whether they are set.
    outcome: Sender<Result<(), PerfError>>,
}

/// Has this thread run before others: what it does not read in time is lost. Only root may.
fn keep_up() {
    // SAFETY: a plain system call.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, nix::unistd::gettid().as_raw() as libc::id_t, -15) };
}

impl Found {
    fn add_module(&mut self, NewModule { module, probed }: NewModule, session: &mut Session, unwinder: &mut Unwinder) {
        unwinder.add_module(module);
        if let (Some(Probed { probes, landmarks, outcome }), Some(crossings)) = (probed, &mut self.crossings) {
            let set = session.watch_probes(&probes);
            // Hits of a module that is not known are left out.
            if set.is_ok() {
                crossings.add_module(landmarks);
            }
            let _ = outcome.send(set);
        }
    }

    fn add(
        &mut self,
        record: Record<'_>,
        unwinder: &mut Unwinder,
        (go_stacks, in_c_since): (Option<&GoStacks>, &dyn Fn(u64, Monotonic) -> Option<CellId>),
    ) {
        // The first makes the process the program; what it becomes then is another.
        let is_another = self.execs > 1;
        match record {
            Record::Hit(_) | Record::Sample(_) if is_another => {}
            Record::Hit(hit) => {
                if let Some(crossings) = &mut self.crossings {
                    crossings.add(&hit);
                }
            }
            Record::Sample(sample) => {
                let mut walk = unwinder.walk(&sample);
                if let Place::Called(frame) = walk.place {
                    walk.place = match (&self.crossings, go_stacks) {
                        (Some(crossings), _) => crossings.in_flight(sample.tid).map(Place::Crossing),
                        (None, Some(stacks)) => stacks.of(&sample, frame).map(Place::CalledFrom),
                        (None, None) => None,
                    }
                    .unwrap_or(Place::Elsewhere);
                    walk.truncated |= match &walk.place {
                        Place::CalledFrom(stack) => go_stacks.is_some_and(|stacks| stacks.is_cut(stack)),
                        place => *place == Place::Elsewhere,
                    };
                }
                if walk.place == Place::Elsewhere
                    && walk.truncated
                    && let Some(cell) = in_c_since(sample.tid, sample.time)
                {
                    walk.leave_gap(cell);
                }
                self.samples.count(walk);
            }
            Record::Switch(switch) => {
                if let Some(from) = self.off.add(switch) {
                    self.timeline.asleep(Wait { tid: switch.tid, from, to: switch.time });
                }
            }
            Record::Start { tid, parent, time } => self.threads.start(tid, parent, time),
            Record::Name { tid, name } => self.threads.name(tid, name),
            Record::Exec => self.execs += 1,
            Record::Process(pid) => {
                if self.children.len() < MOST_THREADS {
                    self.children.insert(pid);
                }
            }
            Record::ProcessEnd(pid) => {
                self.children.remove(&pid);
            }
            Record::Exit { tid, time } => {
                self.off.end(tid, time);
                let m = self.crossings.as_ref().and_then(|crossings| crossings.m(tid));
                self.threads.end(tid, m, time);
                if let Some(crossings) = &mut self.crossings {
                    crossings.end(tid, time);
                }
            }
            Record::Mapped(mut mapping) => {
                mapping.open(self.pid);
                unwinder.add_mapping(&mapping);
                self.mappings.push(mapping);
            }
            Record::Lost(count) => {
                self.samples.lost += count;
                self.crossings.iter_mut().for_each(Crossings::lose_track);
            }
        }
    }

    /// Looks up what was slow and ended before a moment: by then all switches are known.
    fn settle(&mut self, pending: &mut Vec<SlowEvent>, before: Monotonic, rate: Rate) {
        // What is nested comes before what it is in, and a crossing before its exit.
        pending.sort_by_key(|event| event.to);
        pending.retain(|event| {
            let to = rate.monotonic(event.to);
            if to >= before {
                return true;
            }
            let cell = event.cell;
            let event = &self.with_begin(event, rate);
            let from = rate.monotonic(event.from);
            let off = self.off.between(event.tid, from, to).unwrap_or_default();
            let mut preempted = off.preempted as f64 * rate.ticks_per_ns;
            let is_border = matches!(event.kind, SlowKind::Enter | SlowKind::Exit) && event.is_sampled;
            if is_border && to.0.saturating_sub(from.0) >= HELD_UP {
                // The way to C and back takes nanoseconds: a host or an interrupt has held the thread up, which no switch tells.
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
                    let within = within(self.ended_lately.entry(event.tid).or_default(), ended);
                    let own = off.blocked.saturating_sub(within.iter().map(|ended| ended.blocked).sum());
                    self.samples.add_slow(event, off, own);
                    if event.is_sampled && to.0.saturating_sub(from.0) >= SUSPICIOUS {
                        let confirmed = (event.to.saturating_sub(event.from) as f64 - preempted).max(0.0);
                        let mut all = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
                        *all.entry(cell).or_default() += confirmed * event.weight as f64;
                    }
                    for (from, to) in self.off.waits(event.tid, from, to) {
                        if !within.iter().any(|ended| ended.from <= from && to <= ended.to) {
                            self.timeline.wait(Wait { tid: event.tid, from, to });
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
            self.timeline.add(event, off.blocked, rate);
            false
        });
        self.off.forget_ended_before(Monotonic(before.0.saturating_sub(KEPT)));
        if self.ended_lately.len() > MOST_THREADS {
            self.ended_lately.clear();
        }
    }

    /// Moves the begin of a crossing that was not timed to where its thread had a processor.
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

    /// Adds what threads not in C did at the looks that were taken before a moment.
    fn settle_looks(&mut self, looks: &mut Vec<Look>, before: Monotonic, rate: Rate) {
        looks.retain(|look| {
            let at = rate.monotonic(look.at);
            if at >= before {
                return true;
            }
            let (mut in_go, mut idle) = (0, 0);
            for tid in self.threads.living_at(at).filter(|tid| !look.in_c.iter().any(|(in_c, _)| in_c == tid)) {
                *if self.off.is_waiting(tid, at) { &mut idle } else { &mut in_go } += 1;
            }
            let in_c = look.in_c.len() as u64;
            self.timeline.look(Counters { at, in_c, in_go: Some(in_go), idle: Some(idle) });
            false
        });
    }
}

/// Variance of a value that is anywhere in an interval of this length.
pub(crate) fn uniform_variance(length: f64) -> f64 {
    length.powi(2) / 12.0
}

/// Remembers a crossing that has ended, and takes out those of its thread that were within it.
fn within(lately: &mut Vec<Ended>, ended: Ended) -> Vec<Ended> {
    let first = lately.iter().position(|other| other.from >= ended.from).unwrap_or(lately.len());
    let within = lately.split_off(first);
    if lately.len() >= MOST_ENDED {
        lately.drain(..MOST_ENDED / 2);
    }
    lately.push(ended);
    within
}

impl Samples {
    /// `own` is what it was blocked without those within it.
    fn add_slow(&mut self, event: &SlowEvent, off: OffTime, own: u64) {
        let gap = event.weight as f64;
        let sum = self.slow.entry(event.cell).or_default();
        sum.blocked += off.blocked as f64 * gap;
        sum.preempted += off.preempted as f64 * gap;
        *self.blocked.entry(event.tid).or_default() += own as f64 * gap;
        if event.kind == SlowKind::CLocked {
            *self.locked_blocked.entry(event.tid).or_default() += own;
        }
    }

    fn count(&mut self, mut walk: Walk) {
        if self.walks.len() >= MOST_STACKS && !self.walks.contains_key(&walk) {
            walk.frames.truncate(0);
            walk.truncated = true;
        }
        match self.walks.get_mut(&walk) {
            Some(count) => *count += 1,
            None => {
                self.walks.insert(Arc::new(walk), 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_symbols::Avma;

    use super::*;

    #[test]
    fn what_is_nested_is_taken_from_what_it_is_in() {
        let mut lately = Vec::new();
        let mut check = |from: u64, to: u64, expected: &[u64]| {
            let ended = Ended { from: Monotonic(from), to: Monotonic(to), blocked: to - from };
            let found: Vec<_> = within(&mut lately, ended).iter().map(|ended| ended.from.0).collect();
            assert_eq!(found, expected, "{from}..{to}");
        };
        check(10, 20, &[]);
        check(32, 33, &[]);
        check(35, 36, &[]);
        check(31, 37, &[32, 35]);
        check(30, 40, &[31]);
        check(5, 50, &[10, 30]);
    }

    fn cut() -> Walk {
        Walk { place: Place::Go, frames: Vec::new(), truncated: false, gap: false, tid: None }
    }

    #[test]
    fn more_stacks_than_are_kept_are_counted_without_frames() {
        let mut samples = Samples::default();
        let walk = |at: u64| Walk { frames: vec![Avma(at)], ..cut() };
        let all = MOST_STACKS as u64 + 500;
        for at in 0..all {
            samples.count(walk(at));
        }
        samples.count(walk(7));
        assert_eq!(samples.walks.values().sum::<u64>(), all + 1);
        assert_eq!(samples.walks[&walk(7)], 2);
        assert_eq!(samples.walks[&Walk { truncated: true, ..cut() }], 500);
    }
}
