//! The trampoline engine's plan: which bytes are replaced, and what the hooks must know. [`crate::arch`] works it out
//! from a binary's code.

use std::ops::Range;

use cgoprof_symbols::Svma;
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;

use super::module::ModulePlan;

/// Why an engine can't be used on a binary.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum PlanError {
    /// A function is not in the pclntab.
    #[error("the binary has no {0}")]
    MissingFunction(&'static str),
    /// A function's bytes are not there or not code.
    #[error("the code of {0} can't be read")]
    Unreadable(String),
    /// The code is not as expected.
    #[error("{function} has an unknown shape: expected {expected}")]
    Shape {
        /// Name of the function.
        function: String,
        /// Shape that was expected.
        expected: String,
    },
    /// A branch leads into bytes that would be replaced.
    #[error("{function} branches into the bytes to be patched, from {from}")]
    BranchInto {
        /// Name of the function.
        function: String,
        /// Address of the branch.
        from: Svma,
    },
    /// The struct offsets are neither known nor in DWARF.
    #[error("the struct offsets of its Go version ({0}) are not known and the binary has no DWARF that states them")]
    Offsets(String),
}

/// Which hook a patch leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// `cgocall` calls `entersyscall`.
    Enter,
    /// `asmcgocall` calls the C function.
    C,
    /// `cgocall` returns.
    Exit,
    /// `cgocallbackg` calls `exitsyscall`.
    CallbackBegin,
    /// `cgocallbackg` calls `cgocallbackg1`.
    CallbackAcquired,
    /// `cgocallbackg` calls `reentersyscall`.
    CallbackEnd,
    /// The same where `cgocallbackg` has `reentersyscall` inlined.
    CallbackEndInlined,
    /// `cgocallbackg` returns.
    CallbackRelease,
    /// `cgocallback` loads the address of `needm` or `needAndBindM`.
    Attach,
    /// `unwindm` leaves a crossing.
    Unwind,
    /// `exitsyscall` calls `mcall` because there is no P.
    Park,
    /// `LockOSThread` counts `m.lockedExt`, in itself or where it is inlined.
    Lock,
    /// `UnlockOSThread` counts `m.lockedExt`, in itself or where it is inlined.
    Unlock,
    /// `plugin.open` calls `lastmoduleinit`: a plugin has been loaded.
    PluginLoaded,
    /// `forkAndExecInChild1` calls `runtime_AfterForkInChild`, in the child.
    Forked,
    /// `Exec` calls `runtime_BeforeExec`.
    Executes,
    /// `Exec` calls `runtime_AfterExec`: it could not execute a program.
    Stays,
}

impl Hook {
    /// Whether its places are single instructions amid functions. There may be several of them.
    pub fn is_amid(self) -> bool {
        matches!(self, Hook::CallbackEndInlined | Hook::Unwind | Hook::Lock | Hook::Unlock)
    }
}

/// How the hook is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transfer {
    /// `call rel32`.
    Call,
    /// `jmp rel32`, followed by padding that is never executed.
    Jump,
    /// `lea rax, [rip + rel32]`, for a call that follows.
    Load,
}

/// One replaced piece of code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// Hook that the patch leads to.
    pub hook: Hook,
    /// Name of the patched function, for people.
    pub function: String,
    /// Address of the first byte.
    pub at: Svma,
    /// Bytes that must be there.
    pub original: Vec<u8>,
    /// Kind of instruction that replaces them.
    pub transfer: Transfer,
    /// Bytes from the stack pointer there to the return address of the function, if its table tells.
    pub frame_size: Option<u32>,
}
/// Instructions that a hook repeats because they were replaced. They are position independent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Displaced {
    /// The hook.
    pub hook: Hook,
    /// Address at which they were.
    pub at: Svma,
    /// The instructions.
    pub code: Vec<u8>,
    /// Address at which the function continues; none after an epilogue.
    pub back: Option<Svma>,
}

/// Everything that injection needs to know about a binary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Pieces of code that are replaced.
    pub patches: Vec<Patch>,
    /// Instructions that the hooks repeat.
    pub displaced: Vec<Displaced>,
    /// Number of places where goroutines lock themselves to their threads, or unlock, with code that is not as known.
    /// They are not replaced.
    pub unseen_locks: usize,
    /// `runtime.mcall`.
    pub mcall: Svma,
    /// `plugin.lastmoduleinit`, if the program loads plugins.
    pub lastmoduleinit: Option<Svma>,
    /// Functions that processes go through when they leave the program.
    pub departures: Departures,
    /// `runtime.cgocallbackg1`.
    pub cgocallbackg1: Svma,
    /// Function that gets an M for a foreign thread.
    pub needm: Svma,
    /// `runtime.newm1`, which makes threads, and functions into which it may be inlined.
    pub newm1: Vec<Range<Svma>>,
    /// `runtime.LockOSThread`, if the program has it.
    pub lock_os_thread: Option<Range<Svma>>,
    /// Return address of `cgocall`'s call of `entersyscall`.
    pub after_entersyscall: Svma,
    /// Return address of `cgocall`'s call of `exitsyscall`.
    pub after_exitsyscall: Svma,
    /// `runtime.entersyscall`.
    pub entersyscall: Svma,
    /// `runtime.exitsyscall`.
    pub exitsyscall: Svma,
    /// `runtime.reentersyscall`, unless it is inlined.
    pub reentersyscall: Option<Svma>,
    /// Return address of `cgocall`'s call of `asmcgocall`.
    pub after_asmcgocall: Svma,
    /// Struct offsets.
    pub offsets: RuntimeOffsets,
    /// Go 1.26 on: the P stays wired to its M in a system call.
    pub p_stays_wired: bool,
    /// Layout of `asmcgocall`'s and `cgocall`'s frames.
    pub frames: FrameLayout,
    /// Where a thread keeps its g.
    pub goroutine: GoroutineSlot,
    /// purego's trampoline.
    pub purego: Option<Svma>,
    /// Where the runtime looks for functions.
    pub module: Option<ModulePlan>,
}

/// The functions that are called where processes leave the program; none where there is no patch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Departures {
    /// `syscall.runtime_AfterForkInChild`.
    pub after_fork_in_child: Option<Svma>,
    /// `syscall.runtime_BeforeExec`.
    pub before_exec: Option<Svma>,
    /// `syscall.runtime_AfterExec`.
    pub after_exec: Option<Svma>,
}

/// Where a thread keeps its g, from FS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GoroutineSlot {
    /// At this offset, in any process.
    At(i32),
    /// At the offset in this word, which is filled in when the library is loaded.
    Stated(Svma),
}

/// Distances in bytes between the words that the hooks need in the frames of `cgocall` and `asmcgocall`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameLayout {
    /// Bytes that `asmcgocall` takes of the system stack, which it then aligns to 16.
    pub taken: u32,
    /// From the stack pointer at the C hook to the saved g.
    pub saved_g: u32,
    /// From the stack pointer at the C hook to the saved depth.
    pub saved_depth: u32,
    /// From the goroutine's stack pointer in `asmcgocall` to its return address.
    pub to_return: u32,
    /// From the goroutine's stack pointer in `asmcgocall` to `cgocall`'s frame pointer.
    pub to_frame: u32,
    /// From `cgocall`'s frame pointer to its spilled `fn`.
    pub spilled_fn: u32,
    /// From `cgocall`'s frame pointer to its spilled `arg`.
    pub spilled_arg: u32,
}

impl Plan {
    /// Returns the plan without the hooks that wait for the recorder: only the plugins that the first module loads, and the
    /// processes that it starts, are seen to.
    pub(crate) fn without_waits(mut self) -> Plan {
        let waits = |hook| matches!(hook, Hook::PluginLoaded | Hook::Forked | Hook::Executes | Hook::Stays);
        self.patches.retain(|patch| !waits(patch.hook));
        (self.lastmoduleinit, self.departures) = (None, Departures::default());
        self
    }
}
