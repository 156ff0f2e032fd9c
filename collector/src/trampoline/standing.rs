//! Where the threads of a Go program stand while it is frozen.

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
}

impl Standing {
    /// All threads of a frozen program that have an M. `goroutine` is where a thread keeps its g, from FS.
    pub(super) fn all(frozen: &Frozen, goroutine: i32) -> Vec<Standing> {
        let memory = frozen.memory();
        let stand = |registers: user_regs_struct| {
            let slot = registers.fs_base.wrapping_add_signed(goroutine.into());
            let g = word(memory, slot).filter(|&g| g != 0)?;
            let m = word(memory, g.wrapping_add(G_M)).filter(|&m| m != 0)?;
            Some(Standing { registers, g, m })
        };
        frozen.registers().filter_map(stand).collect()
    }

    /// Whether it is in a signal handler of Go's: what that has interrupted is not known.
    pub(super) fn handles_signal(&self, memory: &Memory, m_procid: u64) -> bool {
        // m.gsignal follows m.procid in every release measured.
        let gsignal = word(memory, self.m.wrapping_add(m_procid + 8)).unwrap_or(0);
        let bounds = (word(memory, gsignal + G_STACK), word(memory, gsignal + G_STACK + 8));
        matches!(bounds, (Some(low), Some(high)) if (low..high).contains(&self.registers.rsp))
    }

    /// From where it left its system stack for a goroutine's, or for C, to where Go's part of that begins: what Go has
    /// called C from is there.
    pub(super) fn system_stack(&self, memory: &Memory) -> Option<Range<u64>> {
        let g0 = word(memory, self.m.wrapping_add(M_G0))?;
        let (sp, high) = (word(memory, g0.wrapping_add(G_SCHED_SP))?, word(memory, g0.wrapping_add(G_STACK + 8))?);
        (sp != 0 && sp < high && high - sp <= LARGEST_STACK).then_some(sp..high)
    }
}

/// A word of the program, if there is one.
pub(super) fn word(memory: &Memory, at: u64) -> Option<u64> {
    memory.word(Avma(at)).ok()
}
