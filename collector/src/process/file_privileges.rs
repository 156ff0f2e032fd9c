//! Privileges that a program gains when it is executed, and loses if its tracer has fewer (ptrace(2), "execve(2) under
//! ptrace"; capabilities(7)).

use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

use super::proc_text;

/// Why a program can't be traced from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "its file has {gains}, which the system withholds from a program that is traced without CAP_SYS_PTRACE: start it without \
     cgoprof, then cgoprof record -p PID as root"
)]
pub struct Privileged {
    gains: Gains,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gains {
    User,
    Group,
    Capabilities,
}

impl fmt::Display for Gains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Gains::User => "a set-user-ID bit",
            Gains::Group => "a set-group-ID bit",
            Gains::Capabilities => "capabilities",
        })
    }
}

/// Checks that a program loses no privileges when it is traced from its start.
///
/// # Errors
/// If it loses some.
pub(crate) fn check(program: &Path) -> Result<(), Privileged> {
    if !are_lost() {
        return Ok(());
    }
    let status = own_status();
    if statvfs(program).is_ok_and(|filesystem| filesystem.flags().contains(FsFlags::ST_NOSUID)) {
        return Ok(());
    }
    let Ok(file) = program.metadata() else { return Ok(()) };
    let (user, group) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    match gains((file.mode(), file.uid() != user, file.gid() != group), gains_capabilities(program, &status)) {
        Some(gains) => Err(Privileged { gains }),
        None => Ok(()),
    }
}

/// Whether programs that gain privileges lose them if we trace them.
pub(crate) fn are_lost() -> bool {
    let status = own_status();
    !has(&status, "CapEff:", CAP_SYS_PTRACE) && !gains_nothing(&status)
}

fn own_status() -> String {
    proc_text::read("/proc/self/status").unwrap_or_default()
}

/// Returns the privileges that a file gives. `file` is its mode, and whether its user and group differ from ours.
fn gains(file: (u32, bool, bool), gains_capabilities: bool) -> Option<Gains> {
    // Without the group's right to execute, the set-group-ID bit is for locks (inode(7)).
    const SET_GROUP: u32 = libc::S_ISGID | libc::S_IXGRP;
    let (mode, other_user, other_group) = file;
    match () {
        () if mode & libc::S_ISUID != 0 && other_user => Some(Gains::User),
        () if mode & SET_GROUP == SET_GROUP && other_group => Some(Gains::Group),
        () if gains_capabilities => Some(Gains::Capabilities),
        () => None,
    }
}

const CAP_SYS_PTRACE: u64 = 1 << 19;

/// Returns one of a process's sets of capabilities, from its `/proc/PID/status`.
fn set(status: &str, name: &str) -> u64 {
    field(status, name).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0)
}

fn has(status: &str, name: &str, capability: u64) -> bool {
    set(status, name) & capability != 0
}

/// Whether no program that the process executes gains privileges (prctl(2), PR_SET_NO_NEW_PRIVS).
fn gains_nothing(status: &str) -> bool {
    field(status, "NoNewPrivs:") == Some("1")
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Whether a file gives a process capabilities that it does not have already.
fn gains_capabilities(program: &Path, status: &str) -> bool {
    let Ok(path) = CString::new(program.as_os_str().as_bytes()) else { return false };
    let mut data = [0u8; 24];
    // SAFETY: both strings end in a zero; the kernel writes at most as many bytes as the buffer has.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), data.as_mut_ptr().cast(), data.len()) };
    let data = usize::try_from(length).ok().and_then(|length| data.get(..length)).unwrap_or_default();
    permitted(data) & set(status, "CapBnd:") & !set(status, "CapPrm:") != 0
}

/// Returns the capabilities that a file permits (include/uapi/linux/capability.h, `vfs_cap_data`). The words are a
/// revision with flags, the lower halves of the permitted and the inheritable set, then the upper halves.
fn permitted(data: &[u8]) -> u64 {
    let word = |index: usize| {
        let bytes = data.get(4 * index..4 * index + 4).and_then(|bytes| bytes.try_into().ok());
        u64::from(bytes.map_or(0, u32::from_le_bytes))
    };
    word(3) << 32 | word(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_gain() {
        assert_eq!(gains((0o100_755, true, true), false), None);
        assert_eq!(gains((0o104_755, true, true), true), Some(Gains::User));
        assert_eq!(gains((0o104_755, false, true), false), None, "its own user's already");
        assert_eq!(gains((0o102_755, false, true), false), Some(Gains::Group));
        assert_eq!(gains((0o102_745, false, true), false), None, "that is for locks");
        assert_eq!(gains((0o100_755, false, false), true), Some(Gains::Capabilities));
    }

    #[test]
    fn capabilities_of_a_file() {
        let data: Vec<u8> = [0x200_0001u32, 0x400, 7, 0x80, 9].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(permitted(&data), 0x80_0000_0400);
        assert_eq!((permitted(&data[..8]), permitted(&[])), (0x400, 0));
    }

    #[test]
    fn who_traces_without_loss() {
        let may_trace = |status: &str| has(status, "CapEff:", CAP_SYS_PTRACE);
        assert!(may_trace("Name:\tx\nCapEff:\t000001ffffffffff\n") && may_trace("CapEff:\t0000000000080000\n"));
        assert!(!may_trace("CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n") && !may_trace(""));
        assert!(gains_nothing("NoNewPrivs:\t1\n") && !gains_nothing("NoNewPrivs:\t0\n"));
    }
}
