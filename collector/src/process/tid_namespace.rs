//! Translates the thread ids of a process in another PID namespace: from its own to ours.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::status::{self, Status};

/// Thread ids of a process.
pub(crate) struct Tids {
    pid: Pid,
    /// None if its ids are the same as ours.
    known: Option<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    ours_by_theirs: HashMap<u64, u64>,
    /// Ids that were asked for, and were not found when all threads were read for that.
    missing: HashSet<u64>,
    /// When all threads were last read.
    read: Option<Instant>,
    /// Time that reading took of late, less its share of all time.
    spent: Duration,
}

/// Maximum age of what is known: an id may be given to another thread.
const OLDEST: Duration = Duration::from_millis(100);

/// Share of all time that may be spent reading for unknown ids: one part in so many.
const SHARE: u32 = 10;
/// Time that may be spent on that at once.
const BURST: Duration = Duration::from_millis(20);
/// Maximum number of ids remembered as missing: the program's memory may hold anything in place of an id.
const MOST_MISSING: usize = 1 << 16;

impl Tids {
    pub(crate) fn of(pid: Pid) -> Tids {
        let nested = Status::read(pid).is_ok_and(|status| status.numbers.len() > 1);
        Tids { pid, known: nested.then(Mutex::default) }
    }

    /// Returns our id of a thread; 0 for one that has ended before we knew it.
    pub(crate) fn ours(&self, theirs: u64) -> u64 {
        let Some(known) = &self.known else { return theirs };
        known.lock().unwrap_or_else(PoisonError::into_inner).ours(theirs, || numbers(self.pid))
    }

    /// Whether the process has a thread with this id in its own namespace.
    pub(crate) fn is_alive(&self, theirs: u64) -> bool {
        let (pid, tid) = (self.pid, self.ours(theirs));
        std::path::Path::new(&format!("/proc/{pid}/task/{tid}")).exists()
    }
}

impl Known {
    /// Returns our id of a thread. `read` returns the process's id and ours of every thread.
    fn ours(&mut self, theirs: u64, read: impl FnOnce() -> Vec<(u64, u64)>) -> u64 {
        let age = self.read.map_or(Duration::MAX, |at| at.elapsed());
        // An id that was not asked for before may be new.
        let unknown = !self.ours_by_theirs.contains_key(&theirs) && !self.missing.contains(&theirs);
        if age > OLDEST || unknown && self.spent.saturating_sub(age / SHARE) < BURST {
            let begin = Instant::now();
            self.ours_by_theirs.extend(read());
            self.spent = self.spent.saturating_sub(age / SHARE) + begin.elapsed();
            self.read = Some(Instant::now());
            if !self.ours_by_theirs.contains_key(&theirs) && self.missing.len() < MOST_MISSING {
                self.missing.insert(theirs);
            }
        }
        self.ours_by_theirs.get(&theirs).copied().unwrap_or(0)
    }
}

/// Returns the process's id and ours of each of its threads.
fn numbers(pid: Pid) -> Vec<(u64, u64)> {
    let numbers = status::threads(pid).into_iter().filter_map(|tid| Status::of_thread(pid, tid).ok());
    // Numbers go from the outermost namespace that we see to the thread's own.
    let pairs = numbers.filter_map(|status| Some((*status.numbers.last()?, *status.numbers.first()?)));
    pairs.map(|(theirs, ours)| (theirs as u64, ours as u64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_new_is_looked_for_at_once_and_one_that_is_gone_is_not_again() {
        let mut known = Known::default();
        assert_eq!(known.ours(1, || vec![(1, 101)]), 101);
        assert_eq!(known.ours(1, || panic!("it is known")), 101);
        assert_eq!(known.ours(2, || vec![(1, 101), (2, 102)]), 102);
        assert_eq!(known.ours(3, Vec::new), 0);
        assert_eq!(known.ours(4, Vec::new), 0);
        assert_eq!(known.ours(3, || panic!("it was not there a moment ago")), 0);
        known.spent = 2 * BURST;
        assert_eq!(known.ours(5, || panic!("too much was read of late")), 0);
        known.read = known.read.and_then(|at| at.checked_sub(2 * OLDEST));
        assert_eq!(known.ours(3, || vec![(3, 103)]), 103);
    }

    #[test]
    fn in_our_own_namespace_both_are_the_same() {
        let tids = Tids::of(Pid::this());
        assert_eq!(tids.ours(4711), 4711);
        assert!(tids.is_alive(nix::unistd::gettid().as_raw() as u64) && !tids.is_alive(u64::MAX));
    }
}
