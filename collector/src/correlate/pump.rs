//! The thread that reads perf records and an engine's events, and feeds both to the correlator.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use cgoprof_symbols::Avma;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::Pid;

use super::correlator::{Correlator, Event};
use super::every_wait::SwitchRate;
use super::offcpu::{OffTime, Runnable};
use super::samples::Samples;
use super::source::Source;
use super::threads::Threads;
use super::timeline::Part;
use super::waits::{WaitLooks, WaitStack, WaitsIn, WaitsMode};
use crate::clock::{Moment, Monotonic, Rate, Timebase, own_time};
use crate::counts::cell_id::CellId;
use crate::perf::{Leaving, PerfError, Record, SWITCH_STACK_BYTES, Sample, Session, Switch, SwitchKind, TracedProbe};
use crate::process::maps::Mapping;
use crate::process::waiting_thread::WaitingThreads;
use crate::unwind::{GoModule, Place, Unwinder, Walk};

/// Longest time between two reads of the rings.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest time between two checks of things that hardly ever change.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// Sources that the thread reads.
pub(crate) struct Feed {
    /// Perf's records; none where they may not be read.
    pub(crate) session: Option<Session>,
    /// The engine's events.
    pub(crate) source: Box<dyn Source>,
    /// The clock that the engine's times are read from.
    pub(crate) timebase: Timebase,
    /// Finds the frames of samples.
    pub(crate) unwinder: Unwinder,
    /// The process had become the program before the session began.
    pub(crate) runs: bool,
    /// When counting began.
    pub(crate) begun: Moment,
    /// Which waits in C are seen.
    pub(crate) waits: WaitsMode,
}

/// A pump that the system has no thread for, and why. It reads the engine when it is asked, and no perf records.
pub(crate) struct Threadless {
    pub(crate) pump: Pump,
    pub(crate) error: std::io::Error,
}

/// The running thread. Dropping this stops it.
pub(crate) struct Pump {
    stop: Arc<AtomicBool>,
    found: Arc<Mutex<Found>>,
    /// Number of threads that wait for `found`.
    asking: Arc<AtomicUsize>,
    waker: Arc<Waker>,
    /// Modules that are not known to the thread yet.
    modules: Arc<Mutex<Vec<NewModule>>>,
    thread: Option<JoinHandle<()>>,
    /// The thread ended before it was told to.
    failed: bool,
    reads_perf: bool,
    /// Reads in place of a thread that the system has not given; none where there is one.
    by_itself: Option<Clock>,
}

/// What times of the engine are converted by.
#[derive(Clone, Copy, Debug)]
struct Clock {
    timebase: Timebase,
    begun: Moment,
}

impl Clock {
    fn rate(self, now: Moment) -> Rate {
        Rate::between(self.begun, now)
    }
}

/// Everything that the thread has found.
struct Found {
    pid: Pid,
    correlator: Correlator,
    source: Box<dyn Source>,
    /// Executable mappings that have come.
    mappings: Vec<Mapping>,
    waiting: WaitingThreads,
    /// Stacks of threads in C whose switch is their next record, and whether they reach their crossing.
    leaving: HashMap<u64, (Arc<WaitStack>, bool)>,
    rate: SwitchRate,
    /// Every wait in C is seen.
    sees_every_wait: bool,
    /// Samples of switches that were dropped, as far as that was noticed.
    lost_switches: u64,
    /// The same as records tell.
    lost_by_records: u64,
}

impl Pump {
    /// Starts to read.
    ///
    /// # Errors
    /// If the system allows the recorder no further thread.
    pub(crate) fn start(pid: Pid, feed: Feed) -> Result<Pump, Box<Threadless>> {
        let Feed { mut session, source, timebase, mut unwinder, runs, begun, waits } = feed;
        let clock = Clock { timebase, begun: timebase.of(begun) };
        let reads_perf = session.is_some();
        let keeps_up = source.must_keep_up();
        let threads = if reads_perf { Threads::of(pid) } else { Threads::default() };
        let correlator = Correlator::new(threads, runs, reads_perf);
        let found = Arc::new(Mutex::new(Found::new(pid, correlator, source)));
        let waker = Arc::new(Waker::of(session.as_ref()));
        let (stop, asking) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let modules = Arc::new(Mutex::new(Vec::<NewModule>::new()));
        let (stopped, shared, waiting) = (Arc::clone(&stop), Arc::clone(&found), Arc::clone(&asking));
        let (added, woken) = (Arc::clone(&modules), Arc::clone(&waker));
        let thread = std::thread::Builder::new().spawn(move || {
            let (mut counters_due, mut processors_due) = (Monotonic(0), Monotonic(0));
            let mut looks = WaitLooks::default();
            if keeps_up || session.as_ref().is_some_and(|session| session.switches_unsampled().is_none()) {
                keep_up();
            }
            let samples_switches = |session: &&mut Session| session.switches_unsampled().is_none();
            if let Some(session) = session.as_mut().filter(samples_switches) {
                let mut found = shared.lock().unwrap_or_else(PoisonError::into_inner);
                found.set_every_wait(session, &mut looks, true);
            }
            loop {
                // Everything that was written before the order to stop is read.
                let last = stopped.load(Ordering::Acquire);
                let now = timebase.now();
                let mut found = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let rate = clock.rate(now);
                for new in std::mem::take(&mut *added.lock().unwrap_or_else(PoisonError::into_inner)) {
                    new.add(session.as_mut(), &mut unwinder);
                }
                let complete = match &mut session {
                    Some(session) => session.read(last, |record| found.add(record, &mut unwinder, rate)),
                    None if last => Monotonic(u64::MAX),
                    None => now.monotonic,
                };
                if let Some(session) = session.as_mut().filter(samples_switches) {
                    let wanted = waits == WaitsMode::Every || found.rate.is_low(now.monotonic);
                    found.set_every_wait(session, &mut looks, wanted);
                }
                if last && let Some(session) = &session {
                    found.notice_lost_switches(session);
                }
                let next_look =
                    if reads_perf && !last { found.look_at_waits(&mut looks, &mut unwinder, rate) } else { None };
                found.settle(complete, rate);
                if last || now.monotonic >= counters_due {
                    found.read_counters(now.monotonic);
                    counters_due = Monotonic(now.monotonic.0 + PAUSE.as_nanos() as u64);
                }
                if last || now.monotonic >= processors_due {
                    if session.as_ref().is_some_and(Session::has_new_processor) {
                        found.see_new_processor();
                    }
                    processors_due = Monotonic(now.monotonic.0 + LONG_PAUSE.as_nanos() as u64);
                }
                if last {
                    found.note_lost(session.as_ref().and_then(Session::lost));
                    return;
                }
                drop(found);
                // Threads that ask for what was found must get it, however much comes in.
                while waiting.load(Ordering::Acquire) > 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
                let pause = next_look.map_or(PAUSE, |due| until(due, timebase.now().monotonic).min(PAUSE));
                match &mut session {
                    Some(session) => session.wait(pause),
                    None => woken.wait(pause),
                }
            }
        });
        let mut pump =
            Pump { stop, found, asking, waker, modules, thread: None, failed: false, reads_perf, by_itself: None };
        match thread {
            Ok(thread) => {
                pump.thread = Some(thread);
                Ok(pump)
            }
            Err(error) => {
                pump.found().correlator = Correlator::new(Threads::default(), runs, false);
                (pump.reads_perf, pump.by_itself) = (false, Some(clock));
                Err(Box::new(Threadless { pump, error }))
            }
        }
    }

    /// Reads the engine, if there is no thread that does.
    fn read_by_itself(&self, last: bool) {
        if let Some(clock) = self.by_itself {
            let now = clock.timebase.now();
            let complete = if last { Monotonic(u64::MAX) } else { now.monotonic };
            self.found().settle(complete, clock.rate(now));
        }
    }

    /// Whether perf's records are read. Otherwise samples, switches and the end of threads are not seen.
    pub(crate) fn reads_perf(&self) -> bool {
        self.reads_perf
    }

    /// Adds Go code that the program has loaded.
    pub(crate) fn add_module(&self, module: GoModule) {
        self.add(NewModule { module, probed: None });
    }

    /// Adds Go code with probes that are defined, and waits until they are set. `on_set` is called then, before a hit of theirs is
    /// read.
    ///
    /// # Errors
    /// If the probes can't be set. Hits of those that are set may come all the same.
    pub(crate) fn add_probes(
        &self,
        module: GoModule,
        probes: Vec<TracedProbe>,
        on_set: impl FnOnce() + Send + 'static,
    ) -> Result<(), PerfError> {
        let (outcome, done) = channel();
        self.add(NewModule { module, probed: Some(NewProbes { probes, on_set: Box::new(on_set), outcome }) });
        self.waker.wake();
        loop {
            match done.recv_timeout(PAUSE) {
                Ok(outcome) => return outcome,
                // A thread that has failed sets no probes.
                Err(_) if self.thread.as_ref().is_none_or(JoinHandle::is_finished) => return Err(PerfError::Ended),
                Err(_) => {}
            }
        }
    }

    fn add(&self, new: NewModule) {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner).push(new);
    }

    /// Whether the program became another.
    pub(crate) fn became_another(&self) -> bool {
        self.found().correlator.became_another()
    }

    /// Returns the processes that the program has started, and those that these have started, unless they are known to
    /// have ended.
    pub(crate) fn children(&self) -> Vec<Pid> {
        self.found().correlator.children()
    }

    /// Returns the threads that have come and gone.
    pub(crate) fn threads(&self) -> Vec<cgoprof_profile::Thread> {
        let found = self.found();
        found.correlator.threads().list(|tid| found.source.m(tid))
    }

    /// Number of threads that came and went and are not among those.
    pub(crate) fn forgotten_threads(&self) -> u64 {
        self.found().correlator.threads().forgotten()
    }

    /// Returns the samples up to a time; none where perf's records are not read.
    pub(crate) fn samples(&self, until: Monotonic) -> Option<Samples> {
        self.reads_perf.then(|| self.found().correlator.samples(until))
    }

    /// Returns how long all threads ran, and how long they could have run, up to a time; none where perf's records are not read.
    pub(crate) fn runnable(&self, until: Monotonic) -> Option<Runnable> {
        self.reads_perf.then(|| self.found().correlator.runnable(until))
    }

    /// Returns how long a thread was off its processor between two times, and when it ended if it has.
    pub(crate) fn off(&self, tid: u64, from: Monotonic, to: Monotonic) -> (OffTime, Option<Monotonic>) {
        self.found().correlator.off(tid, from, to)
    }

    /// Returns how long those slow crossings of a thread were blocked that began after a time and have ended.
    pub(crate) fn blocked_within(&self, tid: u64, from: Monotonic) -> u64 {
        self.found().correlator.blocked_within(tid, from)
    }

    /// Returns the timeline: all of it, or the part that has come since the last call.
    pub(crate) fn timeline(&self, all: bool) -> Part {
        self.read_by_itself(false);
        let mut found = self.found();
        if !all {
            return found.correlator.take_new_timeline();
        }
        let in_c = found.source.in_c();
        found.correlator.timeline(Moment::now().monotonic, |tid| in_c.contains_key(&tid))
    }

    /// Takes the executable mappings that have come since the last call.
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
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            self.failed = thread.join().is_err();
        }
        self.read_by_itself(true);
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A module to be added.
struct NewModule {
    module: GoModule,
    probed: Option<NewProbes>,
}

/// Probes to be set.
struct NewProbes {
    probes: Vec<TracedProbe>,
    /// Called once they are set, before a hit of theirs is read.
    on_set: Box<dyn FnOnce() + Send>,
    /// Receives whether they are set.
    outcome: Sender<Result<(), PerfError>>,
}

impl NewModule {
    fn add(self, session: Option<&mut Session>, unwinder: &mut Unwinder) {
        unwinder.add_module(self.module);
        if let (Some(NewProbes { probes, on_set, outcome }), Some(session)) = (self.probed, session) {
            let set = session.watch_probes(&probes);
            if set.is_ok() {
                on_set();
            }
            let _ = outcome.send(set);
        }
    }
}

/// Time until a moment, in whole milliseconds: `poll` takes no others, and the moment must have come when it returns.
fn until(due: Monotonic, now: Monotonic) -> Duration {
    Duration::from_millis(due.0.saturating_sub(now.0).div_ceil(1_000_000))
}

/// Raises this thread's priority over others. Only root may.
fn keep_up() {
    // SAFETY: a system call without pointers.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, nix::unistd::gettid().as_raw() as libc::id_t, -15) };
}

/// Wakes the thread.
enum Waker {
    /// While it waits for perf's records too.
    WithRecords(Arc<EventFd>),
    /// While it waits for nothing else; none where the system has no eventfd left.
    Alone(Option<EventFd>),
}

impl Waker {
    fn of(session: Option<&Session>) -> Waker {
        let new = || EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).ok();
        session.map_or_else(|| Waker::Alone(new()), |session| Waker::WithRecords(session.waker()))
    }

    fn wake(&self) {
        let _ = match self {
            Waker::WithRecords(events) => events.write(1),
            Waker::Alone(Some(events)) => events.write(1),
            // It wakes by itself, after its pause.
            Waker::Alone(None) => Ok(0),
        };
    }

    /// Waits until it is woken, at most so long.
    fn wait(&self, longest: Duration) {
        use std::os::fd::AsFd as _;
        let Waker::Alone(Some(events)) = self else { return std::thread::sleep(longest) };
        let mut polled = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO));
        let _ = events.read();
    }
}

impl Found {
    fn new(pid: Pid, correlator: Correlator, source: Box<dyn Source>) -> Found {
        Found {
            pid,
            correlator,
            source,
            mappings: Vec::new(),
            waiting: WaitingThreads::of(pid),
            leaving: HashMap::new(),
            rate: SwitchRate::new(Monotonic::now()),
            sees_every_wait: false,
            lost_switches: 0,
            lost_by_records: 0,
        }
    }

    /// Begins to see every wait, or leaves them to looks.
    fn set_every_wait(&mut self, session: &mut Session, looks: &mut WaitLooks, wanted: bool) {
        if wanted == self.sees_every_wait {
            return;
        }
        self.sees_every_wait = session.sample_switches(wanted).is_ok() && wanted;
        self.leaving.clear();
        self.notice_lost_switches(session);
        let now = Monotonic::now();
        looks.begin(now);
        self.correlator.feed(if self.sees_every_wait { Event::EveryWait(now) } else { Event::SomeWaits(now) });
    }

    /// Notices samples of switches that were dropped, before a record tells of them: that has to wait for room too.
    fn notice_lost_switches(&mut self, session: &Session) {
        let lost = session.lost_switches().unwrap_or(0);
        if lost > self.lost_switches {
            self.lost_switches = lost;
            self.correlator.feed(Event::LostBegins { in_all: lost });
        }
    }

    /// Keeps the stack of a thread in C that loses its processor.
    fn keep_leaving(&mut self, leaving: &Leaving<'_>, unwinder: &mut Unwinder, rate: Rate) {
        let sample = &leaving.sample;
        self.leaving.remove(&sample.tid);
        if !self.sees_every_wait || unwinder.is_go(sample.ip) {
            return;
        }
        let walk = unwinder.walk(sample);
        let is_whole = walk.place != Place::Elsewhere || sample.stack.len() < SWITCH_STACK_BYTES as usize;
        let walk = self.with_crossing(walk, sample, rate);
        if matches!(walk.place, Place::Crossing(_)) {
            let stack = WaitStack { walk, waits_in: WaitsIn::Kernel(leaving.kernel) };
            self.leaving.insert(sample.tid, (Arc::new(stack), is_whole));
        }
    }

    /// Feeds a switch, with the stack that begins to wait.
    fn switch(&mut self, switch: Switch) {
        self.correlator.feed(Event::Switched(switch));
        if switch.kind != SwitchKind::In {
            self.rate.add(switch.time);
        }
        let leaving = self.leaving.remove(&switch.tid);
        if let Some((stack, is_whole)) = leaving.filter(|_| switch.kind == SwitchKind::Blocked) {
            self.correlator.feed(Event::Blocked { tid: switch.tid, since: switch.time, stack, is_whole });
        }
    }

    fn add(&mut self, record: Record<'_>, unwinder: &mut Unwinder, rate: Rate) {
        let is_another = self.correlator.became_another();
        let event = match record {
            Record::Hit(_) | Record::Sample(_) | Record::Leaving(_) if is_another => return,
            Record::Hit(hit) => return self.source.hit(&hit),
            Record::Sample(sample) => Event::Sampled(self.walk(&sample, unwinder, rate)),
            Record::Leaving(leaving) => return self.keep_leaving(&leaving, unwinder, rate),
            Record::LostLeaving(count) => {
                self.lost_by_records += count;
                Event::LostBegins { in_all: self.lost_by_records }
            }
            Record::Switch(switch) => return self.switch(switch),
            Record::Start { tid, parent, time } => Event::Started { tid, parent, time },
            Record::Name { tid, name } => Event::Named { tid, name },
            Record::Exec => Event::BecameProgram,
            Record::Process(pid) => Event::StartedProcess(pid),
            Record::ProcessEnd(pid) => Event::ProcessEnded(pid),
            Record::Exit { tid, time } => {
                let m = self.source.m(tid);
                self.source.thread_ended(tid, time);
                Event::Ended { tid, m, time }
            }
            Record::Mapped(mut mapping) => {
                mapping.open(self.pid);
                unwinder.add_mapping(&mapping);
                return self.mappings.push(mapping);
            }
            Record::Lost(count) => {
                self.leaving.clear();
                self.source.lose_track();
                Event::Lost(count)
            }
        };
        self.correlator.feed(event);
    }

    /// Looks at the threads that wait in C, if it is time for that. Returns when it will be the next time, if threads are
    /// in C.
    fn look_at_waits(&mut self, looks: &mut WaitLooks, unwinder: &mut Unwinder, rate: Rate) -> Option<Monotonic> {
        let now = Moment::now().monotonic;
        if self.correlator.became_another() {
            return None;
        }
        if !looks.is_due(now) {
            return looks.next();
        }
        let before = own_time();
        let (in_c, mut number) = (self.source.in_c(), 0);
        let threads = self.correlator.waiting(in_c.keys().copied());
        let found = looks.look(now, &threads, |tid| {
            number += 1;
            self.stack_of_wait(tid, in_c[&tid], unwinder, rate)
        });
        found.into_iter().for_each(|waited| self.correlator.feed(Event::Waited(waited)));
        let cost = (own_time() - before).as_nanos() as u64;
        self.correlator.samples_mut().looks_cost += cost;
        looks.spend(cost as f64, number, now);
        looks.next()
    }

    /// Returns the stack of a thread that waits in this crossing, and when it waited; none if it does not wait any more.
    fn stack_of_wait(
        &mut self,
        tid: u64,
        cell: CellId,
        unwinder: &mut Unwinder,
        rate: Rate,
    ) -> Option<(WaitStack, Monotonic)> {
        /// Bytes of a stack that are copied first, and if the crossing lies beyond them. Most of C fits into the first.
        const COPIED: [usize; 2] = [16 << 10, 512 << 10];
        let waits = self.waiting.look(tid)?;
        // It is in the same wait still when its stack has been copied.
        let time = Moment::now().monotonic;
        let waits_in = waits.call.map_or(WaitsIn::Page, WaitsIn::Call);
        // The kernel does not tell the frame pointer. Code that needs it can't be followed beyond.
        let (ip, sp, bp) = (waits.ip, waits.sp, Avma(0));
        for most in COPIED {
            let Some(stack) = self.waiting.stack(tid, &waits, most) else { break };
            let is_whole = stack.len() < most;
            let sample = Sample { tid, time, ip, sp, bp, stack: Cow::Owned(stack), chain: Vec::new() };
            let walk = unwinder.walk(&sample);
            if walk.place != Place::Elsewhere || is_whole || most == COPIED[1] {
                let mut walk = self.with_crossing(walk, &sample, rate);
                if walk.place == Place::Elsewhere {
                    walk.leave_gap(cell);
                }
                return Some((WaitStack { walk, waits_in }, time));
            }
        }
        // It has gone on before its stack was copied.
        Some((WaitStack { walk: Walk::of_crossing(cell), waits_in }, time))
    }

    /// Returns the frames of a sample, and the crossing that it is in.
    fn walk(&self, sample: &Sample<'_>, unwinder: &mut Unwinder, rate: Rate) -> Walk {
        self.with_crossing(unwinder.walk(sample), sample, rate)
    }

    /// Completes the frames of a sample with the crossing that the engine knows it is in.
    fn with_crossing(&self, mut walk: Walk, sample: &Sample<'_>, rate: Rate) -> Walk {
        if let Place::Called(frame) = walk.place {
            let (place, goes_on) = self.source.called(sample, frame).unwrap_or((Place::Elsewhere, true));
            walk.place = place;
            walk.truncated |= goes_on;
        }
        if walk.place == Place::Elsewhere
            && walk.truncated
            && let Some(cell) = self.source.in_c_since(sample.tid, sample.time, rate)
        {
            walk.leave_gap(cell);
        }
        walk
    }

    /// Feeds the engine's events, now that all records before a moment have been read.
    fn settle(&mut self, complete: Monotonic, rate: Rate) {
        self.source.take_slow_events().into_iter().for_each(|event| self.correlator.feed(Event::Slow(event)));
        self.source.take_looks(complete).into_iter().for_each(|look| self.correlator.feed(Event::Looked(look)));
        self.correlator.feed(Event::Complete { before: complete, rate });
        let confirmed = self.correlator.take_confirmed();
        if !confirmed.is_empty() {
            self.source.confirm(confirmed);
        }
    }

    fn read_counters(&mut self, now: Monotonic) {
        let samples = self.correlator.samples_mut();
        samples.num_cgo_call = self.source.num_cgo_call(now).or(samples.num_cgo_call);
    }

    fn see_new_processor(&mut self) {
        let samples = self.correlator.samples_mut();
        if !std::mem::replace(&mut samples.new_processor, true) {
            self.source.lose_track();
        }
    }

    fn note_lost(&mut self, lost: Option<u64>) {
        let samples = self.correlator.samples_mut();
        samples.lost = lost.unwrap_or(0).max(samples.lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::cell_id::CellId;
    use crate::counts::slow_event::{SlowEvent, SlowKind};

    /// An engine with one slow crossing to tell of.
    struct OneCrossing(Option<SlowEvent>);

    impl Source for OneCrossing {
        fn take_slow_events(&mut self) -> Vec<SlowEvent> {
            self.0.take().into_iter().collect()
        }
    }

    /// It once ended the recording, and with `--require` the program.
    #[test]
    fn a_recorder_that_gets_no_thread_still_knows_what_took_long() {
        let begun = Moment::now();
        let (from, to) = (begun.monotonic.0, begun.monotonic.0 + 1);
        let event = SlowEvent {
            kind: SlowKind::C,
            cell: CellId(7),
            begin_span: 0,
            from,
            to,
            tid: 1,
            goid: 2,
            weight: 1,
            is_sampled: false,
            enter: 0,
        };
        let source = Box::new(OneCrossing(Some(event)));
        let correlator = Correlator::new(Threads::default(), true, false);
        let found = Found::new(Pid::this(), correlator, source);
        let mut pump = Pump {
            stop: Arc::default(),
            found: Arc::new(Mutex::new(found)),
            asking: Arc::default(),
            waker: Arc::new(Waker::of(None)),
            modules: Arc::default(),
            thread: None,
            failed: false,
            reads_perf: false,
            by_itself: Some(Clock { timebase: Timebase::Kernel, begun: Timebase::Kernel.of(begun) }),
        };
        std::thread::sleep(Duration::from_millis(1));
        let part = pump.timeline(false);
        assert_eq!(part.crossings.iter().map(|crossing| crossing.cell).collect::<Vec<_>>(), [CellId(7)]);
        pump.stop();
        assert!(!pump.failed() && pump.samples(Monotonic::now()).is_none());
    }
}
