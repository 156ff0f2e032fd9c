//! How a recorded process is tied to the recorder.

use std::os::fd::OwnedFd;

use nix::unistd::Pid;

/// What a recorded process is to the recorder.
#[derive(Debug)]
pub(super) enum Tie {
    /// Its child: it was started by it. The descriptor tells of its end, as does a signal.
    Child(Option<OwnedFd>),
    /// It was started by a process that the recorder follows, and is recorded from its start. The descriptor tells of its
    /// end.
    Followed(Option<OwnedFd>),
    /// It ran already. The descriptor tells of its end.
    Joined(Option<OwnedFd>),
}

impl Tie {
    /// Returns the process, if it is a child.
    pub(super) fn child(&self, pid: Pid) -> Option<Pid> {
        matches!(self, Tie::Child(_)).then_some(pid)
    }

    /// Returns the descriptor that can be read once the process has ended, if there is one.
    pub(super) fn end(&self) -> Option<&OwnedFd> {
        match self {
            Tie::Child(end) | Tie::Followed(end) | Tie::Joined(end) => end.as_ref(),
        }
    }
}
