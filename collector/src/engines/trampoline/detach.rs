//! Leaving a program as it was: its own code back, and nothing of ours mapped.
//!
//! In three steps. The hooks are switched off and the code is put back; whoever is in a hook goes on. A little later nobody
//! is, and threads that are in C are made to return past the hooks. Then these and the tables are unmapped.

use std::time::Duration;

use cgoprof_hook::registration::{Registration, Replaced, Undo};
use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::registration::{self, Found};
use super::return_redirect::ReturnRedirect;
use super::thread_position::ThreadPosition;
use crate::clock::Moment;
use crate::process::exe_lock::Lock;
use crate::process::maps::{self, Mapping};
use crate::process::memory::Memory;
use crate::process::pause::Pause;
use crate::process::remote_syscall::{CodeCave, RemoteError};
use crate::process::seccomp::Call;
use crate::process::status;
use crate::process::stopped_process::{StopError, stop_all, stop_threads};
use crate::process::syscall_injection::{clear_cave, with_borrowed_thread};

/// Why a program could not be left as it was.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// Its threads.
    #[error(transparent)]
    Freeze(#[from] StopError),
    /// What is there is not ours.
    #[error("it was put there by another version of cgoprof; use that one's `cgoprof detach`")]
    Version,
    /// What is there makes no sense.
    #[error("what is written there about the hooks makes no sense: has the program overwritten it?")]
    Damaged,
    /// What the program has in place of the hooks' calls is neither.
    #[error("another tool has changed its code at {0:#x} meanwhile")]
    Changed(u64),
}

impl From<RemoteError> for UndoError {
    fn from(error: RemoteError) -> Self {
        UndoError::Freeze(error.into())
    }
}

/// How a program was left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Undone {
    /// Recorders' hooks that were in it.
    pub(crate) found: usize,
    /// How long it stood still.
    pub(crate) pause: Pause,
    /// When the last hooks were switched off; none if there were none.
    pub(crate) off: Option<Moment>,
    /// Hooks that had to stay mapped: a thread may return to them. Nothing else leads there.
    pub(crate) kept: usize,
}

impl Undone {
    /// Adds how another module's hooks were removed.
    pub(crate) fn add(&mut self, next: Undone) {
        self.found += next.found;
        self.pause = self.pause.max(next.pause);
        self.off = next.off.or(self.off);
        self.kept += next.kept;
    }
}

/// How often it is looked again for frames that must be there before the hooks are switched off without.
const LOOKS: u32 = 20;
/// Threads that are looked at together.
const AT_ONCE: usize = 32;
/// How often it is looked whether threads have left the hooks.
const ATTEMPTS: u32 = 200;
/// How long they are given at first; twice as long each time, up to the longest.
const BETWEEN: Duration = Duration::from_micros(500);
const LONGEST: Duration = Duration::from_millis(10);

/// Undoes all that recorders have in a process, living or not.
///
/// # Errors
/// See [`UndoError`]: then the rest is as it was.
pub(crate) fn undo_all(pid: Pid) -> Result<Undone, UndoError> {
    let _lock = Lock::of(pid);
    let undone = undo(pid, |_| true)?;
    close_files(pid)?;
    clear_cave(pid)?;
    Ok(undone)
}

/// Undoes all that we have in a process.
///
/// # Errors
/// See [`UndoError`].
pub(crate) fn undo_mine(pid: Pid) -> Result<Undone, UndoError> {
    let _lock = Lock::of(pid);
    undo_mine_locked(pid)
}

/// The same of a process that is locked.
pub(super) fn undo_mine_locked(pid: Pid) -> Result<Undone, UndoError> {
    undo(pid, |found| found.is_own(pid))
}

/// Undoes what recorders have left that live no more. The process must be locked.
pub(super) fn undo_dead(pid: Pid) -> Result<Undone, UndoError> {
    undo(pid, |found| found.recorder(pid).is_none())
}

/// Undoes what we have in a process with these tables; tries again what the system has refused.
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
                std::thread::sleep(LONGEST);
            }
            undone => return undone,
        }
    }
    undo_placed(pid, tables)
}

/// The same of a process that is locked.
pub(super) fn undo_placed(pid: Pid, tables: Avma) -> Result<Undone, UndoError> {
    undo(pid, |found| found.tables.start == tables && found.is_own(pid))
}

/// Removes what we have mapped into a process that is locked, where nothing leads to it.
pub(super) fn unmap_placed(pid: Pid, tables: Avma) -> Result<(), UndoError> {
    let all = registration::find(pid).map_err(RemoteError::from)?;
    for found in all.iter().filter(|found| found.tables.start == tables && found.is_own(pid)) {
        unmap(pid, found, &maps::read(pid).map_err(RemoteError::from)?)?;
    }
    Ok(())
}

/// Closes descriptors of tables that are not mapped.
pub(super) fn close_files(pid: Pid) -> Result<(), UndoError> {
    if !registration::has_files(pid) {
        return Ok(());
    }
    let cave = CodeCave::find(&maps::read(pid).map_err(RemoteError::from)?)?;
    let (done, _) = with_borrowed_thread(pid, cave, &[Call::of(libc::SYS_close)], registration::close_files)?;
    Ok(done?)
}

/// The recorders that are at work in a process.
///
/// # Errors
/// If its memory can't be read.
pub(crate) fn recorders(pid: Pid) -> Result<Vec<(Pid, String)>, UndoError> {
    let all = registration::find(pid).map_err(RemoteError::from)?;
    Ok(all.iter().filter_map(|found| found.recorder(pid)).collect())
}

fn undo(pid: Pid, chosen: impl Fn(&Found) -> bool) -> Result<Undone, UndoError> {
    let all = registration::find(pid).map_err(RemoteError::from)?;
    let mut undone = Undone::default();
    for found in all.iter().filter(|found| chosen(found)) {
        if found.other_version {
            return Err(UndoError::Version);
        }
        undone.found += 1;
        let mappings = maps::read(pid).map_err(RemoteError::from)?;
        let unreachable = match &found.undo {
            // Their recorder was killed before it had filled them: nothing leads to the hooks.
            None => true,
            Some((undo, replaced)) => {
                if !found.makes_sense(&mappings) {
                    return Err(UndoError::Damaged);
                }
                remove(pid, found, (undo, replaced), &mappings, &mut undone)?
            }
        };
        if unreachable {
            undone.pause = undone.pause.max(unmap(pid, found, &mappings)?);
        }
        undone.kept += usize::from(!unreachable);
    }
    Ok(undone)
}

/// Removes what nobody will use any more. Returns how long a thread stood still for it.
fn unmap(pid: Pid, found: &Found, mappings: &[Mapping]) -> Result<Pause, UndoError> {
    let hooks = if found.has_hooks(mappings) { found.presence.hooks } else { 0 };
    let cave = CodeCave::find(mappings)?;
    let (done, stood) =
        with_borrowed_thread(pid, cave, &[Call::of(libc::SYS_munmap), Call::of(libc::SYS_close)], |remote| {
            registration::unmap(remote, found.tables.start, &Registration { hooks, ..found.presence })?;
            registration::close_files(remote)
        })?;
    done?;
    Ok(stood)
}

/// Switches hooks off, puts the program's own code back, and waits until nobody is in them. Returns whether no thread
/// will return there.
fn remove(
    pid: Pid,
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
        let (done, pause) = stop_all(pid, |stopped| {
            let memory = stopped.memory();
            let were_on = memory.word(found.hooks().start).map_err(RemoteError::from)? != 0;
            let changed = still_changed(memory, replaced, were_on)?;
            // Who switches them off knows whether all frames are found, and says so first.
            let all_found = if were_on {
                returns.are_all_found(stopped, goroutine, undo.m_procid)
            } else {
                found.presence.kept == 0
            };
            if were_on && !all_found && !is_last {
                // A crossing is just being left by a panic.
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
            None => std::thread::sleep(BETWEEN),
        }
    };
    undone.off = Some(off);
    if !all_found {
        return Ok(false);
    }
    // Nobody comes to the hooks any more: each thread need be seen outside once, and those born since then not at all.
    let mut between = BETWEEN;
    for _ in 0..ATTEMPTS {
        std::thread::sleep(between);
        between = (between * 2).min(LONGEST);
        let mut still = Vec::new();
        for some in left.chunks(AT_ONCE) {
            let (outside, pause) = stop_threads(pid, some, |stopped| {
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

/// Takes the hooks' module out of the Go runtime's list, if it is there. It stays mapped: a traceback that was interrupted
/// may still use it.
fn unlink_module(memory: &Memory, undo: &Undo) -> std::io::Result<()> {
    let link = Avma(undo.module_link);
    if link.0 != 0 && memory.word(link)? == undo.module {
        let next = memory.word(Avma(undo.module_next))?;
        memory.write(link, &next.to_le_bytes())?;
    }
    Ok(())
}

/// What is still to be put back: all, unless whoever began to was killed. Where hooks are off, others' may have come.
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
