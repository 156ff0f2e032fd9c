//! Starts a program so that it stops at its first instruction.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2, read, setsid, write};

use super::inherited_signals;

/// Why a program can't be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// There is no such file.
    #[error("{0}: no such file or command")]
    NotFound(String),
    /// The file can't be executed.
    #[error("{0}: {1}")]
    NotExecutable(String, String),
    /// The system refused.
    #[error("cannot start a process: {0}")]
    System(#[from] Errno),
}

impl LaunchError {
    fn not_executable(program: &Path, error: Errno) -> LaunchError {
        LaunchError::NotExecutable(program.display().to_string(), error.desc().to_lowercase())
    }
}

/// Standard streams of a program, if they are not ours.
#[derive(Debug)]
pub struct Streams {
    /// Its standard input.
    pub input: File,
    /// Its standard output and error.
    pub output: File,
}

/// How a process is made for a program.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// Signals that are blocked in it: those that were blocked in us, before we blocked those that we wait for.
    pub mask: &'a SigSet,
    /// Whether it stops at the program's first instruction, where ptrace is permitted. SIGTRAP does not have the
    /// disposition there yet that it had in us.
    pub trace: bool,
    /// Its streams; none for ours.
    pub streams: Option<&'a Streams>,
}

/// A process that will become a program when it is told to.
#[derive(Debug)]
pub struct Waiting {
    /// The process.
    pub pid: Pid,
    /// Result of asking to be traced, if it was to be traced.
    pub traced: Option<Result<(), Errno>>,
    gate: OwnedFd,
    report: File,
    program: PathBuf,
}

/// Finds the file that a command name means, as a shell would.
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

/// Makes the process in which a program is to run.
///
/// It has our process group, and the signal dispositions that we were started with, as with any launcher. With streams
/// of its own it has a session of its own too.
///
/// # Errors
/// See [`LaunchError`].
pub fn launch(program: &Path, command: &[OsString], how: Launch<'_>) -> Result<Waiting, LaunchError> {
    let (path, args) = strings(program, command)?;
    let pointers = pointers(&args);
    let (report, reporter) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let (gate_inside, gate) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: the child only calls async-signal-safe functions before it executes the program: no allocation
    // happens between fork and exec, the strings are made above.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // Closes the child's end, so that the gate closes with us.
            drop(gate);
            // SAFETY: as above.
            unsafe { become_program(&path, &pointers, how, &gate_inside, &reporter) }
        }
        ForkResult::Parent { child } => {
            drop(reporter);
            let mut report = File::from(report);
            let mut ready = [0; 2];
            report.read_exact(&mut ready).map_err(|_| LaunchError::System(Errno::ECHILD))?;
            let traced = how.trace.then_some(match ready[1] {
                0 => Ok(()),
                error => Err(Errno::from_raw(i32::from(error))),
            });
            Ok(Waiting { pid: child, traced, gate, report, program: program.to_owned() })
        }
    }
}

/// Executes the program in our process, so that nothing of ours remains beside it. Returns the error if that fails.
///
/// The program gets the signal mask and the ignored signals that we were started with. Our descriptors close and our
/// handlers are reset (execve(2)). Our other threads must have ended.
pub fn exec_in_place(program: &Path, command: &[OsString], mask: &SigSet) -> LaunchError {
    let (path, args) = match strings(program, command) {
        Ok(strings) => strings,
        Err(error) => return error,
    };
    // Takes a pending SIGCHLD of our own child, which would reach the program: pending signals outlive execve(2).
    let ended = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the set and the time are alive, and a null pointer asks for no information.
    unsafe { libc::sigtimedwait(SigSet::from(Signal::SIGCHLD).as_ref(), std::ptr::null_mut(), &raw const ended) };
    inherited_signals::restore(false);
    inherited_signals::restore_reserved();
    let error = match sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None) {
        Err(error) => LaunchError::System(error),
        Ok(()) => {
            // SAFETY: the strings are alive, and a null pointer ends their list.
            unsafe { libc::execv(path.as_ptr(), pointers(&args).as_ptr()) };
            LaunchError::not_executable(program, Errno::last())
        }
    };
    inherited_signals::take_over();
    error
}

/// Makes the strings that `execv` gets: the program's path and its arguments.
fn strings(program: &Path, command: &[OsString]) -> Result<(CString, Vec<CString>), LaunchError> {
    let no_nul = |text: &[u8]| CString::new(text).map_err(|_| LaunchError::System(Errno::EINVAL));
    let args = command.iter().map(|arg| no_nul(arg.as_bytes())).collect::<Result<_, _>>()?;
    Ok((no_nul(program.as_os_str().as_bytes())?, args))
}

/// Makes a list of strings as `execv` takes it.
fn pointers(args: &[CString]) -> Vec<*const libc::c_char> {
    args.iter().map(|arg| arg.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Runs in the child: asks to be traced, waits and executes the program. Reports the result of each through the pipe.
unsafe fn become_program(
    path: &CString,
    args: &[*const libc::c_char],
    how: Launch<'_>,
    gate: &OwnedFd,
    report: &OwnedFd,
) -> ! {
    // SAFETY: ends the child without running the parent's exit handlers.
    let end = || unsafe { libc::_exit(127) };
    let send = |kind: u8, error: i32| write(report, &[kind, error as u8]);
    if let Some(streams) = how.streams {
        let (input, output) = (streams.input.as_raw_fd(), streams.output.as_raw_fd());
        for (from, to) in [(input, 0), (output, 1), (output, 2)] {
            // SAFETY: a system call on file descriptors; 0 to 2 are the standard streams, which it replaces.
            unsafe { libc::dup2(from, to) };
        }
        // The terminal is not the program's own either.
        let _ = setsid();
    }
    let traced = if how.trace { ptrace::traceme() } else { Ok(()) };
    let is_traced = how.trace && traced.is_ok();
    // All other dispositions are those that we inherited.
    inherited_signals::restore(is_traced);
    inherited_signals::restore_reserved();
    if send(b'T', traced.err().map_or(0, |error| error as i32)).is_err() {
        // The recorder is gone, so nothing would open the gate.
        end();
    }
    let opened = loop {
        match read(gate, &mut [0]) {
            Err(Errno::EINTR) => {}
            done => break done == Ok(1),
        }
    };
    if opened {
        let mut mask = *how.mask;
        if is_traced {
            mask.remove(Signal::SIGTRAP);
        }
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
        // SAFETY: the strings are alive, and a null pointer ends their list.
        unsafe { libc::execv(path.as_ptr(), args.as_ptr()) };
        let _ = send(b'E', Errno::last_raw());
    }
    end()
}

impl Waiting {
    /// Ends the process before it becomes the program.
    pub fn cancel(self) {
        drop(self.gate);
        let _ = waitpid(self.pid, None);
    }

    /// Lets it become the program. If it is traced, it then stands at its first instruction.
    ///
    /// # Errors
    /// If the program can't be executed.
    pub fn go(mut self) -> Result<(), LaunchError> {
        self.open_gate()?;
        if let Some(error) = self.refused() {
            let _ = waitpid(self.pid, None);
            return Err(error);
        }
        if self.traced != Some(Ok(())) {
            return Ok(());
        }
        match waitpid(self.pid, None)? {
            WaitStatus::Stopped(..) => Ok(()),
            _ => Err(LaunchError::System(Errno::ECHILD)),
        }
    }

    /// Lets it become the program, without waiting for that.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn open_gate(&self) -> Result<(), LaunchError> {
        write(&self.gate, &[1])?;
        Ok(())
    }

    /// Returns why the program could not be executed; none if it was. Waits until that is known.
    pub(crate) fn refused(&mut self) -> Option<LaunchError> {
        let mut report = Vec::new();
        let _ = self.report.read_to_end(&mut report);
        match report.as_slice() {
            &[b'E', error] => Some(LaunchError::not_executable(&self.program, Errno::from_raw(i32::from(error)))),
            _ => None,
        }
    }
}
