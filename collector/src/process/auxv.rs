//! What the kernel tells a program at its start: `/proc/PID/auxv`.

use nix::unistd::Pid;

use crate::target::Target;

/// How far from its stated addresses a program was loaded; none if that can't be read.
pub(crate) fn load_bias(pid: Pid, target: &Target<'_>) -> Option<u64> {
    const AT_ENTRY: u64 = 9;
    let auxv = std::fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let words: Vec<u64> =
        auxv.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect();
    let entry = words.chunks_exact(2).find(|pair| pair[0] == AT_ENTRY)?[1];
    Some(entry.wrapping_sub(target.binary.entry().0))
}
