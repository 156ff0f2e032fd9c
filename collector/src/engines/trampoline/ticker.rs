//! The ticker thread: it writes the coarse clock, sets how often crossings are timed, and notices loaded libraries.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::Pid;

use super::gate::Gate;
use super::label_reader::LabelReader;
use super::source::HookEvents;
use crate::clock::{own_time, ticks};
use crate::counts::cell_id::CellId;
use crate::counts::label_looks::SharedLooks;
use crate::counts::slow_event::{SUSPICIOUS, SlowEvent};
use crate::counts::snapshot::ThreadEvents;
use crate::engines::trampoline::module::Link;
use crate::engines::trampoline::plugins::PluginLoader;
use crate::engines::trampoline::{Budget, Outliers, TableSet, Timing};
use crate::process::address_space::AddressSpace;
use crate::process::link_map::LinkMap;
use crate::process::maps::{self, Mapping};

/// Time between two ticks where wake-ups are cheap: a crossing of 2 ms sees two ticks.
const SHORTEST: Duration = Duration::from_millis(1);
/// Maximum time between two ticks, where wake-ups are so expensive that `SHORTEST` would exceed the budget.
const LONGEST_TICK: Duration = Duration::from_millis(4);
/// Share of a core that ticking may take.
const BUDGET: f64 = 0.0045;
/// Number of ticks between two measurements of their cost.
const REVIEW: u64 = 256;

/// Pause between two settings of the intervals, as a multiple of the time that a setting takes.
const REST: u32 = 1200;
/// Maximum pause, unless `LEAST_REST` times the time that a setting takes is longer. With thousands of threads, the
/// pause by `REST` would be seconds. Every crossing of a new cell is timed until the next setting.
const LONGEST_REST: Duration = Duration::from_millis(200);
/// See `LONGEST_REST`.
const LEAST_REST: u32 = 250;

/// Pause between two counts of the threads in C, as a multiple of the time that a count takes. With few threads, they
/// are counted at each tick.
const COUNT_REST: u32 = 300;

/// Time between two looks that are kept.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// Maximum number of threads being made that are kept.
const MOST_BIRTHS: usize = 10_000;

/// What in the program waits for the ticker.
pub(super) struct SeenTo {
    pub(super) plugins: PluginLoader,
    pub(super) gate: Arc<Gate>,
}

/// The running ticker thread. Dropping it stops the thread.
pub(crate) struct Ticker {
    stop: Arc<AtomicBool>,
    mappings: Arc<Mutex<Vec<Vec<Mapping>>>>,
    seen: Arc<Mutex<ThreadEvents>>,
    /// Labels of goroutines, if they can be read.
    looks: Option<SharedLooks>,
    /// The module that is still to be added.
    module: Arc<Mutex<Option<Link>>>,
    loaded: Arc<EventFd>,
    /// Budget of timing, once it is known.
    budget: Arc<OnceLock<Budget>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Cancels the module that is still to be added: after a detach, nothing would remove it.
    pub(crate) fn add_no_module(&self) {
        *self.module.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Starts the ticker. It adds the module to the runtime's list after the first crossing.
    ///
    /// # Errors
    /// If the system refuses the timer, the eventfd or the thread.
    pub(super) fn start(
        tables: TableSet,
        pid: Pid,
        timing: Timing,
        module: Option<Link>,
        mut seen_to: SeenTo,
        mut labels: Option<LabelReader>,
        events: &HookEvents,
    ) -> std::io::Result<Ticker> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        set(&timer, SHORTEST)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mappings = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::new(Mutex::new(ThreadEvents::default()));
        let (stopped, found, noted) = (Arc::clone(&stop), Arc::clone(&mappings), Arc::clone(&seen));
        let events = events.clone();
        let module = Arc::new(Mutex::new(module));
        let pending = Arc::clone(&module);
        let loaded = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let waker = Arc::clone(&loaded);
        let mut libraries = LinkMap::of(pid);
        let first = tables.first();
        let looks = labels.as_ref().map(LabelReader::looks);
        let budget = Arc::new(OnceLock::new());
        let given = Arc::clone(&budget);
        let read_events =
            |events: &HookEvents, tables: &TableSet, outliers: &mut HashMap<CellId, Outliers>, ticks_per_ns: f64| {
                let mut slow = events.slow();
                tables.read_events(|event| {
                    note_outlier(outliers, &event, ticks_per_ns);
                    slow.push(event);
                });
            };
        let thread = std::thread::Builder::new().spawn(move || {
            let (mut ticks_so_far, mut foreign, mut used) = (0u64, 0, own_time());
            let mut reading_labels = Duration::ZERO;
            let (started, started_ticks) = (Instant::now(), ticks());
            let mut outliers = HashMap::new();
            let (mut intervals_due, mut look_due, mut count_due) = (started, started, started);
            while !stopped.load(Ordering::Relaxed) {
                let at = ticks();
                tables.tick(at);
                let ticks_per_ns = (at - started_ticks) as f64 / started.elapsed().as_nanos().max(1) as f64;
                read_events(&events, &tables, &mut outliers, ticks_per_ns);
                // By its first crossing, the runtime has finished its setup.
                let mut module = pending.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(link) = module.take_if(|_| first.any_used())
                    && let Err(error) = link.make(pid)
                {
                    tracing::debug!("the hooks' module can't be added: {error}");
                }
                drop(module);
                if first.plugin_is_waiting()
                    && let Err(error) = seen_to.plugins.redirect_waiting(pid, &first)
                {
                    tracing::debug!("a plugin can't be seen to: {error}");
                }
                seen_to.gate.look();
                if libraries.as_mut().is_some_and(LinkMap::has_changed) {
                    let _ = waker.write(1);
                }
                let now = Instant::now();
                noted.lock().unwrap_or_else(PoisonError::into_inner).note_births(&tables);
                if now >= count_due {
                    let before = own_time();
                    noted.lock().unwrap_or_else(PoisonError::into_inner).note_peak(&tables, at);
                    count_due = now + COUNT_REST * (own_time() - before);
                }
                if let Some(labels) = &mut labels {
                    reading_labels += labels.look(&first);
                }
                if now >= look_due {
                    events.looks().push(tables.look(at));
                    look_due = (look_due + BETWEEN_LOOKS).max(now);
                }
                if let (Timing::Auto, Some(&budget)) = (timing, given.get())
                    && now > intervals_due
                {
                    let before = own_time();
                    let confirmed = events.confirmed();
                    let of_cell = |cell: CellId| {
                        let found = outliers.get(&cell).copied().unwrap_or_default();
                        Outliers { confirmed: confirmed.get(&cell).copied().unwrap_or(0.0), ..found }
                    };
                    tables.apply_policy(ticks_per_ns * 1000.0, budget, of_cell);
                    drop(confirmed);
                    let cost = own_time() - before;
                    intervals_due = now + (REST * cost).min(LONGEST_REST.max(cost * LEAST_REST));
                }
                let (cells, due) = (tables.foreign_cells(), ticks_so_far.is_power_of_two() && ticks_so_far < 1 << 16);
                if (cells != foreign || due)
                    && let (Ok(read), Ok(mut found)) = (maps::read(pid), found.lock())
                {
                    foreign = cells;
                    if !read.is_empty() {
                        found.push(read);
                    }
                }
                ticks_so_far += 1;
                if ticks_so_far.is_multiple_of(REVIEW) {
                    tables.note_locked(AddressSpace::of(pid).locked);
                    // Reading labels has a pace of its own.
                    let now = own_time() - reading_labels;
                    let _ = set(&timer, period(now.saturating_sub(used) / REVIEW as u32));
                    used = now;
                }
                let _ = timer.wait();
            }
            read_events(&events, &tables, &mut outliers, 0.0);
            noted.lock().unwrap_or_else(PoisonError::into_inner).note_births(&tables);
        })?;
        let thread = Some(thread);
        Ok(Ticker { stop, mappings, seen, looks, module, loaded, budget, thread })
    }

    /// Takes the lists of the program's mappings that were read since the last call.
    pub(crate) fn take_mappings(&self) -> Vec<Vec<Mapping>> {
        self.mappings.lock().map(|mut mappings| std::mem::take(&mut *mappings)).unwrap_or_default()
    }

    /// Returns the eventfd that is written to when the program has loaded a library.
    pub(crate) fn loaded(&self) -> &EventFd {
        &self.loaded
    }

    /// Sets the budget of timing. Until then every crossing is timed.
    pub(crate) fn set_budget(&self, budget: Budget) {
        let _ = self.budget.set(budget);
    }

    /// Returns what the ticker has seen so far.
    pub(crate) fn seen(&self) -> ThreadEvents {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the labels that goroutines had in C, if they can be read.
    pub(crate) fn labels(&self) -> Option<SharedLooks> {
        self.looks.clone()
    }

    /// Stops ticking.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl ThreadEvents {
    fn note_peak(&mut self, tables: &TableSet, now: u64) {
        if tables.in_c_count() > self.peak.in_c.len() {
            let look = tables.look(now);
            // Threads that have left C meanwhile are not in it.
            if look.in_c.len() > self.peak.in_c.len() {
                self.peak = look;
            }
        }
    }

    fn note_births(&mut self, tables: &TableSet) {
        tables.read_births(|birth| {
            if self.births.len() < MOST_BIRTHS {
                self.births.push(birth);
            } else {
                self.more_births += 1;
            }
        });
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Adds a suspicious crossing to its cell's outliers.
fn note_outlier(outliers: &mut HashMap<CellId, Outliers>, event: &SlowEvent, ticks_per_ns: f64) {
    let is_suspicious = event.to.saturating_sub(event.from) as f64 >= SUSPICIOUS as f64 * ticks_per_ns;
    if is_suspicious && event.is_sampled && event.kind.is_in_c() {
        let found = outliers.entry(event.cell).or_default();
        found.weight += event.weight as f64;
        found.sum += event.weight as f64 * event.to.saturating_sub(event.from) as f64;
    }
}

/// Returns the time between two ticks, each of which costs this much of a core's time.
fn period(cost: Duration) -> Duration {
    cost.div_f64(BUDGET).clamp(SHORTEST, LONGEST_TICK)
}

fn set(timer: &TimerFd, period: Duration) -> nix::Result<()> {
    timer.set(Expiration::Interval(TimeSpec::from_duration(period)), TimerSetTimeFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stay_within_their_budget() {
        let check = |cost: u64, expected: u64| {
            assert_eq!(period(Duration::from_nanos(cost)), Duration::from_micros(expected), "{cost} ns");
        };
        check(0, 1000);
        check(2_000, 1000);
        check(4_500, 1000);
        check(9_000, 2000);
        check(1_000_000, 4000);
    }
}
