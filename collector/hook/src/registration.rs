//! What a recorder tells others of itself in the target: who it is, and what must be undone.

/// Who is at work in a process and where: the start of the mapping, so that whoever finds that can undo the rest.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Registration {
    /// [`crate::layout::MAGIC`].
    pub magic: u64,
    /// Bytes of the whole mapping.
    pub size: u64,
    /// Address of the hooks' mapping.
    pub hooks: u64,
    /// Bytes of that.
    pub hooks_size: u64,
    /// Address of the [`Undo`] within the hooks' mapping.
    pub undo: u64,
    /// The recorder's process id.
    pub recorder: u64,
    /// When that process was started, in clock ticks since the system's (`/proc/PID/stat`, field 22).
    pub recorder_started: u64,
    /// The namespace of its process id: the inode of `/proc/self/ns/pid`.
    pub recorder_namespace: u64,
    /// 1 if the hooks are off and must stay mapped for good: it is not known who may return there.
    pub kept: u64,
    /// The process that it records, as that namespace knows it: a child that this forks has the same mapping.
    pub target: u64,
}

/// First word of an [`Undo`].
pub const UNDO: u64 = u64::from_le_bytes(*b"cgoundo\x03");

/// What was replaced in the program, behind the hooks' code, where the program can't write; [`Replaced`] follow, in
/// the order in which they are to be put back.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Undo {
    /// [`UNDO`].
    pub magic: u64,
    /// How many were replaced.
    pub count: u64,
    /// Start of Go's code.
    pub go_start: u64,
    /// End of Go's code.
    pub go_end: u64,
    /// Start of the hook that calls what gets an M for a foreign thread.
    pub attach_start: u64,
    /// End of that.
    pub attach_end: u64,
    /// From FS to the thread's g, as a signed number.
    pub goroutine: u64,
    /// Offset of `m.procid`.
    pub m_procid: u64,
    /// Bytes that `asmcgocall` takes of the system stack, which it then aligns to 16.
    pub taken: u64,
    /// From the C hook's return address in `asmcgocall` to the g that is saved there.
    pub saved_g: u64,
    /// The same to the depth of its stack.
    pub saved_depth: u64,
    /// The word of the runtime's first module that may lead to the hooks' module; 0 if there is none.
    pub module_link: u64,
    /// The hooks' module.
    pub module: u64,
    /// The word of that which leads on.
    pub module_next: u64,
}

/// Bytes of the program's code that were replaced.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// Where.
    pub at: u64,
    /// How many.
    pub length: u64,
    /// What was there.
    pub original: [u8; 16],
    /// What is there instead.
    pub hooked: [u8; 16],
}
