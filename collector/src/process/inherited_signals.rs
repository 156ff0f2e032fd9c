//! What signals did to us when we were started, which the program that we launch is to inherit.
//!
//! Rust's runtime ignores SIGPIPE before `main` (`std/src/sys/pal/unix/mod.rs`, `reset_sigpipe`), so that it is read
//! before that. So are faults of our own: where they have no handler yet, the runtime gives them one, and each thread a stack for it,
//! for want of which it ends us (`std/src/sys/pal/unix/stack_overflow.rs`, `make_handler`).

use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{SigHandler, Signal, signal};

/// What a recorder, and a program that it starts, need at first. A program stops for its tracer by SIGTRAP, once it is executed.
/// A write beyond RLIMIT_FSIZE is an error that it can report, instead of its end. Its children's
/// ends are told to it only if it does not ignore SIGCHLD (waitpid(2), "ECHILD").
const OURS: [(Signal, SigHandler); 4] = [
    TRAP,
    (Signal::SIGPIPE, SigHandler::SigIgn),
    (Signal::SIGXFSZ, SigHandler::SigIgn),
    (Signal::SIGCHLD, SigHandler::SigDfl),
];

const TRAP: (Signal, SigHandler) = (Signal::SIGTRAP, SigHandler::SigDfl);

/// The bits of signals in `OURS`, by their place there, that were ignored.
static IGNORED: AtomicU32 = AtomicU32::new(0);

/// Has signals do what a recorder needs.
pub(crate) fn take_over() {
    for (one, ours) in OURS {
        // SAFETY: neither of the two dispositions has a handler.
        let _ = unsafe { signal(one, ours) };
    }
}

/// Whether a signal of `OURS` was ignored when we were started.
fn was_ignored(index: usize) -> bool {
    IGNORED.load(Ordering::Relaxed) & 1 << index != 0
}

/// The same of SIGTRAP.
pub(crate) fn trap_was_ignored() -> bool {
    was_ignored(0)
}

/// Has signals do what they did when we were started; in a child that becomes a program. Async-signal-safe. Where that is
/// traced, SIGTRAP comes later ([`trap_was_ignored`]).
pub(super) fn restore(is_traced: bool) {
    for (index, (one, _)) in OURS.into_iter().enumerate().skip(usize::from(is_traced)) {
        let theirs = if was_ignored(index) { SigHandler::SigIgn } else { SigHandler::SigDfl };
        // SAFETY: neither of the two dispositions has a handler.
        let _ = unsafe { signal(one, theirs) };
    }
}

/// Signals of the C library's own: it gives them handlers with the first threads (nptl, `SIGCANCEL` and `SIGSETXID`), and its
/// `sigaction` refuses them.
const RESERVED: [libc::c_int; 2] = [32, 33];

/// The bits of signals in `RESERVED`, by their place there, that were ignored.
static RESERVED_IGNORED: AtomicU32 = AtomicU32::new(0);

/// The kernel's `struct sigaction` (asm/signal.h).
#[repr(C)]
struct KernelAction {
    handler: libc::sighandler_t,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// Reads what a signal does, and sets it if there is something new.
fn kernel_action(signal: libc::c_int, new: Option<&KernelAction>) -> KernelAction {
    let mut present = KernelAction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    let new = new.map_or(std::ptr::null(), |new| &raw const *new);
    // SAFETY: both are alive or null, and of the size that the kernel takes them for; no handler of ours is set.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, &raw mut present, size_of::<u64>()) };
    present
}

/// Has the C library's own signals do what they did when we were started. Our threads must have ended.
pub(super) fn restore_reserved() {
    for (index, signal) in RESERVED.into_iter().enumerate() {
        let was_ignored = RESERVED_IGNORED.load(Ordering::Relaxed) & 1 << index != 0;
        let handler = if was_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
        kernel_action(signal, Some(&KernelAction { handler, flags: 0, restorer: 0, mask: 0 }));
    }
}

/// Signals of faults.
const FAULTS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// What a signal does now.
fn disposition(signal: libc::c_int) -> libc::sighandler_t {
    // SAFETY: all zeroes are a valid sigaction, and without a new one the call only reads the present one.
    unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut present);
        present.sa_sigaction
    }
}

/// Ends us as it would have without a handler, whether the signal was sent or comes of a fault, which would happen again.
extern "C" fn as_by_default(signal: libc::c_int) {
    // SAFETY: both are async-signal-safe; the default disposition has no handler. What is raised is delivered on the way out.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

// SAFETY: the linker gathers pointers to functions of this kind in this section; the C library calls each once
// before main.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = {
    extern "C" fn note() {
        for (index, (one, _)) in OURS.into_iter().enumerate() {
            let is_ignored = disposition(one as libc::c_int) == libc::SIG_IGN;
            IGNORED.fetch_or(u32::from(is_ignored) << index, Ordering::Relaxed);
        }
        for (index, signal) in RESERVED.into_iter().enumerate() {
            let is_ignored = kernel_action(signal, None).handler == libc::SIG_IGN;
            RESERVED_IGNORED.fetch_or(u32::from(is_ignored) << index, Ordering::Relaxed);
        }
        for fault in FAULTS.into_iter().filter(|&fault| disposition(fault) == libc::SIG_DFL) {
            // SAFETY: the handler makes two async-signal-safe calls. What we execute does not inherit it (execve(2)).
            unsafe { libc::signal(fault, as_by_default as *const () as libc::sighandler_t) };
        }
    }
    note
};
