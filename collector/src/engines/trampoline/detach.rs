//! Detaches from a program: its own code is put back, and nothing of the recorder's stays mapped.
//!
//! There are three steps. First the hooks are switched off and the code is put back; threads in a hook keep running. A
//! little later no thread is in a hook, and threads in C are made to return past the hooks. Then hooks and tables are
//! unmapped.

use std::time::Duration;

use cgoprof_hook::registration::{Registration, Replaced, Undo};
use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::registration::{self, Found};
use super::return_redirect::ReturnRedirect;
use super::thread_position::ThreadPosition;
use crate::clock::Moment;
use crate::process::exe_lock::Lock;
use crate::process::execution::Execution;
use crate::process::maps::{self, Mapping};
use crate::process::memory::Memory;
use crate::process::pause::Pause;
use crate::process::remote_syscall::{CodeCave, RemoteError};
use crate::process::seccomp::Call;
use crate::process::status;
use crate::process::stopped_process::{StopError, stop_all, stop_threads};
use crate::process::syscall_injection::{clear_cave, with_borrowed_thread};

/// Reason why hooks could not be removed from a program.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// Its threads could not be stopped, or a call in it failed.
    #[error(transparent)]
    Freeze(#[from] StopError),
    /// The hooks are those of another version.
    #[error("it was put there by another version of cgoprof; use that one's `cgoprof detach`")]
    Version,
    /// The registration or its undo list makes no sense.
    #[error("what is written there about the hooks makes no sense: has the program overwritten it?")]
    Damaged,
    /// The code at this address is neither the program's own nor the hooked one.
    #[error("another tool has changed its code at {0:#x} meanwhile")]
    Changed(u64),
}

impl From<RemoteError> for UndoError {
    fn from(error: RemoteError) -> Self {
        UndoError::Freeze(error.into())
    }
}

/// Result of removing hooks from a program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Undone {
    /// Number of registrations that were found in it.
    pub(crate) found: usize,
    /// How long it was stopped.
    pub(crate) pause: Pause,
    /// When the last hooks were switched off; none if there were none.
    pub(crate) off: Option<Moment>,
    /// Number of those whose hooks had to stay mapped: a thread may return to them. Nothing else leads there.
    pub(crate) kept: usize,
}

impl Undone {
    /// Adds the result of removing another module's hooks.
    pub(crate) fn add(&mut self, next: Undone) {
        self.found += next.found;
        self.pause = self.pause.max(next.pause);
        self.off = next.off.or(self.off);
        self.kept += next.kept;
    }
}

/// Number of attempts to find all frames that must be there. The last switches the hooks off without them.
const LOOKS: u32 = 20;
/// Number of threads that are stopped and looked at together.
const AT_ONCE: usize = 32;
/// Maximum number of checks whether all threads have left the hooks.
const ATTEMPTS: u32 = 200;
/// Time before the first check. It doubles with each check, up to `LONGEST_WAIT`.
const FIRST_WAIT: Duration = Duration::from_micros(500);
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// Removes the hooks and tables of all recorders, living or dead, from a process.
///
/// # Errors
/// See [`UndoError`]. Hooks that are not removed yet then stay as they were.
pub(crate) fn undo_all(pid: Pid) -> Result<Undone, UndoError> {
    let _lock = Lock::of(pid);
    let undone = undo(pid, |_| true)?;
    close_files(pid)?;
    clear_cave(pid)?;
    Ok(undone)
}

/// Removes all hooks and tables of this recorder from a process.
///
/// # Errors
/// See [`UndoError`].
pub(crate) fn undo_mine(pid: Pid) -> Result<Undone, UndoError> {
    let _lock = Lock::of(pid);
    undo_mine_locked(pid)
}

/// Does the same as [`undo_mine`] in a process that is locked.
pub(super) fn undo_mine_locked(pid: Pid) -> Result<Undone, UndoError> {
    undo(pid, |found| found.is_own(pid))
}

/// Removes the hooks and tables that dead recorders have left. The process must be locked.
pub(super) fn undo_dead(pid: Pid) -> Result<Undone, UndoError> {
    undo(pid, |found| found.recorder(pid).is_none())
}

/// Removes this recorder's hooks with these tables from a process. Tries again after a failure while the process lives.
///
/// # Errors
/// See [`UndoError`].
pub(crate) fn undo_own(pid: Pid, tables: Avma) -> Result<Undone, UndoError> {
    const ATTEMPTS: u32 = 3;
    let _lock = Lock::of(pid);
    for _ in 1..ATTEMPTS {
        match undo_placed(pid, tables) {
            Err(error) if status::living_thread(pid).is_some() => {
                tracing::debug!("not left yet: {error}");
                std::thread::sleep(LONGEST_WAIT);
            }
            undone => return undone,
        }
    }
    undo_placed(pid, tables)
}

/// Does the same as [`undo_own`] in a process that is locked, with one attempt.
pub(super) fn undo_placed(pid: Pid, tables: Avma) -> Result<Undone, UndoError> {
    undo(pid, |found| found.tables.start == tables && found.is_own(pid))
}

/// Unmaps this recorder's hooks and tables from a process that is locked. Nothing may lead to the hooks.
pub(super) fn unmap_placed(pid: Pid, tables: Avma) -> Result<(), UndoError> {
    let execution = Execution::of(pid);
    let all = registration::find(pid).map_err(RemoteError::from)?;
    for found in all.iter().filter(|found| found.tables.start == tables && found.is_own(pid)) {
        unmap(execution, found, &maps::read(pid).map_err(RemoteError::from)?)?;
    }
    Ok(())
}

/// Closes descriptors of tables that are open in the program.
pub(super) fn close_files(pid: Pid) -> Result<(), UndoError> {
    if !registration::has_files(pid) {
        return Ok(());
    }
    let execution = Execution::of(pid);
    let cave = CodeCave::find(&maps::read(pid).map_err(RemoteError::from)?)?;
    let (done, _) = with_borrowed_thread(execution, cave, &[Call::of(libc::SYS_close)], registration::close_files)?;
    Ok(done?)
}

/// Returns the recorders that are at work in a process, with their names.
///
/// # Errors
/// If its memory can't be read.
pub(crate) fn recorders(pid: Pid) -> Result<Vec<(Pid, String)>, UndoError> {
    let all = registration::find(pid).map_err(RemoteError::from)?;
    Ok(all.iter().filter_map(|found| found.recorder(pid)).collect())
}

fn undo(pid: Pid, chosen: impl Fn(&Found) -> bool) -> Result<Undone, UndoError> {
    let execution = Execution::of(pid);
    let all = registration::find(pid).map_err(RemoteError::from)?;
    let mut undone = Undone::default();
    for found in all.iter().filter(|found| chosen(found)) {
        if found.other_version {
            return Err(UndoError::Version);
        }
        undone.found += 1;
        let mappings = maps::read(pid).map_err(RemoteError::from)?;
        let unreachable = match &found.undo {
            // The recorder was killed before it wrote the undo list, so nothing leads to the hooks.
            None => true,
            Some((undo, replaced)) => {
                if !found.makes_sense(&mappings) {
                    return Err(UndoError::Damaged);
                }
                remove(execution, found, (undo, replaced), &mappings, &mut undone)?
            }
        };
        if unreachable {
            undone.pause = undone.pause.max(unmap(execution, found, &mappings)?);
        }
        undone.kept += usize::from(!unreachable);
    }
    Ok(undone)
}

/// Unmaps hooks and tables that no thread will use any more. Returns how long a thread was stopped for it.
fn unmap(execution: Execution, found: &Found, mappings: &[Mapping]) -> Result<Pause, UndoError> {
    let hooks = if found.has_hooks(mappings) { found.presence.hooks } else { 0 };
    let cave = CodeCave::find(mappings)?;
    let (done, stood) =
        with_borrowed_thread(execution, cave, &[Call::of(libc::SYS_munmap), Call::of(libc::SYS_close)], |remote| {
            registration::unmap(remote, found.tables.start, &Registration { hooks, ..found.presence })?;
            registration::close_files(remote)
        })?;
    done?;
    Ok(stood)
}

/// Switches the hooks off, puts the program's own code back, and waits until no thread is in the hooks. Returns whether
/// no thread will return to them.
fn remove(
    execution: Execution,
    found: &Found,
    (undo, replaced): (&Undo, &[Replaced]),
    mappings: &[Mapping],
    undone: &mut Undone,
) -> Result<bool, UndoError> {
    let (returns, goroutine) = (ReturnRedirect::new(found, undo, mappings), undo.goroutine as i64 as i32);
    let mut looks = 0;
    let (off, all_found, mut left) = loop {
        looks += 1;
        let is_last = looks == LOOKS;
        let (done, pause) = stop_all(execution, |stopped| {
            let memory = stopped.memory();
            let were_on = memory.word(found.hooks().start).map_err(RemoteError::from)? != 0;
            let changed = still_changed(memory, replaced, were_on)?;
            // Only the recorder that switches the hooks off knows whether all frames are found. It notes that first.
            let all_found = if were_on {
                returns.are_all_found(stopped, goroutine, undo.m_procid)
            } else {
                found.presence.kept == 0
            };
            if were_on && !all_found && !is_last {
                // A panic is leaving a crossing at this moment.
                return Ok(None);
            }
            if !all_found {
                memory.write(found.kept_at(), &1u64.to_le_bytes()).map_err(RemoteError::from)?;
            }
            let off = Moment::now();
            memory.write(found.hooks().start, &[0; 8]).map_err(RemoteError::from)?;
            for one in changed {
                memory.write(Avma(one.at), &one.original[..one.length as usize]).map_err(RemoteError::from)?;
            }
            unlink_module(memory, undo).map_err(RemoteError::from)?;
            Ok::<_, UndoError>(Some((off, all_found, stopped.tids())))
        })?;
        undone.pause = undone.pause.max(pause);
        match done {
            Some(done) => break done,
            None => std::thread::sleep(FIRST_WAIT),
        }
    };
    undone.off = Some(off);
    if !all_found {
        return Ok(false);
    }
    // No thread enters the hooks any more. So each thread must be seen outside once, and newer threads not at all.
    let mut between = FIRST_WAIT;
    for _ in 0..ATTEMPTS {
        std::thread::sleep(between);
        between = (between * 2).min(LONGEST_WAIT);
        let mut still = Vec::new();
        for some in left.chunks(AT_ONCE) {
            let (outside, pause) = stop_threads(execution, some, |stopped| {
                let positions = ThreadPosition::all(stopped.registers(), stopped.memory(), goroutine, undo.m_procid);
                let Some(places) = returns.look(stopped, &positions) else { return Ok(None) };
                Ok::<_, UndoError>(Some(returns.redirect(&places, stopped.memory())?))
            })?;
            undone.pause = undone.pause.max(pause);
            match outside {
                Some(true) => {}
                Some(false) => return Ok(false),
                None => still.extend_from_slice(some),
            }
        }
        if still.is_empty() {
            return Ok(true);
        }
        left = still;
    }
    Ok(false)
}

/// Removes the hooks' module from the Go runtime's list, if it is there. The module stays mapped, because an
/// interrupted traceback may still use it.
fn unlink_module(memory: &Memory, undo: &Undo) -> std::io::Result<()> {
    let link = Avma(undo.module_link);
    if link.0 != 0 && memory.word(link)? == undo.module {
        let next = memory.word(Avma(undo.module_next))?;
        memory.write(link, &next.to_le_bytes())?;
    }
    Ok(())
}

/// Returns the code that is still to be put back. That is all of it, unless a recorder was killed while it put code
/// back. If the hooks are off, another recorder's may have taken their place.
fn still_changed<'a>(memory: &Memory, replaced: &'a [Replaced], on: bool) -> Result<Vec<&'a Replaced>, UndoError> {
    let mut changed = Vec::new();
    for one in replaced {
        let length = one.length as usize;
        let now = memory.read(Avma(one.at), length).map_err(RemoteError::from)?;
        if now == one.hooked[..length] {
            changed.push(one);
        } else if now != one.original[..length] && on {
            return Err(UndoError::Changed(one.at));
        }
    }
    Ok(changed)
}
