//! Values that the kernel passes to a program at its start: `/proc/PID/auxv`.

use cgoprof_symbols::{Avma, Svma};
use nix::unistd::Pid;

use super::status;

/// Returns how far from its stated addresses a program with this entry point was loaded; none if that can't be read.
pub(crate) fn load_bias(pid: Pid, entry: Svma) -> Option<u64> {
    const AT_ENTRY: u64 = 9;
    Some(value(pid, AT_ENTRY)?.wrapping_sub(entry.0))
}

/// Address and number of a program's program headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProgramHeaders {
    pub(crate) start: Avma,
    pub(crate) count: u64,
}

/// Returns the program headers of a process; none if they can't be read.
pub(crate) fn program_headers(pid: Pid) -> Option<ProgramHeaders> {
    const AT_PHDR: u64 = 3;
    const AT_PHNUM: u64 = 5;
    Some(ProgramHeaders { start: Avma(value(pid, AT_PHDR)?), count: value(pid, AT_PHNUM)? })
}

/// Returns the address of a program's random bytes; none if it can't be read. The address changes when the process
/// executes a program, if addresses are random at all.
pub(super) fn random_bytes(pid: Pid) -> Option<Avma> {
    const AT_RANDOM: u64 = 25;
    Some(Avma(value(pid, AT_RANDOM)?))
}

fn value(pid: Pid, key: u64) -> Option<u64> {
    let mut auxv = std::fs::read(format!("/proc/{pid}/auxv")).ok()?;
    if auxv.is_empty() {
        // The first thread has ended before the others.
        auxv = std::fs::read(format!("/proc/{pid}/task/{}/auxv", status::living_thread(pid)?)).ok()?;
    }
    let words: Vec<u64> =
        auxv.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect();
    words.chunks_exact(2).find(|pair| pair[0] == key).map(|pair| pair[1])
}
