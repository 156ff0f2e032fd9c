//! Reading the memory of another process, which goes on meanwhile.

use std::io::IoSliceMut;

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
