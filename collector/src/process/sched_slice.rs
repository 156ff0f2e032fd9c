//! Lets our threads get a processor soon: while others stand still for us, or before those have moved on.

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Asks the kernel for a short time slice for this thread, which then gets a processor soon. From Linux 6.12 on, an
/// ordinary thread may choose its time slice (`sched_setattr(2)`, `sched_runtime`). This has no other effect. Where it
/// can't be had, things only take longer.
pub(crate) fn shorten_slice() {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: nice(),
        sched_priority: 0,
        sched_runtime: SLICE,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads the attributes, which are a valid struct of the size they state.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if let Err(error) = Errno::result(done) {
        tracing::debug!("no short turns: {error}");
    }
}

/// Pins a thread of ours to a processor that is at work, if it may run there. It is woken there at once, in place of
/// that work. In a virtual machine, a processor that sleeps takes tens of microseconds to wake.
pub(crate) struct CpuPin {
    /// The thread's processors before it was pinned.
    allowed: Option<CpuSet>,
    at: Option<usize>,
}

impl CpuPin {
    /// Returns the pin of the calling thread, which runs on any of its processors so far.
    pub(crate) fn here() -> CpuPin {
        CpuPin { allowed: sched_getaffinity(Pid::from_raw(0)).ok(), at: None }
    }

    /// Pins the thread to one processor; with none, to all that it had.
    pub(crate) fn go_to(&mut self, processor: Option<usize>) {
        let Some(allowed) = &self.allowed else { return };
        let processor = processor.filter(|&processor| allowed.is_set(processor).unwrap_or(false));
        if processor == self.at {
            return;
        }
        let mut only = CpuSet::new();
        let chosen = match processor {
            Some(processor) if only.set(processor).is_ok() => &only,
            _ => allowed,
        };
        if let Err(error) = sched_setaffinity(Pid::from_raw(0), chosen) {
            tracing::debug!("not moved to processor {processor:?}: {error}");
        }
        self.at = processor;
    }
}

/// Shortest time slice that the kernel allows, in nanoseconds.
const SLICE: u64 = 100_000;

/// Returns the thread's niceness, which is set unchanged along with the time slice.
fn nice() -> i32 {
    // SAFETY: a system call on numbers. An error, -1, is a niceness like any other.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}
