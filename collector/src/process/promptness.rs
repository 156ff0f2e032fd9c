//! Being on the processor soon when others stand still for us.

use nix::errno::Errno;

/// Asks the kernel for short turns on the processor for this thread, which then come soon: from Linux 6.12 on the time
/// slice of an ordinary thread is its own to choose (`sched_setattr(2)`, `sched_runtime`). It has no other effect, and
/// where it is not to be had, things only take longer.
pub(crate) fn take_short_turns() {
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

/// The shortest that the kernel allows, in nanoseconds.
const SLICE: u64 = 100_000;

/// What is set along with it, as it is.
fn nice() -> i32 {
    // SAFETY: a system call on numbers. An error, -1, is a niceness like any other.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}
