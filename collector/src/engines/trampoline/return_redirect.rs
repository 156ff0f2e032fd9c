//! Finds the threads that are in hooks to be removed, and those that will return there.
//!
//! A thread that the C hook has called into C may stay there for any time, and then returns to the hook. Its return
//! address is changed to code of the program's own. That code does what the hook would do by then: it frees the hook's
//! frame and returns.

use std::collections::HashMap;
use std::mem::offset_of;
use std::ops::Range;

use cgoprof_hook::layout::{CellRef, HOOK_FRAMES, Header, IN_FLIGHT, InFlight, THREADS, Thread};
use cgoprof_hook::params::immediates;
use cgoprof_hook::registration::Undo;
use cgoprof_symbols::Avma;
use memchr::memmem;

use super::hook_frames::{CrossingFrame, FrameForm, SystemStack};
use super::registration::Found;
use super::thread_position::{LARGEST_STACK, ThreadPosition, system_stacks};
use crate::arch::{self, Registers, interrupted};
use crate::process::maps::Mapping;
use crate::process::memory::Memory;
use crate::process::remote_syscall::RemoteError;
use crate::process::stopped_process::StoppedProcess;

/// The hooks, and the address to which threads are to return instead.
pub(super) struct ReturnRedirect {
    frames: FrameForm,
    /// Address range of the hook that calls the function that gets an M.
    attach: Range<u64>,
    exit_code_place: Option<u64>,
}

/// Bytes that are read of each thread's system stack below the place where it was left.
const BELOW: u64 = 256;
const _: () = assert!(BELOW >= HOOK_FRAMES);
/// Bytes of a stack that are searched below that, for C that Go called on the system stack itself. As many are searched
/// above the stack pointer of a thread that may be about to get an M.
const NEAR: u64 = 8 << 10;
/// Bytes that are searched above the stack pointer if such a thread is in Go, where a wait needs little stack.
const NEAR_IN_GO: u64 = 1 << 10;

impl ReturnRedirect {
    pub(super) fn new(found: &Found, undo: &Undo, mappings: &[Mapping]) -> ReturnRedirect {
        let (hooks, go) = (found.hooks(), undo.go_start..undo.go_end);
        let exit_code_place = exit_code_place(mappings, go.clone());
        ReturnRedirect {
            frames: FrameForm {
                hooks: hooks.start.0..hooks.end.0,
                go,
                tables: found.tables.start.0..found.tables.end.0,
                taken: undo.taken,
                saved_g: undo.saved_g,
                saved_depth: undo.saved_depth,
            },
            attach: undo.attach_start..undo.attach_end,
            exit_code_place,
        }
    }

    /// Returns the places of the return addresses by which threads return to the hooks from C. None if a thread is in a
    /// hook, or may be: a signal came amid a hook, or a hook waits for the function that gets an M.
    pub(super) fn look(&self, stopped: &StoppedProcess, positions: &[ThreadPosition]) -> Option<Vec<u64>> {
        let (registers, memory) = (stopped.registers(), stopped.memory());
        let there = |one: &Registers| {
            self.frames.hooks.contains(&one.ip())
                || (self.frames.hooks.contains(&one.called()) && self.frames.go.contains(&one.ip()))
        };
        if registers.iter().any(there) || positions.iter().any(|one| one.handles_signal) {
            return None;
        }
        let found = self.find(positions, memory)?;
        let with_m: HashMap<u64, bool> =
            positions.iter().zip(&found).map(|(one, places)| (one.registers.sp(), places.is_empty())).collect();
        // A thread that gets an M is in Go, or in C that Go calls for that, or has no M yet. It is not in C that a
        // crossing has called.
        let may_wait = |one: &&Registers| self.frames.go.contains(&one.ip()) || *with_m.get(&one.sp()).unwrap_or(&true);
        let stacks: Vec<Range<u64>> = registers
            .iter()
            .filter(may_wait)
            .map(|one| {
                let (start, near) = (one.sp() & !7, if self.frames.go.contains(&one.ip()) { NEAR_IN_GO } else { NEAR });
                start..start.saturating_add(near)
            })
            .collect();
        let waits = memory.ranges(&stacks).iter().any(|words| self.is_called(words) || self.is_interrupted(words));
        (!waits).then(|| found.concat())
    }

    /// Whether a thread waits in the hook that calls the function that gets an M. The hook's return address lies above
    /// its frame of one word.
    fn is_called(&self, words: &[u64]) -> bool {
        words.windows(3).any(|three| self.attach.contains(&three[0]) && self.frames.go.contains(&three[2]))
    }

    /// Whether a signal interrupted a hook, and its handler runs on this stack.
    fn is_interrupted(&self, words: &[u64]) -> bool {
        interrupted(words).any(|at| self.frames.hooks.contains(&at))
    }

    /// Whether all frames of hooks are found that must be there according to the tables. The tables tell this only
    /// while the hooks are on.
    pub(super) fn are_all_found(&self, stopped: &StoppedProcess, goroutine: i32, m_procid: u64) -> bool {
        let certain = self.in_callbacks(stopped.memory());
        if certain.is_empty() {
            return true;
        }
        let positions = ThreadPosition::all(stopped.registers(), stopped.memory(), goroutine, m_procid);
        let Some(found) = self.find(&positions, stopped.memory()) else { return false };
        let enough = |(one, places): (&ThreadPosition, Vec<u64>)| {
            let least = certain.get(&one.m).copied().unwrap_or(0);
            if places.len() < least {
                tracing::debug!("of {least} callbacks' frames {} are found: {:x?}", places.len(), one.registers);
            }
            places.len() >= least
        };
        positions.iter().zip(found).all(enough)
    }

    /// Replaces the return addresses at these places, which lead to the hooks. Returns whether that is possible.
    pub(super) fn redirect(&self, places: &[u64], memory: &Memory) -> Result<bool, RemoteError> {
        let Some(to) = self.exit_code_place else { return Ok(places.is_empty()) };
        memory.write_all(places, &to.to_le_bytes())?;
        Ok(true)
    }

    /// Returns, by thread, the places of the return addresses to the hooks from C. None if they can't be told now: a
    /// signal interrupted a hook and its handler runs on such a stack, a goroutine's stack is being moved, or C has
    /// called Go from a stack of its own.
    fn find(&self, positions: &[ThreadPosition], memory: &Memory) -> Option<Vec<Vec<u64>>> {
        let stacks = system_stacks(positions, memory)?;
        let bottom = |stack: &Range<u64>| stack.start.saturating_sub(BELOW) & !7;
        let used = stacks.iter().map(|stack| if stack.is_empty() { 0..0 } else { bottom(stack)..stack.end });
        let below = positions.iter().zip(&stacks).map(|(one, stack)| {
            let (rsp, bottom) = (one.registers.sp() & !7, bottom(stack));
            // The frames of C that Go itself has called lie at the top of this part.
            let is_on_it = rsp < bottom && bottom - rsp <= LARGEST_STACK;
            if is_on_it { rsp.max(bottom.saturating_sub(NEAR))..bottom } else { 0..0 }
        });
        let (used, below): (Vec<_>, Vec<_>) = (used.collect(), below.collect());
        let words = memory.ranges(&used).into_iter().zip(memory.ranges(&below));
        let (mut crossings, mut direct) = (Vec::new(), Vec::new());
        for ((used, below), (upper, lower)) in used.iter().zip(&below).zip(words) {
            // The lower part continues in the upper one.
            let start = if lower.is_empty() { used.start } else { below.start };
            let words = if lower.is_empty() { upper } else { [lower, upper].concat() };
            if self.is_interrupted(&words) {
                return None;
            }
            let stack = SystemStack { start, words: &words, left_at: used.start + BELOW };
            crossings.push(self.frames.crossings(&stack));
            direct.push(self.frames.direct(&stack));
        }
        let gs = memory.words::<2>(crossings.iter().flatten().map(|frame| frame.g));
        let is_of_goroutine = |(frame, [low, high]): (&CrossingFrame, [u64; 2])| {
            high.checked_sub(frame.depth).is_some_and(|sp| (low..high).contains(&sp))
        };
        if !crossings.iter().flatten().zip(gs).all(is_of_goroutine) {
            return None;
        }
        let places = |(crossings, direct): (&Vec<CrossingFrame>, Vec<u64>)| {
            crossings.iter().map(|frame| frame.place).chain(direct).collect()
        };
        Some(crossings.iter().zip(direct).map(places).collect())
    }

    /// Returns the number of crossings in a callback, by M. Their hooks' frames are on the stack for certain.
    fn in_callbacks(&self, memory: &Memory) -> HashMap<u64, usize> {
        let used = self.frames.tables.start + offset_of!(Header, used) as u64;
        let words = memory.words::<{ THREADS / 2 }>(std::iter::once(used)).concat();
        let halves = words.into_iter().flat_map(|word| [word as u32, (word >> 32) as u32]);
        let threads: Vec<u64> = halves
            .take_while(|&table| table != 0)
            .map(|table| self.frames.tables.start + CellRef(table).offset())
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
        let of =
            entries.into_iter().zip(in_go).filter(|(_, [in_go])| *in_go as u32 == 1).map(|((thread, _), _)| thread);
        let of: Vec<u64> = of.collect();
        let mut certain = HashMap::new();
        for [m] in memory.words(of.iter().map(|thread| thread + offset_of!(Thread, m) as u64)) {
            *certain.entry(m).or_insert(0) += 1;
        }
        certain
    }
}

/// Finds code in the program's own C code, or its C library's, that frees a C hook's frame and returns.
fn exit_code_place(mappings: &[Mapping], go: Range<u64>) -> Option<u64> {
    let free = arch::free_and_return(immediates::FRAME as u8);
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
        memmem::find_iter(code, &free).map(|at| mapping.range.start.0 + at as u64).find(|at| !go.contains(at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOOK: u64 = 0x3f_c100;
    const GO: u64 = 0x41_0000;

    fn returns() -> ReturnRedirect {
        let (hooks, go) = (0x3f_c000..0x3f_f000, 0x40_1000..0x50_0000);
        let frames = FrameForm { hooks, go, tables: 0..0, taken: 16, saved_g: 16, saved_depth: 8 };
        ReturnRedirect { frames, attach: HOOK..HOOK + 64, exit_code_place: None }
    }

    #[test]
    fn who_waits_for_an_m_or_was_interrupted_is_there() {
        assert!(returns().is_called(&[7, HOOK, 1234, GO]));
        assert!(!returns().is_called(&[7, HOOK, GO, 1234]));
        assert!(!returns().is_called(&[7, HOOK + 64, 1234, GO]));
        assert!(returns().is_interrupted(&[HOOK, 0x246, 0x2b_0000_0000_0033]));
        assert!(!returns().is_interrupted(&[GO, 0x246, 0x2b_0000_0000_0033]));
        assert!(!returns().is_called(&[]) && !returns().is_interrupted(&[HOOK]));
    }
}
