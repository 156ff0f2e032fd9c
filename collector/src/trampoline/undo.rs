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
use crate::process::memory::Memory;
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
    };
    let goroutine = undo.goroutine as i64 as i32;
    let ((off, mut all_found), pause) = freeze(pid, |frozen| {
        let memory = frozen.memory();
        let (changed, off) = (still_changed(memory, replaced)?, Moment::now());
        memory.write(found.hooks().start, &[0; 8]).map_err(RemoteError::from)?;
        for one in changed {
            memory.write(Avma(one.at), &one.original[..one.length as usize]).map_err(RemoteError::from)?;
        }
        // Only now the tables tell for certain who has a frame of ours on its stack.
        let (mut all_found, certain) = (true, in_callbacks(memory, found));
        if !certain.is_empty() {
            let standing = Standing::all(frozen, goroutine, undo.m_procid);
            for (one, places) in standing.iter().zip(returns.find(&standing, memory)) {
                all_found &= places.len() >= certain.get(&one.m).copied().unwrap_or(0);
            }
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
            let busy = frozen.registers().iter().any(|registers| returns.hooks.contains(&Avma(registers.rip)))
                || standing.iter().any(|one| returns.is_busy(one));
            if !busy {
                all_found &= returns.redirect(&standing, frozen.memory())?;
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
    hooks: Range<Avma>,
    go: Range<u64>,
    way_out: Option<u64>,
}

impl Returns {
    /// Whether a thread is in a hook, or may be in one amid which a signal came.
    fn is_busy(&self, one: &Standing) -> bool {
        self.hooks.contains(&Avma(one.registers.rip)) || one.handles_signal
    }

    /// Where threads return to the hooks from C, by thread.
    fn find(&self, standing: &[Standing], memory: &Memory) -> Vec<Vec<u64>> {
        let stacks = standing.iter().zip(system_stacks(standing, memory)).map(|(one, stack)| in_use(one, stack));
        let stacks: Vec<Range<u64>> = stacks.collect();
        let words = memory.ranges(&stacks);
        stacks.iter().zip(words).map(|(stack, words)| self.places(stack.start, &words)).collect()
    }

    /// Has threads that would return to the hooks from C return elsewhere; nobody must be in the hooks. Returns whether
    /// nobody returns there now.
    fn redirect(&self, standing: &[Standing], memory: &Memory) -> Result<bool, UndoError> {
        let places = self.find(standing, memory).concat();
        let Some(to) = self.way_out else { return Ok(places.is_empty()) };
        memory.write_all(&places, &to.to_le_bytes()).map_err(RemoteError::from)?;
        Ok(true)
    }

    /// Where return addresses in the hooks lie among these words of a system stack.
    fn places(&self, start: u64, words: &[u64]) -> Vec<u64> {
        let in_hooks = (0..words.len()).filter(|&index| self.hooks.contains(&Avma(words[index])));
        // Above the hook's frame lies its own return address, in asmcgocall. Others are dead words.
        let above = |index: usize| words.get(index + 1 + holes::FRAME as usize / 8).copied().unwrap_or(0);
        in_hooks.filter(|&index| self.go.contains(&above(index))).map(|index| start + index as u64 * 8).collect()
    }
}

/// What of a thread's system stack may hold frames of hooks, given from where it left that on.
fn in_use(one: &Standing, stack: Range<u64>) -> Range<u64> {
    if stack.is_empty() {
        return stack;
    }
    // The frames of asmcgocall and of the hook lie just below; those of C that Go called on the system stack itself lie as
    // far down as that goes.
    let (rsp, bottom) = (one.registers.rsp, stack.start.saturating_sub(BELOW));
    let near = (stack.start.saturating_sub(FARTHEST)..stack.end).contains(&rsp);
    ((if near { rsp.min(bottom) } else { bottom }) & !7)..stack.end
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
fn in_callbacks(memory: &Memory, found: &Found) -> HashMap<u64, usize> {
    use std::mem::offset_of;
    let tables = found.tables.start.0;
    let used = memory.ranges(&[tables + offset_of!(Header, used) as u64..tables + offset_of!(Header, coarse) as u64]);
    let halves = used.into_iter().flatten().flat_map(|word| [word as u32, (word >> 32) as u32]);
    let threads: Vec<u64> = halves
        .take_while(|&index| index != 0)
        .filter(|&index| index as usize <= THREADS)
        .map(|index| tables + THREADS_OFFSET + u64::from(index - 1) * THREAD_STRIDE as u64)
        .collect();
    let tops = memory.words::<1>(threads.iter().map(|thread| thread + offset_of!(Thread, top) as u64));
    let entries = threads.iter().zip(tops).flat_map(|(&thread, [top])| {
        let first = thread + offset_of!(Thread, in_flight) as u64;
        let depth = top.wrapping_sub(first) / size_of::<InFlight>() as u64;
        let depth = if depth <= IN_FLIGHT as u64 { depth } else { 0 };
        (0..depth).map(move |entry| (thread, first + entry * size_of::<InFlight>() as u64))
    });
    let entries: Vec<(u64, u64)> = entries.collect();
    let in_go = memory.words::<1>(entries.iter().map(|(_, entry)| entry + offset_of!(InFlight, in_go) as u64));
    let of = entries.into_iter().zip(in_go).filter(|(_, [in_go])| *in_go as u32 == 1).map(|((thread, _), _)| thread);
    let of: Vec<u64> = of.collect();
    let mut certain = HashMap::new();
    for [m] in memory.words(of.iter().map(|thread| thread + offset_of!(Thread, m) as u64)) {
        *certain.entry(m).or_insert(0) += 1;
    }
    certain
}
