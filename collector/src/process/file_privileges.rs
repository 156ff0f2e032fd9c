//! What a program gains when it is executed, and loses when its tracer has less (ptrace(2), "execve(2) under ptrace";
//! capabilities(7)).

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

/// Checks that a program loses nothing when we trace it from its start.
///
/// # Errors
/// If it does.
pub(crate) fn check(program: &Path) -> Result<(), Privileged> {
    let status = proc_text::read("/proc/self/status").unwrap_or_default();
    if may_trace_anything(&status) || gains_nothing(&status) {
        return Ok(());
    }
    if statvfs(program).is_ok_and(|filesystem| filesystem.flags().contains(FsFlags::ST_NOSUID)) {
        return Ok(());
    }
    let Ok(file) = program.metadata() else { return Ok(()) };
    let (user, group) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    match gains((file.mode(), file.uid() != user, file.gid() != group), has_capabilities(program)) {
        Some(gains) => Err(Privileged { gains }),
        None => Ok(()),
    }
}

/// `file` is its mode, and whether its user and group are others than ours.
fn gains(file: (u32, bool, bool), has_capabilities: bool) -> Option<Gains> {
    // Without the right to execute the second bit is for locks (inode(7)).
    const SET_GROUP: u32 = libc::S_ISGID | libc::S_IXGRP;
    let (mode, other_user, other_group) = file;
    match () {
        () if mode & libc::S_ISUID != 0 && other_user => Some(Gains::User),
        () if mode & SET_GROUP == SET_GROUP && other_group => Some(Gains::Group),
        () if has_capabilities => Some(Gains::Capabilities),
        () => None,
    }
}

/// Whether a process has CAP_SYS_PTRACE, by its `/proc/PID/status`.
fn may_trace_anything(status: &str) -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let effective = field(status, "CapEff:").and_then(|text| u64::from_str_radix(text, 16).ok());
    effective.is_some_and(|set| set >> CAP_SYS_PTRACE & 1 == 1)
}

/// Whether nothing that a process executes gains anything (prctl(2), PR_SET_NO_NEW_PRIVS).
fn gains_nothing(status: &str) -> bool {
    field(status, "NoNewPrivs:") == Some("1")
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn has_capabilities(program: &Path) -> bool {
    let Ok(path) = CString::new(program.as_os_str().as_bytes()) else { return false };
    // SAFETY: both strings end in a zero; nothing is written, as the size given is 0.
    unsafe { libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) > 0 }
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
    fn who_traces_without_loss() {
        assert!(may_trace_anything("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(may_trace_anything("CapEff:\t0000000000080000\n"));
        assert!(!may_trace_anything("CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n"));
        assert!(!may_trace_anything(""));
        assert!(gains_nothing("NoNewPrivs:\t1\n") && !gains_nothing("NoNewPrivs:\t0\n"));
    }
}
