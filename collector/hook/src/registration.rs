//! Registration of a recorder in the program: tells other recorders which process it is, and what must be undone.

/// Names the recorder of a process and the place of its hooks. It is the start of the mapping, so that a recorder that
/// finds the mapping can undo the rest.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Registration {
    /// [`crate::layout::MAGIC`].
    pub magic: u64,
    /// Bytes of the whole mapping.
    pub size: u64,
    /// Address of the hooks' mapping.
    pub hooks: u64,
    /// Bytes of the hooks' mapping.
    pub hooks_size: u64,
    /// Address of the [`Undo`] within the hooks' mapping.
    pub undo: u64,
    /// The recorder's process id.
    pub recorder: u64,
    /// Start time of that process, in clock ticks since the system's boot (`/proc/PID/stat`, field 22).
    pub recorder_started: u64,
    /// Namespace of its process id: the inode of `/proc/self/ns/pid`.
    pub recorder_namespace: u64,
    /// 1 if the hooks are off and must stay mapped for good, because it is not known which threads may return there.
    pub kept: u64,
    /// Id in that namespace of the process that it records: a forked child of that process has the same mapping.
    pub target: u64,
}

/// First word of an [`Undo`].
pub const UNDO: u64 = u64::from_le_bytes(*b"cgoundo\x03");

/// List of what was replaced in the program. It lies behind the hooks' code, where the program can't write. The
/// [`Replaced`] follow it, in the order in which they are to be restored.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Undo {
    /// [`UNDO`].
    pub magic: u64,
    /// Number of [`Replaced`] that follow.
    pub count: u64,
    /// Start of Go's code.
    pub go_start: u64,
    /// End of Go's code.
    pub go_end: u64,
    /// Start of the attach hook, which calls the function that gets an M for a foreign thread.
    pub attach_start: u64,
    /// End of the attach hook.
    pub attach_end: u64,
    /// Bytes from FS to the thread's g, as a signed number.
    pub goroutine: u64,
    /// Offset of `m.procid`.
    pub m_procid: u64,
    /// Bytes that `asmcgocall` takes of the system stack, which it then aligns to 16.
    pub taken: u64,
    /// Bytes from the C hook's return address in `asmcgocall` to the g that is saved there.
    pub saved_g: u64,
    /// Bytes from the same return address to the saved depth of that g's stack.
    pub saved_depth: u64,
    /// Address of the word of the runtime's first module that may lead to the hooks' module; 0 if there is none.
    pub module_link: u64,
    /// Address of the hooks' module.
    pub module: u64,
    /// Address of the word of the hooks' module that leads to the next one.
    pub module_next: u64,
}

/// Bytes of the program's code that were replaced.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// Address of the first byte.
    pub at: u64,
    /// Number of bytes.
    pub length: u64,
    /// Bytes that were there before.
    pub original: [u8; 16],
    /// Bytes that are there now.
    pub hooked: [u8; 16],
}
