//! Where the threads of a Go program stand while it is frozen.
//!
//! Everything is read for all threads at once: there may be thousands, and they wait.

use std::ops::Range;

use cgoprof_symbols::Avma;
use libc::user_regs_struct;

use crate::process::frozen::Frozen;
use crate::process::memory::Memory;

/// Offsets that have not changed since Go 1.19 (runtime/runtime2.go).
const G_M: u64 = 48;
const G_SCHED_SP: usize = 56;
/// Words of a `g` and of an `m` in which lies all that is looked at.
const G_WORDS: usize = 16;
const M_WORDS: usize = 26;
/// Of a system stack no more is looked at.
const LARGEST_STACK: u64 = 64 << 20;

/// A thread that runs Go, or C called by Go.
pub(super) struct Standing {
    pub(super) registers: user_regs_struct,
    /// Its g: a goroutine's, or one of the M's own.
    pub(super) g: u64,
    /// Its M.
    pub(super) m: u64,
    /// The start of that, `m.g0` first.
    m_words: [u64; M_WORDS],
    /// It is in a signal handler of Go's: what that has interrupted is not known.
    pub(super) handles_signal: bool,
}

impl Standing {
    /// All threads of a frozen program that have an M. `goroutine` is where a thread keeps its g, from FS.
    pub(super) fn all(frozen: &Frozen, goroutine: i32, m_procid: u64) -> Vec<Standing> {
        let memory = frozen.memory();
        let slot = |registers: &user_regs_struct| registers.fs_base.wrapping_add_signed(goroutine.into());
        let gs = memory.words(frozen.registers().iter().map(slot));
        let ms = memory.words(gs.iter().map(|[g]| g.wrapping_add(G_M)));
        let m_words = memory.words(ms.iter().map(|&[m]| m));
        let all = frozen.registers().iter().zip(gs).zip(ms.into_iter().zip(m_words));
        let all = all.filter(|((_, [g]), ([m], _))| *g != 0 && *m != 0);
        let mut all: Vec<Standing> = all
            .map(|((&registers, [g]), ([m], m_words))| Standing { registers, g, m, m_words, handles_signal: false })
            .collect();
        // m.gsignal follows m.procid in every release measured.
        let gsignal = |one: &Standing| one.m_words.get(m_procid as usize / 8 + 1).copied().unwrap_or(0);
        // Who waits in a system call that a handler made has the handler's g.
        let clear = |one: &Standing| one.registers.orig_rax as i64 >= 0 && one.g != gsignal(one);
        let (waiting, mut unclear): (Vec<_>, Vec<_>) = all.into_iter().partition(clear);
        let stacks = memory.words(unclear.iter().map(gsignal));
        for (one, [low, high]) in unclear.iter_mut().zip(stacks) {
            one.handles_signal = (low..high).contains(&one.registers.rsp);
        }
        all = waiting;
        all.extend(unclear);
        all
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
        let curg = |one: &Standing| one.m_words.get(m_curg as usize / 8).copied().unwrap_or(0);
        let gs: Vec<u64> = standing.iter().map(curg).collect();
        let words = memory.words::<G_WORDS>(gs.iter().copied());
        let word = |words: &[u64], offset: u32| words.get(offset as usize / 8).copied().unwrap_or(0);
        let all = gs.into_iter().zip(words);
        all.map(|(g, words)| Running {
            g,
            stack: words[0]..words[1],
            syscall: (word(&words, g_syscallsp), word(&words, g_syscallsp + 8)),
        })
        .collect()
    }
}

/// From where each thread left its system stack for a goroutine's, or for C, to where Go's part of that begins: what Go
/// has called C from is there. Empty where that can't be told.
pub(super) fn system_stacks(standing: &[Standing], memory: &Memory) -> Vec<Range<u64>> {
    let words = memory.words::<G_WORDS>(standing.iter().map(|one| one.m_words[0]));
    let sensible = |sp: u64, high: u64| sp != 0 && sp < high && high - sp <= LARGEST_STACK;
    let stack = |words: [u64; G_WORDS]| words[G_SCHED_SP / 8]..words[1];
    words.into_iter().map(stack).map(|stack| if sensible(stack.start, stack.end) { stack } else { 0..0 }).collect()
}

/// A word of the program, if there is one.
pub(super) fn word(memory: &Memory, at: u64) -> Option<u64> {
    memory.word(Avma(at)).ok()
}
