//! Where the threads of a Go program stand while it is frozen.
//!
//! Everything is read for all threads at once: there may be thousands, and they wait.

use std::ops::Range;

use cgoprof_symbols::Avma;
use libc::user_regs_struct;

use crate::process::frozen::Frozen;
use crate::process::memory::Memory;

/// Offsets that have not changed since Go 1.19 (runtime/runtime2.go): `g.stack`, `g.m`, `g.sched.sp`, `m.g0`.
const G_STACK: u64 = 0;
const G_M: u64 = 48;
const G_SCHED_SP: u64 = 56;
const M_G0: u64 = 0;
/// Of a system stack no more is looked at.
const LARGEST_STACK: u64 = 64 << 20;

/// A thread that runs Go, or C called by Go.
pub(super) struct Standing {
    pub(super) registers: user_regs_struct,
    /// Its g: a goroutine's, or one of the M's own.
    pub(super) g: u64,
    /// Its M.
    pub(super) m: u64,
    /// It is in a signal handler of Go's: what that has interrupted is not known.
    pub(super) handles_signal: bool,
}

impl Standing {
    /// All threads of a frozen program that have an M. `goroutine` is where a thread keeps its g, from FS.
    pub(super) fn all(frozen: &Frozen, goroutine: i32, m_procid: u64) -> Vec<Standing> {
        let memory = frozen.memory();
        let registers: Vec<user_regs_struct> = frozen.registers().collect();
        let slots = registers.iter().map(|registers| registers.fs_base.wrapping_add_signed(goroutine.into()));
        let gs = memory.words(slots);
        let ms = memory.words(gs.iter().map(|g| g.wrapping_add(G_M)));
        // m.gsignal follows m.procid in every release measured.
        let gsignals = memory.words(ms.iter().map(|m| m.wrapping_add(m_procid + 8)));
        let lows = memory.words(gsignals.iter().map(|g| g.wrapping_add(G_STACK)));
        let highs = memory.words(gsignals.iter().map(|g| g.wrapping_add(G_STACK + 8)));
        let all = registers.into_iter().zip(gs).zip(ms).zip(lows.into_iter().zip(highs));
        all.filter(|(((_, g), m), _)| *g != 0 && *m != 0)
            .map(|(((registers, g), m), (low, high))| {
                let handles_signal = (low..high).contains(&registers.rsp);
                Standing { registers, g, m, handles_signal }
            })
            .collect()
    }
}

/// The running goroutine of each thread's M.
pub(super) struct Running {
    pub(super) g: u64,
    /// Its stack.
    pub(super) stack: Range<u64>,
    /// `g.syscallsp`, `g.syscallpc`; 0 outside of a system call.
    pub(super) syscall: (u64, u64),
}

impl Running {
    /// In the order of the threads.
    pub(super) fn all(standing: &[Standing], memory: &Memory, m_curg: u32, g_syscallsp: u32) -> Vec<Running> {
        let gs = memory.words(standing.iter().map(|one| one.m.wrapping_add(m_curg.into())));
        let at = |offset: u64| memory.words(gs.iter().map(|g| g.wrapping_add(offset)));
        let (low, high) = (at(G_STACK), at(G_STACK + 8));
        let (sp, pc) = (at(g_syscallsp.into()), at(u64::from(g_syscallsp) + 8));
        let all = gs.into_iter().zip(low.into_iter().zip(high)).zip(sp.into_iter().zip(pc));
        all.map(|((g, (low, high)), syscall)| Running { g, stack: low..high, syscall }).collect()
    }
}

/// From where each thread left its system stack for a goroutine's, or for C, to where Go's part of that begins: what Go
/// has called C from is there. Empty where that can't be told.
pub(super) fn system_stacks(standing: &[Standing], memory: &Memory) -> Vec<Range<u64>> {
    let gs = memory.words(standing.iter().map(|one| one.m.wrapping_add(M_G0)));
    let sps = memory.words(gs.iter().map(|g| g.wrapping_add(G_SCHED_SP)));
    let highs = memory.words(gs.iter().map(|g| g.wrapping_add(G_STACK + 8)));
    let sensible = |sp: u64, high: u64| sp != 0 && sp < high && high - sp <= LARGEST_STACK;
    sps.into_iter().zip(highs).map(|(sp, high)| if sensible(sp, high) { sp..high } else { 0..0 }).collect()
}

/// A word of the program, if there is one.
pub(super) fn word(memory: &Memory, at: u64) -> Option<u64> {
    memory.word(Avma(at)).ok()
}
