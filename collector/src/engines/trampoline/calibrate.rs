//! Measures what the hooks cost on this machine, by running them in the recorder's own process on a crossing to
//! nowhere.
//!
//! [`arch::calibration_loop`] builds the frames of `cgocall` and `asmcgocall`. Where Go enters and leaves the system
//! call, it makes one locked exchange, as `casgstatus` does (runtime/proc.go). The processor does part of the hooks'
//! work while it waits for the exchange; a measurement without it would subtract that part twice. The hooks' own share
//! of each phase is what they measure there, less the exchange.

use std::num::NonZeroUsize;

use cgoprof_hook::layout::{ARENA_OFFSET, Arena, Cell, CellRef, Header, Thread, Times, home};
use cgoprof_hook::params::Params;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::blob::{self, Repeated};
use super::inject::hook_address;
use crate::arch::{self, AFTER_ASMCGOCALL, EPILOGUE, EXCHANGE, FRAMES, Goroutine};
use crate::clock::ticks;
use crate::counts::calibration::Calibration;
use crate::goruntime::plan::Hook;

/// Measures the hooks' cost. Takes about 2 ms, up to 10 ms beside busy neighbours.
pub fn calibrate() -> Option<Calibration> {
    let stage = Stage::new()?;
    let least = stage.least()?;
    let exchange = ((least.bare - least.empty) / 2.0).max(0.0);
    Some(Calibration {
        enter: (least.phases.0 - exchange).max(0.0),
        c: least.phases.1,
        exit: (least.phases.2 - exchange).max(0.0),
        untimed_crossing: (least.untimed - least.bare).max(0.0),
        timed_crossing: (least.timed - least.bare).max(0.0),
        clock_read: clock_read(),
    })
}

/// Minimum ticks of a crossing of each kind.
struct Least {
    /// Without hooks, and without an exchange.
    empty: f64,
    /// Without hooks.
    bare: f64,
    untimed: f64,
    timed: f64,
    /// Mean phases of a timed run.
    phases: (f64, f64, f64),
}

/// Minimum rounds of a measurement. Each has all kinds in turn, so that a processor that is slow for a while affects
/// all kinds alike.
const ROUNDS: u32 = 8;
const MOST_ROUNDS: u32 = 40;
/// Number of rounds after the last one that was quicker by more than `QUICKER`.
const ROUNDS_AFTER: u32 = 4;
const QUICKER: f64 = 0.01;

fn clock_read() -> f64 {
    const READS: u32 = 1000;
    let run = || {
        let start = ticks();
        for _ in 0..READS {
            std::hint::black_box(ticks());
        }
        (ticks() - start) as f64 / f64::from(READS)
    };
    (0..5).map(|_| run()).fold(f64::INFINITY, f64::min)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hooks {
    None,
    Untimed,
    Timed,
}

/// The code that stands in for `entersyscall` and `exitsyscall`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SystemCall {
    Empty,
    Exchange,
}

/// Code, tables, a goroutine and its M, all made up.
struct Stage {
    memory: std::ptr::NonNull<u8>,
    size: usize,
}

const CODE: usize = 0;
/// The system call, behind the code.
const SYSTEM_CALL: usize = M - 64;
const M: usize = 64 << 10;
const TABLES: usize = 128 << 10;
/// Bytes of the tables.
const END: u64 = ARENA_OFFSET + (1 << 20);
const CROSSINGS: u64 = 2000;

impl Stage {
    fn new() -> Option<Stage> {
        let size = TABLES + END as usize;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping at a place the kernel chooses.
        let memory = unsafe { mmap_anonymous(None, NonZeroUsize::new(size)?, protection, flags) }.ok()?.cast();
        let stage = Stage { memory, size };
        let tables = stage.address(TABLES);
        let params = Params {
            tables,
            // Within reach of the hooks' jumps.
            entersyscall: stage.address(SYSTEM_CALL),
            exitsyscall: stage.address(SYSTEM_CALL),
            reentersyscall: stage.address(SYSTEM_CALL),
            after_asmcgocall: AFTER_ASMCGOCALL,
            m_locked_ext: 648,
            m_procid: 64,
            m_p: 208,
            m_id: 232,
            g_goid: std::mem::offset_of!(Goroutine, goid) as u64,
            p_stays_wired: 1,
            saved_g: FRAMES.saved_g.into(),
            saved_depth: FRAMES.saved_depth.into(),
            to_return: FRAMES.to_return.into(),
            to_frame: FRAMES.to_frame.into(),
            to_slots: u64::from(FRAMES.to_return) + 8,
            spilled_fn: FRAMES.spilled_fn.into(),
            spilled_arg: FRAMES.spilled_arg.into(),
            stack_arena_end: END,
            arena_end: END,
            max_frames: 64,
            slow: u64::MAX,
            first_interval: 1,
            ..Params::default()
        };
        let place = stage.address(CODE);
        let code = blob::assemble(&params, place, &[Repeated { hook: Hook::Exit, code: &EPILOGUE, back: None }])?;
        // SAFETY: the places lie within the mapping, apart from each other.
        unsafe {
            std::ptr::copy_nonoverlapping(code.as_ptr(), stage.at(CODE), code.len());
            stage.at(CODE).cast::<u64>().write(tables);
            std::ptr::copy_nonoverlapping(EXCHANGE.as_ptr(), stage.at(SYSTEM_CALL), EXCHANGE.len());
            stage.at(M + 208).cast::<u64>().write(1);
            let header = stage.at(TABLES).cast::<Header>();
            let place = |offset: u64| CellRef((offset / 64) as u32);
            let arena = Arena { next: place(ARENA_OFFSET), end: place(END) };
            (*header).arena.store(arena.pack(), std::sync::atomic::Ordering::Relaxed);
            mprotect(memory.cast(), M, ProtFlags::PROT_READ | ProtFlags::PROT_EXEC).ok()?;
        }
        Some(stage)
    }

    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: all offsets used are within the mapping.
        unsafe { self.memory.as_ptr().add(offset) }
    }

    fn address(&self, offset: usize) -> u64 {
        self.at(offset) as u64
    }

    /// Measures until no round is quicker.
    fn least(&self) -> Option<Least> {
        const NONE: f64 = f64::INFINITY;
        let mut least = Least { empty: NONE, bare: NONE, untimed: NONE, timed: NONE, phases: (NONE, NONE, NONE) };
        let mut last_quicker = 0;
        for round in 0..MOST_ROUNDS {
            let mut quicker = false;
            let mut note = |known: &mut f64, found: f64| {
                quicker |= found < *known * (1.0 - QUICKER);
                *known = known.min(found);
            };
            note(&mut least.empty, self.run(Hooks::None, SystemCall::Empty));
            note(&mut least.bare, self.run(Hooks::None, SystemCall::Exchange));
            note(&mut least.timed, self.run(Hooks::Timed, SystemCall::Exchange));
            let phases = self.phases()?;
            note(&mut least.phases.0, phases.0);
            note(&mut least.phases.1, phases.1);
            note(&mut least.phases.2, phases.2);
            note(&mut least.untimed, self.run(Hooks::Untimed, SystemCall::Exchange));
            if quicker {
                last_quicker = round;
            }
            if round >= ROUNDS && round - last_quicker >= ROUNDS_AFTER {
                break;
            }
        }
        Some(least)
    }

    fn run(&self, hooks: Hooks, system_call: SystemCall) -> f64 {
        let place = self.address(CODE);
        let system_call = match system_call {
            SystemCall::Empty => arch::stub_return(),
            SystemCall::Exchange => self.address(SYSTEM_CALL),
        };
        let (enter, c, exit) = if hooks == Hooks::None {
            (system_call, arch::stub_landing_pad(), arch::stub_epilogue())
        } else {
            (hook_address(place, Hook::Enter), hook_address(place, Hook::C), hook_address(place, Hook::Exit))
        };
        let mut g = Goroutine::new(CROSSINGS);
        (g.m, g.enter, g.c, g.exit, g.exit_system_call) = (self.address(M), enter, c, exit, system_call);
        if let Some(cell) = self.only_cell() {
            // SAFETY: the cell is in our own mapping and no other thread knows it.
            unsafe {
                let interval = if hooks == Hooks::Timed { 1 } else { u32::MAX >> 1 };
                (*cell).interval = interval.into();
                (*cell).timed_at = (*cell).calls + u64::from(interval);
                (*cell).gap = interval;
                if let Some(times) = self.times(cell) {
                    ((*times).timed, (*times).exits) = (0, 0);
                    ((*times).enter, (*times).c, (*times).exit) = Default::default();
                }
            }
        }
        let start = ticks();
        // SAFETY: the goroutine leads to the hooks, or to the code that stands in for them, and to the stage's M.
        unsafe { arch::calibration_loop(&mut g) };
        (ticks() - start) as f64 / CROSSINGS as f64
    }

    /// Returns the mean phases of the timed run before.
    fn phases(&self) -> Option<(f64, f64, f64)> {
        // SAFETY: the cell is in our own mapping and no other thread knows it.
        let (timed, enter, c, exit) = unsafe {
            let times = &*self.times(self.only_cell()?)?;
            (times.timed as f64, times.enter.sum, times.c.sum, times.exit.sum)
        };
        let mean = |sum: u64| sum as f64 / timed;
        Some((mean(enter), mean(c), mean(exit)))
    }

    fn only_cell(&self) -> Option<*mut Cell> {
        use std::sync::atomic::Ordering::Relaxed;
        // SAFETY: no other M crosses here, so that this one's table is in its home word; nobody else knows the tables.
        unsafe {
            let header = &*self.at(TABLES).cast::<Header>();
            let thread = header.directory[home(self.address(M))].load(Relaxed) as *const Thread;
            let cell = CellRef(thread.as_ref()?.cells.load(Relaxed));
            (cell != CellRef::NONE).then(|| self.at(TABLES + cell.offset() as usize).cast())
        }
    }

    /// Returns the times of the only cell, once it has some.
    ///
    /// # Safety
    /// `cell` must be the only cell.
    unsafe fn times(&self, cell: *const Cell) -> Option<*mut Times> {
        // SAFETY: the caller's promise.
        let at = CellRef(unsafe { (*cell).times.load(std::sync::atomic::Ordering::Relaxed) });
        (at != CellRef::NONE).then(|| self.at(TABLES + at.offset() as usize).cast())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it.
        let _ = unsafe { munmap(self.memory.cast(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hooks_count_every_crossing_of_the_loop() {
        let stage = Stage::new().unwrap();
        stage.run(Hooks::Timed, SystemCall::Exchange);
        stage.run(Hooks::Untimed, SystemCall::Exchange);
        // SAFETY: the cell is in the stage's own mapping.
        let cell = unsafe { &*stage.only_cell().unwrap() };
        assert_eq!(cell.calls, 2 * CROSSINGS);
        assert_eq!(cell.frames, 3, "wrapper, loop, caller of the loop");
    }

    #[test]
    fn calibration_gives_costs_of_the_right_size() {
        let found = calibrate().unwrap();
        assert!(found.clock_read > 0.0 && found.clock_read < 1000.0, "{found:?}");
        assert!(found.timed_crossing > found.untimed_crossing, "{found:?}");
        assert!(found.enter + found.c + found.exit > found.clock_read, "{found:?}");
        assert!(found.enter + found.c + found.exit < 2000.0, "{found:?}");
    }
}
