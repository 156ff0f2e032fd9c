//! Retired threads, whose tables now belong to other threads: a table's counts are not all its present thread's.

use std::collections::HashMap;

use crate::counts::snapshot::{LockedCopy, ThreadCopy};

/// Counts of threads whose tables now belong to other threads.
#[derive(Default)]
pub(super) struct RetiredThreads {
    /// Threads that are kept apart.
    pub(super) gone: Vec<ThreadCopy>,
    /// Goroutines that were locked to them when they ended.
    pub(super) locked: Vec<LockedCopy>,
    /// Counts of each table when the last thread left it.
    before: HashMap<usize, ThreadCopy>,
    /// Number of entries in `gone`, and in `before`: see [`MOST_ENTRIES`].
    entries: (usize, usize),
}

/// Maximum number of retired threads that are kept apart. Further ones are added to the last.
pub(super) const MOST_LEFT: usize = 10_000;
/// Maximum number of entries that are kept, each of a thread or table and a C function: five hundred for each of 8,192
/// tables. The limit is there because a program can write anything into its tables.
const MOST_ENTRIES: usize = 4 << 20;

impl RetiredThreads {
    /// Returns what was counted in a table since the last thread left it.
    pub(super) fn since(&self, index: usize, mut copy: ThreadCopy) -> ThreadCopy {
        let Some(before) = self.before.get(&index) else { return copy };
        for (function, made) in &mut copy.made {
            if let Some(before) = before.made.get(function) {
                made.calls -= before.calls.min(made.calls);
                made.locked -= before.locked.min(made.locked);
                made.c = (made.c - before.c).max(0.0);
            }
        }
        for (function, calls) in &mut copy.called_in {
            *calls -= before.called_in.get(function).copied().unwrap_or(0).min(*calls);
        }
        copy.made.retain(|_, made| made.calls > 0);
        copy.called_in.retain(|_, calls| *calls > 0);
        copy.locked -= before.locked.min(copy.locked);
        copy
    }

    /// Notes that a thread leaves its table. `copy` is all that has been counted in it so far.
    pub(super) fn leave(&mut self, index: usize, copy: ThreadCopy) {
        let own = self.since(index, copy.clone());
        let (gone, before) = &mut self.entries;
        let kept = *before - self.before.get(&index).map_or(0, entries);
        if kept + entries(&copy) <= MOST_ENTRIES {
            *before = kept + entries(&copy);
            self.before.insert(index, copy);
        }
        let full = self.gone.len() >= MOST_LEFT || *gone + entries(&own) > MOST_ENTRIES;
        match self.gone.last_mut().filter(|_| full) {
            None => {
                *gone += entries(&own).min(MOST_ENTRIES);
                self.gone.push(own);
            }
            Some(last) => {
                last.locked += own.locked;
                for (function, made) in own.made {
                    if last.made.len() >= MOST_ENTRIES && !last.made.contains_key(&function) {
                        continue;
                    }
                    let sum = last.made.entry(function).or_default();
                    sum.calls += made.calls;
                    sum.locked += made.locked;
                    sum.c += made.c;
                }
            }
        }
    }
}

/// Returns the number of a thread's entries, by C function and by Go function that it called.
fn entries(copy: &ThreadCopy) -> usize {
    copy.made.len() + copy.called_in.len()
}

#[cfg(test)]
mod tests {
    use cgoprof_symbols::Avma;

    use super::*;
    use crate::counts::snapshot::Made;

    fn thread(tid: u64, calls: &[(u64, u64)]) -> ThreadCopy {
        let made = calls
            .iter()
            .map(|&(function, calls)| ((Avma(function), false), Made { calls, locked: calls / 2, c: calls as f64 }));
        ThreadCopy { tid, made: made.collect(), ..ThreadCopy::default() }
    }

    #[test]
    fn a_table_holds_what_all_its_threads_did() {
        let mut left = RetiredThreads::default();
        left.leave(5, thread(1, &[(0x10, 4)]));
        left.leave(5, thread(2, &[(0x10, 4), (0x20, 6)]));
        assert_eq!(left.gone, [thread(1, &[(0x10, 4)]), thread(2, &[(0x20, 6)])]);
        assert_eq!(left.since(5, thread(3, &[(0x10, 10), (0x20, 6)])), thread(3, &[(0x10, 6)]));
        assert_eq!(left.since(6, thread(4, &[(0x10, 1)])), thread(4, &[(0x10, 1)]));
    }

    #[test]
    fn more_threads_than_are_kept_apart_are_one() {
        let mut left = RetiredThreads::default();
        for tid in 0..MOST_LEFT as u64 + 10 {
            left.leave(tid as usize, thread(tid, &[(0x10, 2)]));
        }
        assert_eq!(left.gone.len(), MOST_LEFT);
        assert_eq!(left.gone.last().unwrap().made[&(Avma(0x10), false)].calls, 22);
    }
}
