//! Births of threads and timelines, shifted and renumbered for a larger recording.

use crate::code::{FunctionId, LocationId};
use crate::merge::Renumbered;
use crate::model::Profile;
use crate::scheduler::{Birth, Counters, Holder, Locked, SlowCrossing, Timeline, Wait};

/// Births and timelines of recordings, in one.
#[derive(Default)]
pub(crate) struct TimedEvents {
    pub(crate) births: Vec<Birth>,
    pub(crate) timeline: Timeline,
    /// First number that no wait has.
    next_number: u32,
}

impl TimedEvents {
    /// First number that no wait has so far.
    pub(crate) fn next_number(&self) -> u32 {
        self.next_number
    }

    /// Adds those of a process's recording that began so many nanoseconds after the larger one, without its counters.
    pub(crate) fn add(&mut self, process: usize, part: &Profile, begin: u64, to: &Renumbered) {
        let stack = |stack: &[LocationId]| stack.iter().map(|location| to.locations[location.0]).collect();
        self.births.extend(part.births.iter().map(|birth| Birth {
            process,
            at_ns: begin.saturating_add(birth.at_ns),
            stack: stack(&birth.stack),
            holders: to.holders(&birth.holders),
            ..*birth
        }));
        self.add_timeline(process, &part.timeline, begin, to);
        let numbers = part.waits.iter().flat_map(|stack| &stack.numbers);
        self.next_number = self.next_number.saturating_add(numbers.max().map_or(0, |most| most.saturating_add(1)));
    }

    /// Ends what still lasts: crossings, and locks of goroutines to threads. `end` tells when a process has ended; none for
    /// one that has not.
    pub(crate) fn end(&mut self, end: impl Fn(usize) -> Option<u64>) {
        for crossing in &mut self.timeline.crossings {
            crossing.open &= end(crossing.process).is_none();
        }
        for locked in &mut self.timeline.locked {
            locked.to_ns = locked.to_ns.or_else(|| end(locked.process));
        }
    }

    /// Returns the numbers of threads of a recording that began so many nanoseconds after the larger one.
    pub(crate) fn counters(part: &Profile, begin: u64) -> impl Iterator<Item = Counters> {
        part.timeline.counters.iter().map(move |one| Counters { at_ns: begin.saturating_add(one.at_ns), ..*one })
    }

    fn add_timeline(&mut self, process: usize, part: &Timeline, begin: u64, to: &Renumbered) {
        let (all, first_number) = (&mut self.timeline, self.next_number);
        let first_set = all.label_sets.len() as u32;
        all.label_sets.extend(part.label_sets.iter().cloned());
        let later = |nanos: u64| begin.saturating_add(nanos);
        all.crossings.extend(part.crossings.iter().map(|crossing| SlowCrossing {
            process,
            cell: to.cell(crossing.cell),
            called_ns: later(crossing.called_ns),
            labels: crossing.labels.map(|index| first_set.saturating_add(index)),
            ..*crossing
        }));
        let moved = |wait: &Wait| Wait {
            process,
            from_ns: later(wait.from_ns),
            to_ns: later(wait.to_ns),
            stack: wait.stack.map(|number| first_number.saturating_add(number)),
            ..*wait
        };
        all.waits.extend(part.waits.iter().map(moved));
        all.asleep.extend(part.asleep.iter().map(moved));
        all.locked.extend(part.locked.iter().map(|locked| Locked {
            process,
            from_ns: later(locked.from_ns),
            to_ns: locked.to_ns.map(later),
            ..*locked
        }));
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
    pub(crate) fn holders(&self, holders: &[Holder]) -> Vec<Holder> {
        let holder = |&Holder { function: FunctionId(function), cell, threads }: &Holder| Holder {
            function: self.functions[function],
            cell: self.cell(cell),
            threads,
        };
        holders.iter().map(holder).collect()
    }

    /// Returns a cell's number in the sum; 0 for one that has none.
    fn cell(&self, id: u64) -> u64 {
        self.cells.get(&id).copied().unwrap_or_default()
    }
}
