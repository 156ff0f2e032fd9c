//! Signal dispositions with which we were started. The program that we launch inherits them.
//!
//! Rust's runtime ignores SIGPIPE before `main` (`std/src/sys/pal/unix/mod.rs`, `reset_sigpipe`), so dispositions are
//! read before that. Our handlers of faults are set before that too. Where a fault has no handler yet, the runtime sets
//! one, and gives each thread a stack for it. If it can't have that stack, it ends us
//! (`std/src/sys/pal/unix/stack_overflow.rs`, `make_handler`).

use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{SigHandler, Signal, signal};

/// Dispositions that a recorder, and a program that it starts, need at first. SIGTRAP stops a program for its tracer
/// once it is executed. With SIGXFSZ ignored, a write beyond RLIMIT_FSIZE is an error that the recorder can report,
/// instead of its end. It is told of its children's ends only if it does not ignore SIGCHLD (waitpid(2), "ECHILD").
const OURS: [(Signal, SigHandler); 4] = [
    TRAP,
    (Signal::SIGPIPE, SigHandler::SigIgn),
    (Signal::SIGXFSZ, SigHandler::SigIgn),
    (Signal::SIGCHLD, SigHandler::SigDfl),
];

const TRAP: (Signal, SigHandler) = (Signal::SIGTRAP, SigHandler::SigDfl);

/// Bits of the signals in `OURS` that were ignored, by their place there.
static IGNORED: AtomicU32 = AtomicU32::new(0);

/// Sets the dispositions that a recorder needs.
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

/// Whether SIGTRAP was ignored when we were started.
pub(crate) fn trap_was_ignored() -> bool {
    was_ignored(0)
}

/// Restores the dispositions with which we were started, in a process that becomes a program. Async-signal-safe. If it
/// is traced, SIGTRAP is restored later ([`trap_was_ignored`]).
pub(super) fn restore(is_traced: bool) {
    for (index, (one, _)) in OURS.into_iter().enumerate().skip(usize::from(is_traced)) {
        let theirs = if was_ignored(index) { SigHandler::SigIgn } else { SigHandler::SigDfl };
        // SAFETY: neither of the two dispositions has a handler.
        let _ = unsafe { signal(one, theirs) };
    }
}

/// Signals that the C library reserves for itself. It sets their handlers with the first threads (nptl, `SIGCANCEL` and
/// `SIGSETXID`), and its `sigaction` refuses them.
const RESERVED: [libc::c_int; 2] = [32, 33];

/// Bits of the signals in `RESERVED` that were ignored, by their place there.
static RESERVED_IGNORED: AtomicU32 = AtomicU32::new(0);

/// The kernel's `struct sigaction` (asm/signal.h).
#[repr(C)]
struct KernelAction {
    handler: libc::sighandler_t,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// Returns a signal's disposition, and sets the new one, if any.
fn kernel_action(signal: libc::c_int, new: Option<&KernelAction>) -> KernelAction {
    let mut present = KernelAction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    let new = new.map_or(std::ptr::null(), |new| &raw const *new);
    // SAFETY: both pointers are valid or null, and the structs have the kernel's size; no handler of ours is set.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, &raw mut present, size_of::<u64>()) };
    present
}

/// Restores the dispositions of the C library's reserved signals, in a process without other threads. Async-signal-safe.
pub(super) fn restore_reserved() {
    for (index, signal) in RESERVED.into_iter().enumerate() {
        let was_ignored = RESERVED_IGNORED.load(Ordering::Relaxed) & 1 << index != 0;
        let handler = if was_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
        kernel_action(signal, Some(&KernelAction { handler, flags: 0, restorer: 0, mask: 0 }));
    }
}

/// Signals of faults.
const FAULTS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Returns the present disposition of a signal.
fn disposition(signal: libc::c_int) -> libc::sighandler_t {
    // SAFETY: all zeroes are a valid sigaction, and without a new one the call only reads the present one.
    unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut present);
        present.sa_sigaction
    }
}

/// Ends us as the default disposition would. A fault would happen again, but a signal that was sent would not, so it is
/// raised.
extern "C" fn as_by_default(signal: libc::c_int) {
    // SAFETY: both are async-signal-safe; the default disposition has no handler. The raised signal is delivered on
    // return.
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
            // SAFETY: the handler makes two async-signal-safe calls. A program that we execute does not inherit it
            // (execve(2)).
            unsafe { libc::signal(fault, as_by_default as *const () as libc::sighandler_t) };
        }
    }
    note
};
