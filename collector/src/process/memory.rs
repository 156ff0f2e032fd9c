//! The memory of another process.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::unix::fs::FileExt as _;

use cgoprof_symbols::Avma;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
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
pub(crate) struct Memory {
    pid: Pid,
    file: File,
}

/// Places that one system call reads or writes at most (`UIO_MAXIOV`).
const MOST_PLACES: usize = 1024;

impl Memory {
    pub(crate) fn open(pid: Pid) -> std::io::Result<Memory> {
        let file = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        Ok(Memory { pid, file })
    }

    pub(crate) fn read(&self, at: Avma, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at.0)?;
        Ok(bytes)
    }

    pub(crate) fn word(&self, at: Avma) -> std::io::Result<u64> {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, at.0)?;
        Ok(u64::from_le_bytes(word))
    }

    /// The words at these addresses, 0 where there is none.
    pub(crate) fn words(&self, at: impl Iterator<Item = u64>) -> Vec<u64> {
        let places: Vec<RemoteIoVec> = at.map(|at| RemoteIoVec { base: at as usize, len: 8 }).collect();
        let mut bytes = vec![0; places.len() * 8];
        let mut done = 0;
        while done < places.len() {
            let end = places.len().min(done + MOST_PLACES);
            let into = &mut bytes[done * 8..end * 8];
            // It stops at the first that is not there.
            let read = process_vm_readv(self.pid, &mut [IoSliceMut::new(into)], &places[done..end]).unwrap_or(0) / 8;
            done += if read == end - done { read } else { read + 1 };
        }
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect()
    }

    pub(crate) fn write(&self, at: Avma, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, at.0)
    }

    /// Writes the same to many places that the process itself may write to.
    pub(crate) fn write_all(&self, at: &[u64], bytes: &[u8]) -> std::io::Result<()> {
        for places in at.chunks(MOST_PLACES) {
            let own = vec![IoSlice::new(bytes); places.len()];
            let theirs = places.iter().map(|&at| RemoteIoVec { base: at as usize, len: bytes.len() });
            let written = process_vm_writev(self.pid, &own, &theirs.collect::<Vec<_>>())?;
            if written != places.len() * bytes.len() {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_there_are_read_whatever_is_beside_them() {
        let own: Vec<u64> = (1..3000).collect();
        let memory = Memory::open(Pid::this()).unwrap();
        let at = |index: usize| if index.is_multiple_of(7) { 16 } else { &raw const own[index] as u64 };
        let read = memory.words((0..own.len()).map(at));
        let expected = |index: usize| if index.is_multiple_of(7) { 0 } else { own[index] };
        assert_eq!(read, (0..own.len()).map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn many_places_are_written() {
        let mut own = vec![0u64; 2500];
        let at: Vec<u64> = own.iter_mut().map(|word| &raw mut *word as u64 + 4).collect();
        Memory::open(Pid::this()).unwrap().write_all(&at, &[1, 0, 0, 0]).unwrap();
        assert!(own.iter().all(|&word| word == 1 << 32));
    }
}
