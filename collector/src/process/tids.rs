//! Kernel thread ids of a process that lives in a PID namespace of its own: as it knows them, and as we do.

use std::collections::HashMap;
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
    read: Option<Instant>,
}

/// How old what is known may be: an id may be given to another thread.
const OLDEST: Duration = Duration::from_millis(100);

impl Tids {
    pub(crate) fn of(pid: Pid) -> Tids {
        let nested = Status::read(pid).is_ok_and(|status| status.numbers.len() > 1);
        Tids { pid, known: nested.then(Mutex::default) }
    }

    /// What we call a thread; 0 for one that has ended before we knew it.
    pub(crate) fn ours(&self, theirs: u64) -> u64 {
        let Some(known) = &self.known else { return theirs };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.read.is_none_or(|read| read.elapsed() > OLDEST) {
            let threads = status::threads(self.pid);
            let numbers = threads.into_iter().filter_map(|tid| Status::of_thread(self.pid, tid).ok());
            // From the outermost namespace that we see to its own.
            let pairs = numbers.filter_map(|status| Some((*status.numbers.last()?, *status.numbers.first()?)));
            known.ours_by_theirs.extend(pairs.map(|(theirs, ours)| (theirs as u64, ours as u64)));
            known.read = Some(Instant::now());
        }
        known.ours_by_theirs.get(&theirs).copied().unwrap_or(0)
    }

    /// Whether there is a thread that the process calls so.
    pub(crate) fn is_alive(&self, theirs: u64) -> bool {
        let (pid, tid) = (self.pid, self.ours(theirs));
        std::path::Path::new(&format!("/proc/{pid}/task/{tid}")).exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_our_own_namespace_both_are_the_same() {
        let tids = Tids::of(Pid::this());
        assert_eq!(tids.ours(4711), 4711);
        assert!(tids.is_alive(nix::unistd::gettid().as_raw() as u64) && !tids.is_alive(u64::MAX));
    }
}
