//! The end of a process that is not our child.

use std::os::fd::{FromRawFd as _, OwnedFd};

use nix::unistd::Pid;

/// Returns a descriptor that can be read once a process has ended (pidfd_open(2)); none if it has ended and its parent
/// knows, or where the system has no such descriptors.
pub(crate) fn descriptor(pid: Pid) -> Option<OwnedFd> {
    // SAFETY: a system call on numbers. What it returns, if it is no error, is a descriptor that nobody else has.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid.as_raw()), 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    }
}
