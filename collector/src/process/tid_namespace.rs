//! Kernel thread ids of a process that lives in a PID namespace of its own: as it knows them, and as we do.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::status::{self, Status};

/// The threads of a process.
pub(crate) struct Tids {
    pid: Pid,
    /// None where both are the same.
    known: Option<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    ours_by_theirs: HashMap<u64, u64>,
    /// What was asked for, and was not there when all were read for that.
    missing: HashSet<u64>,
    /// When all were read last.
    read: Option<Instant>,
    /// How long reading took of late, less what that may take.
    spent: Duration,
}

/// How old what is known may be: an id may be given to another thread.
const OLDEST: Duration = Duration::from_millis(100);

/// Of all time, one part in so many may be spent reading for ids that are unknown,
const SHARE: u32 = 10;
/// and so much at once.
const BURST: Duration = Duration::from_millis(20);
/// Ids that are remembered as missing: in the program's memory anything may stand in place of one.
const MOST_MISSING: usize = 1 << 16;

impl Tids {
    pub(crate) fn of(pid: Pid) -> Tids {
        let nested = Status::read(pid).is_ok_and(|status| status.numbers.len() > 1);
        Tids { pid, known: nested.then(Mutex::default) }
    }

    /// What we call a thread; 0 for one that has ended before we knew it.
    pub(crate) fn ours(&self, theirs: u64) -> u64 {
        let Some(known) = &self.known else { return theirs };
        known.lock().unwrap_or_else(PoisonError::into_inner).ours(theirs, || numbers(self.pid))
    }

    /// Whether there is a thread that the process calls so.
    pub(crate) fn is_alive(&self, theirs: u64) -> bool {
        let (pid, tid) = (self.pid, self.ours(theirs));
        std::path::Path::new(&format!("/proc/{pid}/task/{tid}")).exists()
    }
}

impl Known {
    /// What we call a thread. `read` tells of all threads how they are called, and what we call them.
    fn ours(&mut self, theirs: u64, read: impl FnOnce() -> Vec<(u64, u64)>) -> u64 {
        let age = self.read.map_or(Duration::MAX, |at| at.elapsed());
        // One that nobody has asked for may be new.
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

/// What a process calls its threads, and what we do.
fn numbers(pid: Pid) -> Vec<(u64, u64)> {
    let numbers = status::threads(pid).into_iter().filter_map(|tid| Status::of_thread(pid, tid).ok());
    // From the outermost namespace that we see to its own.
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
