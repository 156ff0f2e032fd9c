//! The gates of the programs that are recorded: what they start waits there until it is followed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::Pid;

use crate::engines::Gate;
use crate::process::status::{self, Status};

/// The gates of recorded programs.
pub(super) struct Gates {
    /// None once nobody sees to them any more.
    all: Mutex<Option<Vec<Arc<Gate>>>>,
    waker: Arc<EventFd>,
    finish: AtomicBool,
}

/// Closes all gates when it is dropped.
pub(super) struct ClosesGates(pub(super) Arc<Gates>);

impl Drop for ClosesGates {
    fn drop(&mut self) {
        let all = self.0.lock().take();
        all.into_iter().flatten().for_each(|gate| gate.close());
    }
}

impl Gates {
    /// No gate yet.
    ///
    /// # Errors
    /// If the system refuses an eventfd.
    pub(super) fn new() -> nix::Result<Gates> {
        let waker = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Gates { all: Mutex::new(Some(Vec::new())), waker: Arc::new(waker), finish: AtomicBool::new(false) })
    }

    /// Orders all recordings to finish.
    pub(super) fn finish(&self) {
        self.finish.store(true, Ordering::Release);
        self.wake();
    }

    /// Returns the order to finish.
    pub(super) fn order(&self) -> &AtomicBool {
        &self.finish
    }

    /// Wakes the follower.
    pub(super) fn wake(&self) {
        let _ = self.waker.write(1);
    }

    /// Returns the eventfd that is written to when somebody waits at a gate.
    pub(super) fn waker(&self) -> &Arc<EventFd> {
        &self.waker
    }

    /// Adds the gate of a program.
    pub(super) fn add(&self, gate: Arc<Gate>) {
        gate.wake(self.waker.clone());
        match &mut *self.lock() {
            Some(all) => all.push(gate),
            None => gate.close(),
        }
    }

    /// Whether a process is recorded or followed.
    pub(super) fn know(&self, pid: Pid) -> bool {
        self.open().iter().any(|gate| gate.pid() == pid)
            || Status::read(pid).is_ok_and(|status| status.tracer.is_some_and(status::is_own_thread))
    }

    /// Returns the gates that are open.
    pub(super) fn open(&self) -> Vec<Arc<Gate>> {
        let mut all = self.lock();
        let Some(all) = &mut *all else { return Vec::new() };
        all.retain(|gate| gate.is_open());
        all.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Arc<Gate>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
