//! The gates of the programs that are recorded: what they start waits there until it is followed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::Pid;

use crate::engines::Gate;
use crate::process::status::Status;

/// The gates of recorded programs.
pub(super) struct Gates {
    all: Mutex<Vec<Arc<Gate>>>,
    waker: Arc<EventFd>,
}

impl Gates {
    /// No gate yet.
    ///
    /// # Errors
    /// If the system refuses an eventfd.
    pub(super) fn new() -> nix::Result<Gates> {
        let waker = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Gates { all: Mutex::default(), waker: Arc::new(waker) })
    }

    /// Returns the eventfd that is written to when somebody waits at a gate.
    pub(super) fn waker(&self) -> &Arc<EventFd> {
        &self.waker
    }

    /// Adds the gate of a program.
    pub(super) fn add(&self, gate: Arc<Gate>) {
        gate.wake(self.waker.clone());
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(gate);
    }

    /// Whether a process is recorded or followed.
    pub(super) fn know(&self, pid: Pid) -> bool {
        let is_own = |tracer: Pid| Path::new(&format!("/proc/self/task/{tracer}")).exists();
        self.open().iter().any(|gate| gate.pid() == pid)
            || Status::read(pid).is_ok_and(|status| status.tracer.is_some_and(is_own))
    }

    /// Returns the gates that are open.
    pub(super) fn open(&self) -> Vec<Arc<Gate>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|gate| gate.is_open());
        all.clone()
    }
}
