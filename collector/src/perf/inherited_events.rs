//! Decides which of several events speaks for a thread.
//!
//! A thread inherits the events of the thread that starts it. During an attach, a thread may be born while its parent
//! gets its events. It has then inherited some events and gets all of its own, and so do its children. Of two events
//! with the same slot, the one that is seen first has been there all the time: it was either inherited or the only one.

use std::collections::HashMap;

/// The choices made so far.
#[derive(Default)]
pub(super) struct InheritedEvents {
    /// Maps an event's id to the number of the thread for which it was opened, and to its slot.
    opened_for: HashMap<u64, (usize, Slot)>,
    chosen: HashMap<i32, HashMap<Slot, usize>>,
    threads: usize,
}

/// Kind of an event of a thread: the number of its processor's ring, and the kind of its samples.
pub(super) type Slot = (usize, SampleKind);

/// Kind of the samples of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum SampleKind {
    /// What a thread runs.
    Running,
    /// Where a thread was when it lost its processor.
    Switching,
    /// That a thread hit the probe of this number.
    Probe(usize),
}

impl InheritedEvents {
    /// Begins another thread, which gets its own events.
    pub(super) fn add_thread(&mut self) {
        self.threads += 1;
    }

    /// Adds one of the events of the thread added last.
    pub(super) fn add_event(&mut self, id: u64, slot: Slot) {
        self.opened_for.insert(id, (self.threads, slot));
    }

    /// Whether records of this event are the ones to count, of those with the same slot for a thread.
    pub(super) fn speaks_for(&mut self, tid: i32, id: u64) -> bool {
        if self.threads < 2 {
            return true;
        }
        let Some(&(origin, slot)) = self.opened_for.get(&id) else { return true };
        *self.chosen.entry(tid).or_default().entry(slot).or_insert(origin) == origin
    }

    /// Forgets a thread that has ended: its number may be given to another.
    pub(super) fn forget(&mut self, tid: i32) {
        self.chosen.remove(&tid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_with_inherited_and_own_events_is_heard_once_by_each_slot() {
        let mut origins = InheritedEvents::default();
        for ids in [[1, 2], [3, 4]] {
            origins.add_thread();
            ids.into_iter().enumerate().for_each(|(probe, id)| origins.add_event(id, (0, SampleKind::Probe(probe))));
        }
        let mut check = |what: &str, tid, id, expected| assert_eq!(origins.speaks_for(tid, id), expected, "{what}");
        check("the first thread", 10, 1, true);
        check("born while we came: inherited", 11, 2, true);
        check("and its own", 11, 4, false);
        check("inherited again", 11, 2, true);
        check("what it had not inherited yet", 11, 3, true);
        check("its own for good", 11, 1, false);
        check("there before us", 12, 3, true);
        check("there before us, another event", 12, 4, true);
        check("an unknown event", 13, 99, true);
        origins.forget(11);
        assert!(origins.speaks_for(11, 4), "another thread of the same number");
    }

    #[test]
    fn with_one_thread_there_is_no_choice() {
        let mut origins = InheritedEvents::default();
        origins.add_thread();
        origins.add_event(1, (0, SampleKind::Running));
        assert!(origins.speaks_for(10, 1) && origins.speaks_for(11, 1));
    }
}
