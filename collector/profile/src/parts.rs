//! Recordings of one process, one after the other: what a recording with pauses is made of.

use std::collections::HashMap;

use crate::merge::{Merger, Renumbered};
use crate::model::Profile;
use crate::recording::Target;
use crate::scheduler::{Goroutine, Made, Peak, Thread};
use crate::timed_events::TimedEvents;

/// Parts of a recording, which become one. The time between parts is left out: each begins where the one before it ended.
#[derive(Default)]
pub struct Parts {
    merger: Merger,
    events: TimedEvents,
    process: Process,
    target: Option<Target>,
    /// Duration of the parts so far.
    until_ns: u64,
}

/// What sums leave out because it belongs to one process.
#[derive(Default)]
struct Process {
    threads: Vec<Thread>,
    peak: Option<Peak>,
    goroutines: Vec<Goroutine>,
    /// By their numbers.
    goroutine_index: HashMap<u64, usize>,
}

impl Parts {
    /// Adds a part.
    pub fn add(&mut self, part: &Profile) {
        let renumbered = self.merger.add_part(part);
        self.merger.add_numbers(part, &renumbered, self.events.next_number());
        let begin = self.until_ns;
        self.events.end(|_| Some(begin));
        self.events.add(0, part, begin, &renumbered);
        self.events.timeline.counters.extend(TimedEvents::counters(part, begin));
        self.process.add(part, begin, &renumbered);
        self.until_ns += part.recording.duration_ns;
        self.target.get_or_insert_with(|| part.target.clone());
    }

    /// Returns the whole recording, which was paused so many times.
    pub fn finish(self, pauses: u64) -> Profile {
        let Process { threads, peak, goroutines, .. } = self.process;
        let TimedEvents { births, timeline, .. } = self.events;
        let (mut whole, threads_known) = self.merger.into_sum();
        whole.target = self.target.unwrap_or_default();
        whole.recording.scheduler.threads = threads_known;
        whole.recording.recordings = 0;
        if pauses > 0 {
            let times = if pauses == 1 { "once".to_owned() } else { format!("{pauses} times") };
            whole.recording.notes.push(format!(
                "the recording was paused {times}: what the program did then is not in here, and the timeline leaves it out"
            ));
        }
        Profile { threads, births, peak, goroutines, timeline: timeline.into(), ..whole }
    }
}

impl Process {
    fn add(&mut self, part: &Profile, begin: u64, to: &Renumbered) {
        for thread in &part.threads {
            self.add_thread(thread, begin, to);
        }
        if let Some(peak) = &part.peak
            && self.peak.as_ref().is_none_or(|known| known.threads < peak.threads)
        {
            self.peak = Some(Peak { at_ns: begin + peak.at_ns, holders: to.holders(&peak.holders), ..*peak });
        }
        for goroutine in &part.goroutines {
            let function = goroutine.function.map(|function| to.functions[function.0]);
            let next = self.goroutines.len();
            let index = *self.goroutine_index.entry(goroutine.goid).or_insert(next);
            match self.goroutines.get_mut(index) {
                Some(known) => {
                    known.function = known.function.or(function);
                    known.calls = known.calls.saturating_add(goroutine.calls);
                    // The threads may be others, or the same.
                    known.threads = known.threads.max(goroutine.threads);
                    known.migrations = known.migrations.saturating_add(goroutine.migrations);
                    known.locks = known.locks.saturating_add(goroutine.locks);
                }
                None => self.goroutines.push(Goroutine { function, ..*goroutine }),
            }
        }
    }

    fn add_thread(&mut self, thread: &Thread, begin: u64, to: &Renumbered) {
        let later = |nanos: Option<u64>| nanos.map(|nanos| begin + nanos);
        let made = thread.made.iter().map(|made| Made { function: to.functions[made.function.0], ..*made });
        let is_same =
            |known: &&mut Thread| known.tid == thread.tid && known.exited_ns.is_none() && thread.created_ns.is_none();
        let Some(known) = self.threads.iter_mut().find(is_same) else {
            let (created_ns, exited_ns) = (later(thread.created_ns), later(thread.exited_ns));
            self.threads.push(Thread { created_ns, exited_ns, made: made.collect(), ..thread.clone() });
            return;
        };
        for made in made {
            let same = |known: &&mut Made| (known.function, known.via) == (made.function, made.via);
            match known.made.iter_mut().find(same) {
                Some(known) => {
                    known.calls = known.calls.saturating_add(made.calls);
                    known.locked = known.locked.saturating_add(made.locked);
                    known.c_ns += made.c_ns;
                }
                None => known.made.push(made),
            }
        }
        known.m = thread.m.or(known.m);
        known.name.clone_from(&thread.name);
        known.exited_ns = later(thread.exited_ns);
        for (nanos, more) in [
            (&mut known.blocked_ns, thread.blocked_ns),
            (&mut known.locked_ns, thread.locked_ns),
            (&mut known.locked_idle_ns, thread.locked_idle_ns),
        ] {
            *nanos = nanos.zip(more).map(|(nanos, more)| nanos + more);
        }
    }
}
