//! The program's threads: when each came, its name, and when it went.

use std::collections::BTreeMap;

use nix::unistd::Pid;

use crate::clock::Monotonic;
use crate::process::proc_text;

/// Maximum threads that have ended and are kept.
const MOST: usize = 10_000;

/// All threads that were seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads {
    living: BTreeMap<u64, Life>,
    ended: Vec<(u64, Life)>,
    /// Number of threads that ended when enough were kept.
    forgotten: u64,
}

#[derive(Clone, Debug, Default)]
struct Life {
    name: String,
    /// `m.id` of the M that it was.
    m: Option<u64>,
    /// The thread that started it.
    parent: Option<u64>,
    /// None if it was there before the recorder.
    started: Option<Monotonic>,
    ended: Option<Monotonic>,
}

impl Threads {
    /// Lists the threads that a process has now.
    pub(crate) fn of(pid: Pid) -> Threads {
        let mut threads = Threads::default();
        for entry in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            if let Some(tid) = entry.file_name().to_str().and_then(|tid| tid.parse().ok()) {
                let name = proc_text::read(entry.path().join("comm")).unwrap_or_default();
                threads.name(tid, name.trim_end().to_owned());
            }
        }
        threads
    }

    /// Notes that a thread was started by another, whose name it has until it gets its own.
    pub(crate) fn start(&mut self, tid: u64, parent: u64, time: Monotonic) {
        let name = self.living.get(&parent).map(|life| life.name.clone()).unwrap_or_default();
        self.living.insert(tid, Life { name, parent: Some(parent), started: Some(time), ..Life::default() });
    }

    /// Notes the name that a thread has now.
    pub(crate) fn name(&mut self, tid: u64, name: String) {
        self.living.entry(tid).or_default().name = name;
    }

    /// Notes that a thread has ended. `m` is its M.
    pub(crate) fn end(&mut self, tid: u64, m: Option<u64>, time: Monotonic) {
        let Some(life) = self.living.remove(&tid) else { return };
        if self.ended.len() < MOST {
            self.ended.push((tid, Life { ended: Some(time), m, ..life }));
        } else {
            self.forgotten += 1;
        }
    }

    /// Number of threads that came and went and are not in the list.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Returns the threads that lived at a time.
    pub(crate) fn living_at(&self, time: Monotonic) -> impl Iterator<Item = u64> {
        let living = self.living.iter().filter(move |(_, life)| life.started.is_none_or(|started| started <= time));
        // The last in the list ended last.
        let ended = self.ended.iter().rev().take_while(move |(_, life)| life.ended.is_some_and(|ended| ended > time));
        let ended = ended.filter(move |(_, life)| life.started.is_none_or(|started| started <= time));
        living.map(|(&tid, _)| tid).chain(ended.map(|&(tid, _)| tid))
    }

    /// Returns all threads, by their number and then by when they came. `m` tells which M a living one is.
    pub(crate) fn list(&self, m: impl Fn(u64) -> Option<u64>) -> Vec<cgoprof_profile::Thread> {
        let all =
            self.ended.iter().map(|(tid, life)| (*tid, life)).chain(self.living.iter().map(|(&tid, life)| (tid, life)));
        let mut threads: Vec<_> = all
            .map(|(tid, life)| cgoprof_profile::Thread {
                tid,
                m: if life.ended.is_some() { life.m } else { m(tid) },
                name: life.name.clone(),
                created_ns: life.started.map(|time| time.0),
                exited_ns: life.ended.map(|time| time.0),
                parent: life.parent,
                ..cgoprof_profile::Thread::default()
            })
            .collect();
        threads.sort_by_key(|thread| (thread.tid, thread.created_ns));
        threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_comes_is_named_and_goes_and_its_number_is_given_to_another() {
        let mut threads = Threads::default();
        threads.name(1, "main".into());
        threads.start(2, 1, Monotonic(10));
        threads.end(2, Some(7), Monotonic(20));
        threads.start(2, 1, Monotonic(30));
        threads.name(2, "two".into());
        threads.end(9, None, Monotonic(40));
        let list = threads.list(|tid| Some(tid + 100));
        let shown: Vec<_> = list
            .iter()
            .map(|thread| (thread.tid, thread.name.as_str(), thread.m, thread.created_ns, thread.exited_ns))
            .collect();
        let expected = [
            (1, "main", Some(101), None, None),
            (2, "main", Some(7), Some(10), Some(20)),
            (2, "two", Some(102), Some(30), None),
        ];
        assert_eq!(shown, expected);
    }
}
