//! Processors that a program can use, and whether they are enough.

use cgoprof_profile::Parallelism;
use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use crate::correlate::offcpu::Runnable;
use crate::goruntime::Target;
use crate::process::{memory, processor_limits};

/// What is looked at while a program runs.
#[derive(Debug)]
pub(super) struct ParallelismWatch {
    pid: Pid,
    /// Of `runtime.gomaxprocs` (runtime/runtime2.go); none in a stripped program.
    gomaxprocs: Option<Avma>,
    found: Parallelism,
}

impl ParallelismWatch {
    pub(super) fn of(pid: Pid, target: &Target<'_>, bias: u64) -> ParallelismWatch {
        let gomaxprocs = target.binary.variable("runtime.gomaxprocs").map(|address| address.loaded(bias));
        let found = Parallelism {
            processors: processor_limits::allowed(pid),
            quota: processor_limits::quota_of(pid),
            ..Parallelism::default()
        };
        ParallelismWatch { pid, gomaxprocs, found }
    }

    /// Looks at what the program changes while it runs: the runtime sets GOMAXPROCS when it starts, and from Go 1.25 on when
    /// a quota changes.
    pub(super) fn look(&mut self) {
        let number = self.gomaxprocs.and_then(|address| memory::word(self.pid, address)).map(|word| word as u32);
        self.found.gomaxprocs = number.filter(|&number| number > 0).or(self.found.gomaxprocs);
    }

    /// Returns what was found so far, of threads that ran and could have run for so long.
    pub(super) fn so_far(&self, runnable: Option<Runnable>) -> Parallelism {
        Parallelism {
            ran_ns: runnable.map(|runnable| runnable.ran),
            preempted_ns: runnable.map(|runnable| runnable.preempted),
            ..self.found
        }
    }
}
