//! Checks that `/proc` belongs to our PID namespace, so that its numbers are ours (pid_namespaces(7)).

use std::path::Path;

/// Why processes can't be looked at by their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ForeignProc {
    /// There is no `/proc`.
    #[error("/proc is not mounted here: mount -t proc proc /proc")]
    Missing,
    /// It belongs to another namespace, and numbers processes in another way.
    #[error(
        "/proc is that of another PID namespace: mount this one's (unshare --mount-proc, or mount -t proc proc /proc)"
    )]
    OtherNamespace,
}

/// Checks that `/proc` belongs to our PID namespace.
///
/// # Errors
/// If it does not: a number there may be another process's.
pub(crate) fn check() -> Result<(), ForeignProc> {
    let own = std::fs::read_link("/proc/self").ok();
    judge(own.as_deref(), std::process::id(), Path::new("/proc/1").exists())
}

/// Judges by `own`, the target of `/proc/self`. It has none where we have no number.
fn judge(own: Option<&Path>, pid: u32, has_processes: bool) -> Result<(), ForeignProc> {
    match own {
        Some(own) if own == Path::new(&pid.to_string()) => Ok(()),
        None if !has_processes => Err(ForeignProc::Missing),
        _ => Err(ForeignProc::OtherNamespace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_numbers_are_in_proc() {
        assert_eq!(judge(Some(Path::new("12")), 12, true), Ok(()));
        assert_eq!(judge(Some(Path::new("4012")), 12, true), Err(ForeignProc::OtherNamespace));
        assert_eq!(judge(None, 12, true), Err(ForeignProc::OtherNamespace));
        assert_eq!(judge(None, 12, false), Err(ForeignProc::Missing));
        assert_eq!(check(), Ok(()));
    }
}
