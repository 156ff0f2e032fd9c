//! What a write to a broken pipe did to us when we were started, which the program we launch is to inherit.
//!
//! Rust's runtime ignores SIGPIPE before `main` (`std/src/sys/pal/unix/mod.rs`, `reset_sigpipe`), so that it is read
//! before that.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::SigHandler;

static IGNORED: AtomicBool = AtomicBool::new(false);

/// The disposition of SIGPIPE that we inherited.
pub(super) fn inherited() -> SigHandler {
    if IGNORED.load(Ordering::Relaxed) { SigHandler::SigIgn } else { SigHandler::SigDfl }
}

// SAFETY: the linker gathers pointers to functions of this kind in this section; the C library calls each once
// before main.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = {
    extern "C" fn note() {
        // SAFETY: all zeroes are a valid sigaction, and without a new one the call only reads the present one.
        let ignored = unsafe {
            let mut present: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut present) == 0
                && present.sa_sigaction == libc::SIG_IGN
        };
        IGNORED.store(ignored, Ordering::Relaxed);
    }
    note
};
