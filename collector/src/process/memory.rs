//! The memory of another process.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt as _;

use cgoprof_symbols::Avma;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// A word of it.
pub(crate) fn word(pid: Pid, at: Avma) -> Option<u64> {
    let mut word = [0; 8];
    (read(pid, at, &mut word)? == word.len()).then(|| u64::from_le_bytes(word))
}

/// Fills as much as is there; returns how much that is.
pub(crate) fn read(pid: Pid, at: Avma, into: &mut [u8]) -> Option<usize> {
    let remote = RemoteIoVec { base: at.0 as usize, len: into.len() };
    process_vm_readv(pid, &mut [IoSliceMut::new(into)], &[remote]).ok()
}

/// The memory of a process that we trace, or may: to be read, and written even where the process itself may not.
#[derive(Debug)]
pub(crate) struct Memory(File);

impl Memory {
    pub(crate) fn open(pid: Pid) -> std::io::Result<Memory> {
        File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).map(Memory)
    }

    pub(crate) fn read(&self, at: Avma, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, at.0)?;
        Ok(bytes)
    }

    pub(crate) fn word(&self, at: Avma) -> std::io::Result<u64> {
        let mut word = [0; 8];
        self.0.read_exact_at(&mut word, at.0)?;
        Ok(u64::from_le_bytes(word))
    }

    pub(crate) fn write(&self, at: Avma, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all_at(bytes, at.0)
    }
}
