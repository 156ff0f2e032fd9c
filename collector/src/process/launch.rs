//! Starting a program so that it stops at its first instruction.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, execv, fork, pipe2, write};

use super::broken_pipe;

/// Why a program can't be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Not there.
    #[error("{0}: no such file or command")]
    NotFound(String),
    /// There, but not to be executed.
    #[error("{0}: {1}")]
    NotExecutable(String, String),
    /// The system refused.
    #[error("cannot start a process: {0}")]
    System(#[from] Errno),
}

/// A program that has been started.
#[derive(Debug)]
pub struct Launched {
    /// Its process.
    pub pid: Pid,
    /// Why it runs already instead of waiting for us, if it does.
    pub untraced: Option<Errno>,
}

/// The file that a command name means, found as a shell would.
///
/// # Errors
/// If there is none, or it may not be executed.
pub fn find_program(name: &OsString) -> Result<PathBuf, LaunchError> {
    let shown = name.to_string_lossy().into_owned();
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match path.metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(LaunchError::NotFound(shown)),
            Err(error) => Err(LaunchError::NotExecutable(shown, error.to_string())),
            Ok(file) if file.is_dir() => Err(LaunchError::NotExecutable(shown, "is a directory".into())),
            Ok(file) if file.permissions().mode() & 0o111 == 0 => {
                Err(LaunchError::NotExecutable(shown, "permission denied (not executable)".into()))
            }
            Ok(_) => Ok(path),
        };
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    let executable =
        |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&search)
        .map(|folder| folder.join(name))
        .find(|path| executable(path))
        .ok_or(LaunchError::NotFound(shown))
}

/// Starts a program under ptrace and waits until it stands at its first instruction.
///
/// Its standard streams, process group and signal dispositions are those we were started with, as with any launcher;
/// its signal mask is `mask`, what ours was before we blocked what we wait for. Where ptrace is forbidden, it runs
/// at once, and [`Launched::untraced`] says why.
///
/// # Errors
/// See [`LaunchError`].
pub fn launch(program: &Path, command: &[OsString], mask: &SigSet) -> Result<Launched, LaunchError> {
    let no_nul = |text: &[u8]| CString::new(text).map_err(|_| LaunchError::System(Errno::EINVAL));
    let path = no_nul(program.as_os_str().as_bytes())?;
    let args: Vec<CString> = command.iter().map(|arg| no_nul(arg.as_bytes())).collect::<Result<_, _>>()?;
    let (reader, writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: the child only calls async-signal-safe functions before it executes the program: no allocation
    // happens between fork and exec, the strings are made above.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // SAFETY: as above.
            unsafe { become_program(&path, &args, mask, &writer) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            wait_for_program(child, reader, program)
        }
    }
}

/// In the child: asks to be traced and executes the program. Reports a failure through the pipe.
unsafe fn become_program(path: &CString, args: &[CString], mask: &SigSet, report: &OwnedFd) -> ! {
    let send = |kind: u8, error: Errno| {
        let _ = write(report, &[kind, error as i32 as u8]);
    };
    // All other dispositions are as we got them.
    // SAFETY: neither of the two dispositions has a handler.
    let _ = unsafe { signal(Signal::SIGPIPE, broken_pipe::inherited()) };
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None);
    if let Err(error) = ptrace::traceme() {
        send(b'T', error);
    }
    let Err(error) = execv(path, args);
    send(b'E', error);
    // SAFETY: ends the child without running the parent's exit handlers.
    unsafe { libc::_exit(127) }
}

fn wait_for_program(pid: Pid, reader: OwnedFd, program: &Path) -> Result<Launched, LaunchError> {
    let mut report = Vec::new();
    let _ = File::from(reader).read_to_end(&mut report);
    let failure =
        |kind: u8| report.chunks_exact(2).find(|pair| pair[0] == kind).map(|pair| Errno::from_raw(i32::from(pair[1])));
    if let Some(error) = failure(b'E') {
        let _ = waitpid(pid, None);
        return Err(LaunchError::NotExecutable(program.display().to_string(), error.desc().to_lowercase()));
    }
    if let Some(error) = failure(b'T') {
        return Ok(Launched { pid, untraced: Some(error) });
    }
    match waitpid(pid, None)? {
        WaitStatus::Stopped(..) => Ok(Launched { pid, untraced: None }),
        _ => Err(LaunchError::System(Errno::ECHILD)),
    }
}
