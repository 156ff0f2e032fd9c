//! Being on the processor soon: when others stand still for us, or before they have gone on.

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Asks the kernel for short turns on the processor for this thread, which then come soon: from Linux 6.12 on the time
/// slice of an ordinary thread is its own to choose (`sched_setattr(2)`, `sched_runtime`). It has no other effect, and
/// where it is not to be had, things only take longer.
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

/// Where a thread of ours runs: where something is at work, if it may. It is woken there at once and in place of that, while
/// a processor that sleeps takes tens of microseconds to wake, in a virtual machine.
pub(crate) struct CpuPin {
    /// The thread's processors as it found them.
    allowed: Option<CpuSet>,
    at: Option<usize>,
}

impl CpuPin {
    /// Of the thread that calls.
    pub(crate) fn here() -> CpuPin {
        CpuPin { allowed: sched_getaffinity(Pid::from_raw(0)).ok(), at: None }
    }

    /// Runs on one processor only, or with none on any.
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

/// The shortest that the kernel allows, in nanoseconds.
const SLICE: u64 = 100_000;

/// What is set along with it, as it is.
fn nice() -> i32 {
    // SAFETY: a system call on numbers. An error, -1, is a niceness like any other.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}
