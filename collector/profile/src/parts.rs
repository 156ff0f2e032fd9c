//! Recordings of one process, one after the other: what a recording with pauses is made of.

use std::collections::HashMap;

use crate::code::{FunctionId, LocationId};
use crate::merge::{Merger, Renumbered};
use crate::model::Profile;
use crate::recording::Target;
use crate::scheduler::{Birth, Counters, Goroutine, Holder, Locked, Made, Peak, SlowCrossing, Thread, Timeline, Wait};

/// Parts of a recording, which become one. The time between parts is left out: each begins where the one before it ended.
#[derive(Default)]
pub struct Parts {
    merger: Merger,
    /// What sums leave out.
    moments: Moments,
    target: Option<Target>,
}

/// What has a place in time, or belongs to one process.
#[derive(Default)]
struct Moments {
    threads: Vec<Thread>,
    births: Vec<Birth>,
    peak: Option<Peak>,
    goroutines: Vec<Goroutine>,
    /// By their numbers.
    goroutine_index: HashMap<u64, usize>,
    timeline: Timeline,
    /// Duration of the parts so far.
    until_ns: u64,
    /// First number that no wait has.
    next_number: u32,
}

impl Parts {
    /// Adds a part.
    pub fn add(&mut self, part: &Profile) {
        let renumbered = self.merger.add_part(part);
        self.merger.add_numbers(part, &renumbered, self.moments.next_number);
        self.moments.add(part, &renumbered);
        self.target.get_or_insert_with(|| part.target.clone());
    }

    /// Returns the whole recording, which was paused so many times.
    pub fn finish(self, pauses: u64) -> Profile {
        let Moments { threads, births, peak, goroutines, timeline, .. } = self.moments;
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

impl Moments {
    fn add(&mut self, part: &Profile, to: &Renumbered) {
        let begin = self.until_ns;
        self.until_ns += part.recording.duration_ns;
        for thread in &part.threads {
            self.add_thread(thread, begin, to);
        }
        let stack = |stack: &[LocationId]| stack.iter().map(|location| to.locations[location.0]).collect();
        let holders = |holders: &[Holder]| holders.iter().map(|holder| to.holder(holder)).collect::<Vec<_>>();
        self.births.extend(part.births.iter().map(|birth| Birth {
            at_ns: begin + birth.at_ns,
            stack: stack(&birth.stack),
            holders: holders(&birth.holders),
            ..*birth
        }));
        if let Some(peak) = &part.peak
            && self.peak.as_ref().is_none_or(|known| known.threads < peak.threads)
        {
            self.peak = Some(Peak { at_ns: begin + peak.at_ns, holders: holders(&peak.holders), ..*peak });
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
        self.add_timeline(&part.timeline, begin, to);
        let numbers = part.waits.iter().flat_map(|stack| &stack.numbers);
        self.next_number += numbers.max().map_or(0, |most| most + 1);
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

    fn add_timeline(&mut self, part: &Timeline, begin: u64, to: &Renumbered) {
        let (all, first_number) = (&mut self.timeline, self.next_number);
        let first_set = all.label_sets.len() as u32;
        all.label_sets.extend(part.label_sets.iter().cloned());
        // Only those of the last part are still in C.
        all.crossings.iter_mut().for_each(|crossing| crossing.open = false);
        all.crossings.extend(part.crossings.iter().map(|crossing| SlowCrossing {
            cell: to.cell(crossing.cell),
            called_ns: begin + crossing.called_ns,
            labels: crossing.labels.map(|index| first_set + index),
            ..*crossing
        }));
        let later = |wait: &Wait| Wait {
            from_ns: begin + wait.from_ns,
            to_ns: begin + wait.to_ns,
            stack: wait.stack.map(|number| first_number + number),
            ..*wait
        };
        all.waits.extend(part.waits.iter().map(later));
        all.asleep.extend(part.asleep.iter().map(later));
        for locked in all.locked.iter_mut().filter(|locked| locked.to_ns.is_none()) {
            locked.to_ns = Some(begin);
        }
        let later = |nanos: u64| begin + nanos;
        all.locked.extend(part.locked.iter().map(|locked| Locked {
            from_ns: later(locked.from_ns),
            to_ns: locked.to_ns.map(later),
            ..*locked
        }));
        all.counters.extend(part.counters.iter().map(|one| Counters { at_ns: later(one.at_ns), ..*one }));
        for (shortest, other) in [
            (&mut all.shortest_ns, part.shortest_ns),
            (&mut all.shortest_wait_ns, part.shortest_wait_ns),
            (&mut all.shortest_asleep_ns, part.shortest_asleep_ns),
        ] {
            *shortest = (*shortest).max(other);
        }
        for (dropped, more) in [
            (&mut all.dropped, part.dropped),
            (&mut all.dropped_waits, part.dropped_waits),
            (&mut all.dropped_asleep, part.dropped_asleep),
        ] {
            *dropped = dropped.saturating_add(more);
        }
    }
}

impl Renumbered {
    fn holder(&self, holder: &Holder) -> Holder {
        let FunctionId(function) = holder.function;
        Holder { function: self.functions[function], cell: self.cell(holder.cell), threads: holder.threads }
    }

    /// Returns a cell's number in the sum; 0 for one that has none.
    fn cell(&self, id: u64) -> u64 {
        self.cells.get(&id).copied().unwrap_or_default()
    }
}
