//! Parameters that the recorder passes to the hooks: addresses and offsets of this program. They lie before the hooks'
//! code.

/// Parameters of the hooks. The recorder writes them once, before any hook runs.
///
/// Offsets of `g`, `m` and `p` are Go's (`runtime/runtime2.go`), found by the plan for the program's version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Params {
    /// Address of the shared mapping in the program.
    pub tables: u64,
    /// `runtime.entersyscall`.
    pub entersyscall: u64,
    /// `runtime.exitsyscall`.
    pub exitsyscall: u64,
    /// `runtime.reentersyscall`.
    pub reentersyscall: u64,
    /// `runtime.mcall`.
    pub mcall: u64,
    /// `plugin.lastmoduleinit`, if the program loads plugins.
    pub lastmoduleinit: u64,
    /// What `forkAndExecInChild1` calls in the child: `syscall.runtime_AfterForkInChild`.
    pub after_fork_in_child: u64,
    /// What `syscall.Exec` calls before execve(2): `syscall.runtime_BeforeExec`.
    pub before_exec: u64,
    /// What `syscall.Exec` calls if that fails: `syscall.runtime_AfterExec`.
    pub after_exec: u64,
    /// `runtime.cgocallbackg1`.
    pub cgocallbackg1: u64,
    /// Function that gets an M for a foreign thread in `cgocallback`: `needm` or `needAndBindM`.
    pub needm: u64,
    /// Return address of `call asmcgocall` in `runtime.cgocall`.
    pub after_asmcgocall: u64,
    /// Return address of `call exitsyscall` in `runtime.cgocall`.
    pub after_exitsyscall: u64,
    /// Offset of `m.lockedExt`.
    pub m_locked_ext: u64,
    /// Offset of `m.procid`.
    pub m_procid: u64,
    /// Offset of `m.p`.
    pub m_p: u64,
    /// Offset of `m.oldp`.
    pub m_oldp: u64,
    /// Offset of `m.syscalltick`.
    pub m_syscalltick: u64,
    /// Offset of `m.id`.
    pub m_id: u64,
    /// Offset of `g.goid`.
    pub g_goid: u64,
    /// 1 where the P stays wired to its M in a system call: from Go 1.26 on.
    pub p_stays_wired: u64,
    /// Start and end of `runtime.newm1`, which makes threads, and of what it may be inlined into.
    pub newm1: [[u64; 2]; 3],
    /// Start and end of `runtime.LockOSThread`, 0 where it is inlined wherever it is used.
    pub lock_os_thread: [u64; 2],
    /// Bytes from FS to the thread's g.
    pub goroutine: u64,
    /// Bytes from the stack pointer at the C hook to the word in which `asmcgocall` keeps the user's g.
    pub saved_g: u64,
    /// Bytes from there to the depth of the goroutine's stack pointer below `g.stack.hi`.
    pub saved_depth: u64,
    /// Bytes from the goroutine's stack pointer in `asmcgocall` to `cgocall`'s frame pointer.
    pub to_frame: u64,
    /// Bytes from the goroutine's stack pointer in `asmcgocall` to its return address: 0 or 8.
    pub to_return: u64,
    /// Bytes from the goroutine's stack pointer in `asmcgocall` to its first argument, dead after it returns.
    pub to_slots: u64,
    /// Bytes from `cgocall`'s frame pointer to its spilled `fn`.
    pub spilled_fn: u64,
    /// Bytes from `cgocall`'s frame pointer to its spilled `arg`.
    pub spilled_arg: u64,
    /// Address of a trampoline whose argument begins with the actual C function (purego), or 0.
    pub indirect_fn: u64,
    /// Offset in the mapping beyond which stacks get no more room.
    pub stack_arena_end: u64,
    /// Offset of the end of the mapping.
    pub arena_end: u64,
    /// Start of the program's own file in memory.
    pub own_start: u64,
    /// End of the program's own file in memory.
    pub own_end: u64,
    /// Maximum frames kept per stack.
    pub max_frames: u64,
    /// Minimum ticks in C that make a crossing an event.
    pub slow: u64,
    /// Crossings between timed ones at first: 1, or 0 for never.
    pub first_interval: u64,
    /// Time when the hooks came, in ticks: a crossing that returned from C before was an earlier recorder's.
    pub begun: u64,
}

/// Displacements with which the thunks are assembled. Each is replaced by this program's before they are mapped: a load
/// from the parameters would cost every crossing a cycle.
pub mod immediates {
    /// Offset of `m.p`.
    pub const M_P: u32 = 0x5eed_0002;
    /// Offset of `m.lockedExt`.
    pub const M_LOCKED_EXT: u32 = 0x5eed_0003;
    /// Bytes from `cgocall`'s frame pointer to its spilled `fn`.
    pub const SPILLED_FN: u32 = 0x5eed_0004;
    /// Bytes from `cgocall`'s frame pointer to the result word of its call of `asmcgocall`, dead until that returns.
    pub const FRAME_RESULT: u32 = 0x5eed_0005;
    /// Bytes from the goroutine's stack pointer in `asmcgocall` to the same word.
    pub const RESULT: u32 = 0x5eed_0006;
    /// Bytes from the goroutine's stack pointer in `asmcgocall` to its return address.
    pub const RETURN: u32 = 0x5eed_0007;
    /// Bytes from the goroutine's stack pointer in `asmcgocall` to its first argument.
    pub const FIRST_SLOT: u32 = 0x5eed_000c;
    /// Bytes from the stack pointer at the C hook to the saved g.
    pub const SAVED_G: u32 = 0x5eed_0009;
    /// Bytes of the C hook's own frame.
    pub const FRAME: u64 = 24;
    /// As `SAVED_G`, from below the C hook's own frame.
    pub const SAVED_G_BELOW: u32 = 0x5eed_000e;
    /// As [`super::Params::saved_depth`], from below the C hook's own frame.
    pub const SAVED_DEPTH_BELOW: u32 = 0x5eed_000b;
    /// Low half of the return address of `call asmcgocall` in `cgocall`.
    pub const AFTER_ASMCGOCALL: u32 = 0x5eed_000f;
    /// Distance from the next instruction to `entersyscall`.
    pub const ENTERSYSCALL: u32 = 0x5eed_0010;
    /// Bytes from FS to the thread's g.
    pub const GOROUTINE: u32 = 0x5eed_000d;
    /// Offset of `g.goid`.
    pub const G_GOID: u32 = 0x5eed_0008;
}
