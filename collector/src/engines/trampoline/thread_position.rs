//! Positions of the threads of a stopped Go program.
//!
//! Everything is read for all threads at once: there may be thousands, and they wait. For the same reason, it is read
//! only for threads whose position may matter.

use std::ops::Range;
use std::path::Path;

use cgoprof_symbols::Avma;
use cgoprof_symbols::runtime_offsets::{G_M, G_SCHED, G_STACK_HI};

use crate::arch::Registers;
use crate::process::maps::Mapping;
use crate::process::memory::Memory;

// The hooks use the same offsets.
const _: () = assert!(
    cgoprof_hook::runtime::G_M == G_M as usize
        && cgoprof_hook::runtime::G_SCHED_SP == G_SCHED as usize
        && cgoprof_hook::runtime::G_STACK_HI == G_STACK_HI as usize
);

/// Number of words at the start of a `g`, and of an `m`, that contain all fields that are read.
const G_WORDS: usize = 16;
const M_WORDS: usize = 26;
/// Maximum bytes of a goroutine's stack that `entersyscall` and its callees take, with room to spare.
const FRAMES: u64 = 512;
/// Maximum bytes of a system stack that are looked at.
pub(super) const LARGEST_STACK: u64 = 64 << 20;

/// Whether a thread waits in a system call of C's, on its own stack. It is then in no signal handler, because Go runs
/// these on stacks of their own (runtime/os_linux.go, `setsigstack`). It is also beyond the hook that calls C, unless
/// its call is one that Go itself makes through C. `mappings` are sorted by address. When unsure, returns false.
pub(super) fn waits_in_c(one: &Registers, go: &Range<Avma>, mappings: &[Mapping]) -> bool {
    let at = |address: u64| {
        let next = mappings.partition_point(|mapping| mapping.range.end.0 <= address);
        mappings.get(next).filter(|mapping| mapping.range.start.0 <= address)
    };
    let is_c = || !go.contains(&Avma(one.ip())) && at(one.ip()).is_some_and(|code| code.path.is_absolute());
    // A C library keeps the thread's own data, to which FS points, above the stack in the same mapping. The first
    // thread's stack is the kernel's.
    let is_own_stack = || {
        at(one.sp()).is_some_and(|stack| {
            let holds_thread = one.sp() < one.tp() && stack.range.contains(&Avma(one.tp()));
            holds_thread || stack.path == Path::new("[stack]")
        })
    };
    one.system_call().is_some_and(|call| !CALLS_OF_GO.contains(&call)) && is_c() && is_own_stack()
}

/// System calls that the runtime makes through C in programs with cgo, to map memory and to start threads
/// (runtime/cgo/gcc_mmap.c, gcc_sigaction.c, gcc_libinit.c).
const CALLS_OF_GO: [i64; 8] = [
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_clone,
    libc::SYS_clone3,
];

/// A thread that runs Go, or C called by Go.
pub(super) struct ThreadPosition {
    pub(super) registers: Registers,
    /// Its g: a goroutine's, or one of the M's own.
    pub(super) g: u64,
    /// Its M.
    pub(super) m: u64,
    /// The first words of its M, of which `m.g0` is the first.
    m_words: [u64; M_WORDS],
    /// Whether it is in a signal handler of Go's. The interrupted position is then not known.
    pub(super) handles_signal: bool,
}

impl ThreadPosition {
    /// Returns the positions of those threads with these registers that have an M. `goroutine` is the offset from FS at
    /// which a thread keeps its g.
    pub(super) fn all(registers: &[Registers], memory: &Memory, goroutine: i32, m_procid: u64) -> Vec<ThreadPosition> {
        let slot = |registers: &Registers| registers.tp().wrapping_add_signed(goroutine.into());
        let gs = memory.words(registers.iter().map(slot));
        let ms = memory.words(gs.iter().map(|[g]| g.wrapping_add(G_M.into())));
        let m_words = memory.words(ms.iter().map(|&[m]| m));
        let all = registers.iter().zip(gs).zip(ms.into_iter().zip(m_words));
        let all = all.filter(|((_, [g]), ([m], _))| *g != 0 && *m != 0);
        let mut all: Vec<ThreadPosition> = all
            .map(|((&registers, [g]), ([m], m_words))| ThreadPosition {
                registers,
                g,
                m,
                m_words,
                handles_signal: false,
            })
            .collect();
        // m.gsignal follows m.procid in every release measured.
        let gsignal = |one: &ThreadPosition| one.m_words.get(m_procid as usize / 8 + 1).copied().unwrap_or(0);
        // A thread that waits in a handler's system call has the handler's g.
        let clear = |one: &ThreadPosition| one.registers.system_call().is_some() && one.g != gsignal(one);
        let (waiting, mut unclear): (Vec<_>, Vec<_>) = all.into_iter().partition(clear);
        let stacks = memory.words(unclear.iter().map(gsignal));
        for (one, [low, high]) in unclear.iter_mut().zip(stacks) {
            one.handles_signal = (low..high).contains(&one.registers.sp());
        }
        all = waiting;
        all.extend(unclear);
        all
    }
}

/// The running goroutine of a thread's M.
pub(super) struct Running {
    pub(super) g: u64,
    /// Its stack.
    pub(super) stack: Range<u64>,
    /// `g.syscallsp`, `g.syscallpc`; 0 outside of a system call.
    pub(super) syscall: (u64, u64),
    /// Where it last left its stack for the system stack.
    left_at: u64,
}

impl Running {
    /// Returns the running goroutines in the order of the threads.
    pub(super) fn all(positions: &[ThreadPosition], memory: &Memory, m_curg: u32, g_syscallsp: u32) -> Vec<Running> {
        let curg = |one: &ThreadPosition| one.m_words.get(m_curg as usize / 8).copied().unwrap_or(0);
        let gs: Vec<u64> = positions.iter().map(curg).collect();
        let words = memory.words::<G_WORDS>(gs.iter().copied());
        let word = |words: &[u64], offset: u32| words.get(offset as usize / 8).copied().unwrap_or(0);
        let all = gs.into_iter().zip(words);
        all.map(|(g, words)| Running {
            g,
            stack: words[0]..words[1],
            syscall: (word(&words, g_syscallsp), word(&words, g_syscallsp + 8)),
            left_at: words[G_SCHED as usize / 8],
        })
        .collect()
    }

    /// Whether the goroutine is in a system call, or in C, and has left Go by a call that returns to `to`.
    pub(super) fn is_in_call_that_returns_to(&self, to: u64) -> bool {
        self.syscall.0 != 0 && self.syscall.1 == to
    }

    /// Whether a thread may be on its system stack during a call that returns to `to` and is not noted in the goroutine
    /// yet. From Go 1.26 on, `reentersyscall` runs the P's safe-point function first (runtime/proc.go).
    pub(super) fn any_may_return_to(all: &[Running], positions: &[ThreadPosition], memory: &Memory, to: u64) -> bool {
        let is_on_system_stack = |(one, running): &(&ThreadPosition, &Running)| {
            let is_noted = running.is_in_call_that_returns_to(to);
            one.g != running.g && running.stack.contains(&running.left_at) && !is_noted
        };
        let near = |(_, running): (&ThreadPosition, &Running)| {
            let start = running.left_at & !7;
            start..running.stack.end.min(start.saturating_add(FRAMES))
        };
        let stacks: Vec<_> = positions.iter().zip(all).filter(is_on_system_stack).map(near).collect();
        memory.ranges(&stacks).iter().flatten().any(|&word| word == to)
    }
}

/// Returns a part of each thread's system stack: from where the thread left it for a goroutine's stack, or for C, to
/// where Go's part begins. It contains the frames from which Go has called C. It is empty for a thread that has never
/// left its system stack. None if a thread has left another stack: then C that has stacks of its own has called Go.
pub(super) fn system_stacks(positions: &[ThreadPosition], memory: &Memory) -> Option<Vec<Range<u64>>> {
    let words = memory.words::<G_WORDS>(positions.iter().map(|one| one.m_words[0]));
    let stack = |words: [u64; G_WORDS]| match (words[G_SCHED as usize / 8], words[1]) {
        (0, _) => Some(0..0),
        (sp, high) => (sp < high && high - sp <= LARGEST_STACK).then_some(sp..high),
    };
    words.into_iter().map(stack).collect()
}

/// Returns a word of the program, if it can be read.
pub(super) fn word(memory: &Memory, at: u64) -> Option<u64> {
    memory.word(Avma(at)).ok()
}

#[cfg(test)]
mod tests {
    use cgoprof_symbols::FileOffset;

    use super::*;
    use crate::process::maps::Opened;

    #[test]
    fn who_waits_in_c_is_told_from_who_may_be_elsewhere() {
        let mapping = |start: u64, end: u64, path: &str| Mapping {
            range: Avma(start)..Avma(end),
            executable: false,
            offset: FileOffset(0),
            path: path.into(),
            file: Opened::default(),
        };
        let mappings = [
            mapping(0x40_0000, 0x50_0000, "/app"),
            mapping(0xc0_0000, 0xd0_0000, ""),
            mapping(0x7000_0000, 0x7010_0000, "/lib/libc.so.6"),
            mapping(0x7100_0000, 0x7180_0000, ""),
            mapping(0x7fff_0000, 0x7fff_8000, "[stack]"),
            mapping(0x7fff_c000, 0x7fff_e000, "[vdso]"),
        ];
        let check = |what: &str, registers: [u64; 3], system_call: i64, expected: bool| {
            let one = Registers::made_up(registers, system_call, [0; 6], 0);
            assert_eq!(waits_in_c(&one, &(Avma(0x41_0000)..Avma(0x42_0000)), &mappings), expected, "{what}");
        };
        let (c, stack, thread) = (0x7000_1000, 0x717f_e000, 0x717f_f000);
        check("in libc", [c, stack, thread], 202, true);
        check("in C of the program", [0x43_0000, stack, thread], 0, true);
        check("the first thread", [c, 0x7fff_7000, 0x60_0000], libc::SYS_nanosleep, true);
        check("Go maps memory by C", [c, stack, thread], libc::SYS_mmap, false);
        check("it runs", [c, stack, thread], -1, false);
        check("in Go", [0x41_1000, stack, thread], 202, false);
        check("in the vdso", [0x7fff_c100, stack, thread], 228, false);
        check("in code of no file", [0x7100_1000, stack, thread], 202, false);
        check("on another stack", [c, 0xc0_1000, thread], 202, false);
        check("above its own", [c, thread + 8, thread], 202, false);
        check("nowhere", [0x10, 0x20, 0x30], 202, false);
    }
}
