//! Memory of another process.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use cgoprof_symbols::Avma;
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

use super::status;

/// Reads a word of a process's memory.
pub(crate) fn word(pid: Pid, at: Avma) -> Option<u64> {
    let mut word = [0; 8];
    (read(pid, at, &mut word)? == word.len()).then(|| u64::from_le_bytes(word))
}

/// Reads as many bytes as are mapped, and returns their number.
pub(crate) fn read(pid: Pid, at: Avma, into: &mut [u8]) -> Option<usize> {
    try_read(pid, at, into).ok()
}

/// Reads as many bytes as are mapped, and returns their number.
///
/// # Errors
/// EFAULT if nothing is mapped there; any other error leaves that unknown.
pub(crate) fn try_read(pid: Pid, at: Avma, into: &mut [u8]) -> nix::Result<usize> {
    let remote = RemoteIoVec { base: at.0 as usize, len: into.len() };
    process_vm_readv(pid, &mut [IoSliceMut::new(into)], &[remote])
}

/// Whether a process has another word than this at an address, or nothing. False if the process can't be read.
pub(crate) fn is_other_word(pid: Pid, at: Avma, expected: u64) -> bool {
    let mut word = [0; 8];
    let remote = RemoteIoVec { base: at.0 as usize, len: word.len() };
    // The first thread may have ended before the others.
    let thread = status::living_thread(pid).unwrap_or(pid);
    match process_vm_readv(thread, &mut [IoSliceMut::new(&mut word)], &[remote]) {
        Ok(read) => read < word.len() || u64::from_le_bytes(word) != expected,
        Err(error) => error == Errno::EFAULT,
    }
}

/// Memory of a process that we trace, or may trace. It can be read, and written even where the process itself may not.
#[derive(Debug)]
pub(crate) struct Memory {
    pid: Pid,
    file: File,
}

/// Maximum number of places that one system call reads or writes (`UIO_MAXIOV`).
const MOST_PLACES: usize = 1024;

impl Memory {
    /// Opens the memory of what a process executes now. It is empty once the process executes another program, unless
    /// somebody else reads it just then.
    pub(crate) fn open(pid: Pid) -> std::io::Result<Memory> {
        Memory::of_thread(pid, status::living_thread(pid).unwrap_or(pid))
    }

    /// Opens the memory of a process through one of its threads.
    pub(super) fn of_thread(pid: Pid, thread: Pid) -> std::io::Result<Memory> {
        let file = File::options().read(true).write(true).open(format!("/proc/{pid}/task/{thread}/mem"))?;
        Ok(Memory { pid: thread, file })
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

    /// Reads `N` words from each of these addresses on; 0 where nothing is mapped.
    pub(crate) fn words<const N: usize>(&self, at: impl Iterator<Item = u64>) -> Vec<[u64; N]> {
        let bytes = self.gather(at.map(|at| (at, N * 8)).collect());
        let words: Vec<u64> = bytes.chunks_exact(8).map(word_of).collect();
        words.as_chunks().0.to_vec()
    }

    /// Reads the words in these ranges; 0 where nothing is mapped.
    pub(crate) fn ranges(&self, ranges: &[Range<u64>]) -> Vec<Vec<u64>> {
        let length = |range: &Range<u64>| (range.end - range.start) as usize / 8 * 8;
        let bytes = self.gather(ranges.iter().map(|range| (range.start, length(range))).collect());
        let mut rest = bytes.as_slice();
        let mut next =
            |range| rest.split_off(..length(range)).unwrap_or_default().chunks_exact(8).map(word_of).collect();
        ranges.iter().map(&mut next).collect()
    }

    /// Reads the bytes at these places, of these lengths, one after the other, in few system calls.
    fn gather(&self, places: Vec<(u64, usize)>) -> Vec<u8> {
        let places: Vec<RemoteIoVec> =
            places.into_iter().map(|(at, len)| RemoteIoVec { base: at as usize, len }).collect();
        let mut bytes = vec![0; places.iter().map(|place| place.len).sum()];
        let (mut done, mut start) = (0, 0);
        while done < places.len() {
            let mut now = &places[done..places.len().min(done + MOST_PLACES)];
            let length: usize = now.iter().map(|place| place.len).sum();
            let into = &mut bytes[start..start + length];
            let mut read = match process_vm_readv(self.pid, &mut [IoSliceMut::new(into)], now) {
                Ok(read) => read,
                Err(Errno::EFAULT) => 0,
                // The call is refused, which does not mean that nothing is mapped there.
                Err(_) => {
                    now = &now[..1];
                    self.file.read_at(&mut into[..now[0].len], now[0].base as u64).unwrap_or(0)
                }
            };
            for place in now {
                (done, start) = (done + 1, start + place.len);
                if read < place.len {
                    // The call stops at the first place that is not mapped.
                    bytes[start - place.len + read..start].fill(0);
                    break;
                }
                read -= place.len;
            }
        }
        bytes
    }

    pub(crate) fn write(&self, at: Avma, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, at.0)
    }

    /// Writes the same bytes to many places, to which the process itself may write.
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

fn word_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap_or_default())
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
        let expected = |index: usize| if index.is_multiple_of(7) { [0] } else { [own[index]] };
        assert_eq!(read, (0..own.len()).map(expected).collect::<Vec<_>>());

        let start = own.as_ptr() as u64;
        let ranges = [start..start + 24, 0..80, 0..0, start + 80..start + 96];
        assert_eq!(memory.ranges(&ranges), [vec![1, 2, 3], vec![0; 10], vec![], vec![11, 12]]);
    }

    #[test]
    fn many_places_are_written() {
        let mut own = vec![0u64; 2500];
        let at: Vec<u64> = own.iter_mut().map(|word| &raw mut *word as u64 + 4).collect();
        Memory::open(Pid::this()).unwrap().write_all(&at, &[1, 0, 0, 0]).unwrap();
        assert!(own.iter().all(|&word| word == 1 << 32));
    }
}
