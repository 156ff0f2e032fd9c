//! Leaving a program as it was: its own code back, and nothing of ours mapped.
//!
//! In two steps. First the hooks are switched off and the code is put back; whoever is in a hook goes on. A little later
//! nobody is. But threads may be in C for as long as they like, and return from there to a hook: their return addresses
//! are changed to code of the program's own that does what the hook would do by then, `add rsp, 24; ret`.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use cgoprof_hook::layout::{
    Header, IN_FLIGHT, InFlight, Presence, Replaced, THREAD_STRIDE, THREADS, THREADS_OFFSET, Thread, Undo,
};
use cgoprof_hook::params::holes;
use cgoprof_symbols::Avma;
use memchr::memmem;
use nix::unistd::Pid;

use super::presence::{self, Found};
use super::standing::{Standing, system_stacks};
use crate::clock::Moment;
use crate::process::frozen::{FreezeError, freeze, with_one_thread};
use crate::process::maps::{self, Mapping};
use crate::process::memory::{self, Memory};
use crate::process::remote::{RemoteError, Room};

/// Why a program could not be left as it was.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// Its threads.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// What is there is not ours.
    #[error("it was put there by another version of cgoprof; use that one's `cgoprof detach`")]
    Version,
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
    /// Longest time that it stood still.
    pub(crate) pause: Duration,
    /// When the last hooks were switched off; none if there were none.
    pub(crate) off: Option<Moment>,
    /// Hooks that had to stay mapped: a thread may return to them. Nothing else leads there.
    pub(crate) kept: usize,
}

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
    let all = presence::find(pid).map_err(RemoteError::from)?;
    if all.iter().any(|found| found.other_version) {
        return Err(UndoError::Version);
    }
    let mut undone = Undone { found: all.len(), ..Undone::default() };
    for found in all {
        let mappings = maps::read(pid).map_err(RemoteError::from)?;
        let unreachable = match &found.undo {
            // Their recorder was killed before it had filled them: nothing leads to the hooks.
            None => true,
            Some((undo, replaced)) => remove(pid, &found, (undo, replaced), &mappings, &mut undone)?,
        };
        if unreachable {
            unmap(pid, &found, &mappings)?;
        }
        undone.kept += usize::from(!unreachable);
    }
    Ok(undone)
}

/// The recorders that are at work in a process.
///
/// # Errors
/// If its memory can't be read.
pub(crate) fn recorders(pid: Pid) -> Result<Vec<(Pid, String)>, UndoError> {
    let all = presence::find(pid).map_err(RemoteError::from)?;
    Ok(all.iter().filter_map(|found| found.recorder(pid)).collect())
}

/// Removes what nobody will use any more.
fn unmap(pid: Pid, found: &Found, mappings: &[Mapping]) -> Result<(), UndoError> {
    let hooks = if found.has_hooks(mappings) { found.presence.hooks } else { 0 };
    let room = Room::find(mappings)?;
    Ok(with_one_thread(pid, room, |remote| {
        presence::unmap(remote, found.tables.start, &Presence { hooks, ..found.presence });
        presence::close_files(remote);
    })?)
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
    let returns = Returns {
        hooks: found.hooks(),
        go: undo.go_start..undo.go_end,
        way_out: way_out(mappings, undo.go_start..undo.go_end),
        pid,
    };
    let goroutine = undo.goroutine as i64 as i32;
    let ((off, mut all_found), pause) = freeze(pid, |frozen| {
        let memory = frozen.memory();
        let (changed, off) = (still_changed(memory, replaced)?, Moment::now());
        memory.write(found.hooks().start, &[0; 8]).map_err(RemoteError::from)?;
        for one in changed {
            memory.write(Avma(one.at), &one.original[..one.length as usize]).map_err(RemoteError::from)?;
        }
        let certain = in_callbacks(pid, found);
        let mut all_found = true;
        let standing = Standing::all(frozen, goroutine, undo.m_procid);
        for (one, count) in standing.iter().zip(returns.redirect(&standing, memory)?) {
            all_found &= count >= certain.get(&one.m).copied().unwrap_or(0);
        }
        Ok::<_, UndoError>((off, all_found))
    })?;
    undone.off = Some(off);
    undone.pause = undone.pause.max(pause);

    let mut between = BETWEEN;
    for _ in 0..ATTEMPTS {
        std::thread::sleep(between);
        between = (between * 2).min(LONGEST);
        let (busy, pause) = freeze(pid, |frozen| {
            let standing = Standing::all(frozen, goroutine, undo.m_procid);
            let busy = frozen.registers().any(|registers| returns.hooks.contains(&Avma(registers.rip)))
                || standing.iter().any(|one| returns.is_busy(one));
            if !busy {
                let left = returns.redirect(&standing, frozen.memory())?.into_iter().any(|count| count > 0);
                all_found &= !left || returns.way_out.is_some();
            }
            Ok::<_, UndoError>(busy)
        })?;
        undone.pause = undone.pause.max(pause);
        if !busy {
            return Ok(all_found);
        }
    }
    Ok(false)
}

/// What is still to be put back: all, unless whoever began to was killed.
fn still_changed<'a>(memory: &Memory, replaced: &'a [Replaced]) -> Result<Vec<&'a Replaced>, UndoError> {
    let mut changed = Vec::new();
    for one in replaced {
        let length = one.length as usize;
        let now = memory.read(Avma(one.at), length).map_err(RemoteError::from)?;
        if now == one.hooked[..length] {
            changed.push(one);
        } else if now != one.original[..length] {
            return Err(UndoError::Changed(one.at));
        }
    }
    Ok(changed)
}

/// Where threads return to hooks, and where they are to return instead.
struct Returns {
    pid: Pid,
    hooks: Range<Avma>,
    go: Range<u64>,
    way_out: Option<u64>,
}

impl Returns {
    /// Whether a thread is in a hook, or may be in one amid which a signal came.
    fn is_busy(&self, one: &Standing) -> bool {
        self.hooks.contains(&Avma(one.registers.rip)) || one.handles_signal
    }

    /// Finds where threads return to the hooks from C, and has those return elsewhere that are not in a hook now. Returns
    /// how often each does.
    fn redirect(&self, standing: &[Standing], memory: &Memory) -> Result<Vec<usize>, UndoError> {
        let (mut counts, mut changed) = (Vec::new(), Vec::new());
        for (one, stack) in standing.iter().zip(system_stacks(standing, memory)) {
            let places = self.places(one.registers.rsp, stack);
            counts.push(places.len());
            if !self.is_busy(one) {
                changed.extend(places);
            }
        }
        if let Some(to) = self.way_out {
            memory.write_all(&changed, &to.to_le_bytes()).map_err(RemoteError::from)?;
        }
        Ok(counts)
    }

    /// Where return addresses in the hooks lie on a system stack.
    fn places(&self, rsp: u64, stack: Range<u64>) -> Vec<u64> {
        // The frames of asmcgocall and of the hook lie just below; those of C that Go called on the system stack itself
        // lie as far down as that goes.
        let bottom = stack.start.saturating_sub(BELOW);
        let near = (stack.start.saturating_sub(FARTHEST)..stack.end).contains(&rsp);
        let start = if near { rsp.min(bottom) } else { bottom } & !7;
        let mut bytes = vec![0; (stack.end - start) as usize];
        let read = memory::read(self.pid, Avma(start), &mut bytes).unwrap_or(0);
        let word = |word: &[u8]| u64::from_le_bytes(word.try_into().unwrap_or_default());
        let words: Vec<u64> = bytes[..read].chunks_exact(8).map(word).collect();
        let in_hooks = (0..words.len()).filter(|&index| self.hooks.contains(&Avma(words[index])));
        // Above the hook's frame lies its own return address, in asmcgocall. Others are dead words.
        let above = |index: usize| words.get(index + 1 + holes::FRAME as usize / 8).copied().unwrap_or(0);
        in_hooks.filter(|&index| self.go.contains(&above(index))).map(|index| start + index as u64 * 8).collect()
    }
}

/// How far below the place where the system stack was left the frames of asmcgocall and the hook may lie.
const BELOW: u64 = 256;
/// How far below it a thread may be on the same stack.
const FARTHEST: u64 = 8 << 20;

/// `add rsp, 24; ret` in the program's own C code, or its C library's.
fn way_out(mappings: &[Mapping], go: std::ops::Range<u64>) -> Option<u64> {
    const CODE: [u8; 5] = [0x48, 0x83, 0xc4, holes::FRAME as u8, 0xc3];
    let own = mappings.iter().find(|mapping| mapping.range.contains(&Avma(go.start)))?;
    let lasting = |mapping: &&Mapping| {
        let name = mapping.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        mapping.executable && (mapping.path == own.path || name.starts_with("libc.") || name.starts_with("ld-"))
    };
    mappings.iter().filter(lasting).find_map(|mapping| {
        let contents = mapping.contents()?;
        let length = (mapping.range.end.0 - mapping.range.start.0) as usize;
        let start = mapping.offset.0 as usize;
        let code = contents.get(start..contents.len().min(start + length))?;
        let places = memmem::find_iter(code, &CODE).map(|at| mapping.range.start.0 + at as u64);
        places.into_iter().find(|at| !go.contains(at))
    })
}

/// By M, crossings that are in a callback: their hooks' frames are on the stack for certain.
fn in_callbacks(pid: Pid, found: &Found) -> HashMap<u64, usize> {
    use std::mem::offset_of;
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        (memory::read(pid, Avma(at), &mut bytes) == Some(length)).then_some(bytes)
    };
    let start_of = |index: usize| found.tables.start.0 + THREADS_OFFSET + (index * THREAD_STRIDE) as u64;
    let one = |index: usize| {
        let start = start_of(index);
        let head = read(start, offset_of!(Thread, events))?;
        let first = start + offset_of!(Thread, in_flight) as u64;
        let top = word(&head, offset_of!(Thread, top));
        let depth = (top.wrapping_sub(first) as usize / size_of::<InFlight>()).min(IN_FLIGHT);
        let entries = read(first, depth * size_of::<InFlight>())?;
        let in_go = |entry: &&[u8]| word(entry, offset_of!(InFlight, in_go)) as u32 == 1;
        let count = entries.chunks_exact(size_of::<InFlight>()).filter(in_go).count();
        (count > 0).then(|| (word(&head, offset_of!(Thread, m)), count))
    };
    let header = read(found.tables.start.0, size_of::<Header>()).unwrap_or_default();
    let used = header.get(offset_of!(Header, used)..).unwrap_or_default();
    let used = used.chunks_exact(4).take(THREADS).map(|index| u32::from_le_bytes(index.try_into().unwrap_or_default()));
    let indices = used.take_while(|&index| index != 0).map(|index| index as usize - 1).filter(|&index| index < THREADS);
    indices.filter_map(one).collect()
}
