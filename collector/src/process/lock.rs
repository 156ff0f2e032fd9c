//! One at a time: who changes a program holds a lock on its file meanwhile.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::status;

/// The lock, until it is dropped; or nothing, where it is not to be had.
pub(crate) struct Lock {
    _file: Option<File>,
}

/// A recorder holds it for some milliseconds. A program may hold it for its own purposes for as long as it likes.
const LONGEST: Duration = Duration::from_secs(3);

impl Lock {
    /// Waits for other recorders to be done with programs of this file.
    pub(crate) fn of(pid: Pid) -> Lock {
        let Ok(file) = File::open(status::program(pid)) else { return Lock { _file: None } };
        let started = Instant::now();
        loop {
            // SAFETY: a system call on a descriptor that is open.
            let taken = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
            match Errno::result(taken) {
                Ok(_) => return Lock { _file: Some(file) },
                Err(Errno::EWOULDBLOCK) if started.elapsed() < LONGEST => std::thread::sleep(Duration::from_millis(2)),
                Err(_) => return Lock { _file: None },
            }
        }
    }
}
