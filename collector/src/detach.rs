//! Removing by hand what recorders have put into a process.

use nix::unistd::Pid;

use crate::engines::trampoline::{self, UndoError};
use crate::process::pause::Pause;
use crate::process::proc_mount::{self, ForeignProc};
use crate::process::status::{self, Unfit};

/// Result of a detach.
#[derive(Debug)]
pub struct Detached {
    /// Number of recorders' hooks that were in the process.
    pub found: usize,
    /// Recorders that were at work there. They count nothing any more.
    pub recorders: Vec<(Pid, String)>,
    /// Longest stop of the process.
    pub pause: Pause,
    /// Number of hooks whose code had to stay mapped, because a thread may return to it from C. That code does nothing.
    pub kept: usize,
}

/// Why a process could not be detached from.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// `/proc` is missing or that of another PID namespace, so processes can't be told apart.
    #[error("cannot detach from process {0}: {1}")]
    Proc(Pid, ForeignProc),
    /// The process can't be detached from as it is.
    #[error("cannot detach from process {0}: {1}")]
    Unfit(Pid, Unfit),
    /// The hooks could not be removed.
    #[error("cannot detach from process {0}: {1}")]
    Undo(Pid, UndoError),
}

/// Restores a process's own code, and unmaps what recorders have mapped.
///
/// # Errors
/// See [`DetachError`]. The process is then as it was.
pub fn detach(pid: Pid) -> Result<Detached, DetachError> {
    proc_mount::check().map_err(|error| DetachError::Proc(pid, error))?;
    status::check(pid).map_err(|unfit| DetachError::Unfit(pid, unfit))?;
    let refused = |error| DetachError::Undo(pid, error);
    let recorders = trampoline::recorders(pid).map_err(refused)?;
    let undone = trampoline::undo_all(pid).map_err(refused)?;
    Ok(Detached { found: undone.found, recorders, pause: undone.pause, kept: undone.kept })
}
