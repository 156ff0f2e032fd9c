//! Taking out of a process by hand what recorders have put into it.

use nix::unistd::Pid;

use crate::engines::trampoline::{self, UndoError};
use crate::process::pause::Pause;
use crate::process::proc_mount::{self, ForeignProc};
use crate::process::status::{self, Unfit};

/// How a process was left.
#[derive(Debug)]
pub struct Detached {
    /// Recorders' hooks that were in it.
    pub found: usize,
    /// Recorders that were at work there: they count nothing any more.
    pub recorders: Vec<(Pid, String)>,
    /// How long it stood still at most.
    pub pause: Pause,
    /// Hooks whose code had to stay mapped, because a thread may return to it from C. It does nothing.
    pub kept: usize,
}

/// Why that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// Processes can't be told apart.
    #[error("cannot detach from process {0}: {1}")]
    Proc(Pid, ForeignProc),
    /// Not that process.
    #[error("cannot detach from process {0}: {1}")]
    Unfit(Pid, Unfit),
    /// Not now.
    #[error("cannot detach from process {0}: {1}")]
    Undo(Pid, UndoError),
}

/// Puts a process's own code back and unmaps what is not its own.
///
/// # Errors
/// See [`DetachError`]: then it is as it was.
pub fn detach(pid: Pid) -> Result<Detached, DetachError> {
    proc_mount::check().map_err(|error| DetachError::Proc(pid, error))?;
    status::check(pid).map_err(|unfit| DetachError::Unfit(pid, unfit))?;
    let refused = |error| DetachError::Undo(pid, error);
    let recorders = trampoline::recorders(pid).map_err(refused)?;
    let undone = trampoline::undo_all(pid).map_err(refused)?;
    Ok(Detached { found: undone.found, recorders, pause: undone.pause, kept: undone.kept })
}
