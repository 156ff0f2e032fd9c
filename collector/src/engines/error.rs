//! Why an engine can't be used.

use nix::errno::Errno;

use super::trampoline::{AttachError, InjectError};
use super::uprobe::UprobeError;
use crate::goruntime::PlanError;
use crate::perf::PerfError;
use crate::process::own_threads::NoThread;
use crate::process::remote_syscall::RemoteError;
use crate::process::stopped_process::StopError;

/// Why an engine can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// ptrace is not allowed.
    #[error(
        "ptrace is not permitted here ({0}); allow it (container: --cap-add=SYS_PTRACE; seccomp: allow ptrace), or run as root"
    )]
    Untraced(Errno),
    /// Attaching to the running program failed.
    #[error(transparent)]
    Join(#[from] AttachError),
    /// The code is not as known.
    #[error("its code is not as expected: {0}; please report it with the output of `cgoprof inspect`")]
    Plan(#[from] PlanError),
    /// The hooks could not be put in.
    #[error("the hooks could not be put in: {0}")]
    Inject(#[from] InjectError),
    /// The probes could not be set.
    #[error(transparent)]
    Uprobe(#[from] UprobeError),
    /// Perf events can't be used.
    #[error("{0}; to allow it: {way_out}", way_out = .0.way_out())]
    Perf(#[from] PerfError),
    /// The code in memory differs from the file.
    #[error("{0} is not in memory as in the file: is another recorder at work on it?")]
    Changed(String),
    /// The program's memory can't be read.
    #[error("its memory can't be read; run as root, with CAP_SYS_PTRACE in a container")]
    Unreadable,
    /// The recorder can't start a thread that it needs.
    #[error(transparent)]
    Threads(#[from] NoThread),
    /// Samples are switched off, but the engine is nothing but samples.
    #[error("it is nothing but samples: leave out --no-samples")]
    NoSamples,
}

impl EngineError {
    /// Whether no other engine would do better: another tracer or recorder has the program.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, EngineError::Join(AttachError::Taken { .. } | AttachError::Freeze(StopError::Traced(_))))
    }

    /// Returns the status with which the program ended while hooks were put in before its start, if it did.
    pub(crate) fn ended(&self) -> Option<u8> {
        match self {
            EngineError::Inject(InjectError::Remote(RemoteError::Ended(status))) => Some(*status),
            _ => None,
        }
    }

    /// Returns how a running program was lost while it was worked on, if it was.
    pub(crate) fn lost(self) -> Option<RemoteError> {
        match self {
            EngineError::Join(
                AttachError::Freeze(StopError::Remote(error)) | AttachError::Inject(InjectError::Remote(error)),
            ) => Some(error).filter(RemoteError::is_final),
            _ => None,
        }
    }

    /// Whether a running program was lost while it was worked on.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            EngineError::Join(
                AttachError::Freeze(StopError::Remote(error)) | AttachError::Inject(InjectError::Remote(error)),
            ) => error.is_final(),
            _ => false,
        }
    }
}
