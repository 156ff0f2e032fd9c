//! Signals to the recorder: it forwards them to the program, or takes them as the order to finish.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::recorder::GRACE;

/// The signals that a launcher must handle, as a file.
pub(super) struct Signals {
    file: SignalFd,
    /// When the last signal came that ends programs.
    last: Mutex<Option<Instant>>,
    /// The signal mask with which we were started.
    pub(super) mask_before: SigSet,
}

/// Source of the order to finish a recording.
#[derive(Clone, Copy)]
pub(super) enum StopSource<'a> {
    /// Signals to the recorder.
    Signals(&'a Signals),
    /// A flag, which the screens of `top` set.
    Flag(&'a AtomicBool),
}

impl StopSource<'_> {
    /// Waits for at most `timeout`, until a child ends, or until one of the files can be read. Returns the signal that asks
    /// the recorder to finish, if one does.
    pub(super) fn wait(&self, child: Option<Pid>, files: &[BorrowedFd<'_>], timeout: Duration) -> Option<Signal> {
        let files = files.iter().copied();
        match self {
            StopSource::Signals(signals) => signals.wait_and_forward(child, timeout, files),
            StopSource::Flag(finish) => {
                wait_for(files, timeout);
                finish.load(Ordering::Acquire).then_some(Signal::SIGTERM)
            }
        }
    }

    /// Asks a started program to end. With signals there is nothing to do: they were forwarded to it.
    pub(super) fn end(&self, child: Pid) {
        if let StopSource::Flag(_) = self {
            let _ = kill(child, Signal::SIGTERM);
        }
    }

    /// Waits for the end of a program that is not recorded. With a flag it kills the program first, as there is nothing
    /// to show.
    pub(super) fn wait_for_end(&self, child: Pid) -> nix::Result<u8> {
        match self {
            StopSource::Signals(signals) => signals.wait_for_end(child),
            StopSource::Flag(_) => {
                let _ = kill(child, Signal::SIGKILL);
                loop {
                    if let Some(status) = ended(child)? {
                        return Ok(status);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }
}

impl Signals {
    pub(super) fn block() -> nix::Result<Signals> {
        let set = ours();
        /// A second recording of this process finds them blocked.
        static AT_START: OnceLock<SigSet> = OnceLock::new();
        let present = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let mask_before = *AT_START.get_or_init(|| present);
        let file = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { file, last: Mutex::new(None), mask_before })
    }

    /// Waits, then forwards to a child the signals meant for it. Returns the signal that asks the recorder to finish,
    /// if one does. Without a child, any signal does.
    ///
    /// The terminal sends its signals to the program itself; another process sends them only to the recorder.
    fn wait_and_forward<'a>(
        &'a self,
        child: Option<Pid>,
        timeout: Duration,
        others: impl Iterator<Item = BorrowedFd<'a>>,
    ) -> Option<Signal> {
        wait_for([self.file.as_fd()].into_iter().chain(others), timeout);
        let mut finish = None;
        while let Ok(Some(info)) = self.file.read_signal() {
            let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else { continue };
            if signal == Signal::SIGCHLD {
                continue;
            }
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            if let Some(child) = child
                && info.ssi_code <= 0
            {
                let _ = kill(child, signal);
            }
            if child.is_none() || matches!(signal, Signal::SIGTERM | Signal::SIGHUP) {
                finish = Some(signal);
            }
        }
        finish
    }

    /// Waits for the end of a program that the recorder started.
    pub(super) fn wait_for_end(&self, child: Pid) -> nix::Result<u8> {
        loop {
            if let Some(status) = ended(child)? {
                return Ok(status);
            }
            self.wait_and_forward(Some(child), Duration::from_secs(1), std::iter::empty());
        }
    }

    /// Whether a signal that ends programs has just come.
    pub(super) fn have_come(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < GRACE)
    }

    /// Leaves the signals of children to the returned file, until [`Signals::take_back`].
    ///
    /// # Errors
    /// If the system refuses the file.
    pub(super) fn hand_over_children(&self) -> nix::Result<SignalFd> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let of_children = SignalFd::with_flags(&SigSet::from(Signal::SIGCHLD), flags)?;
        let mut others = ours();
        others.remove(Signal::SIGCHLD);
        self.file.set_mask(&others)?;
        Ok(of_children)
    }

    /// Takes the signals of children again.
    pub(super) fn take_back(&self) {
        // It was possible before.
        let _ = self.file.set_mask(&ours());
    }
}

/// The signals that a recorder takes.
fn ours() -> SigSet {
    [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// Waits until one of the files can be read.
fn wait_for<'a>(files: impl Iterator<Item = BorrowedFd<'a>>, timeout: Duration) {
    let mut ready: Vec<PollFd<'_>> = files.map(|file| PollFd::new(file, PollFlags::POLLIN)).collect();
    let _ = poll(&mut ready, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
}

/// Returns the exit status of a program, if it has ended.
pub(super) fn ended(pid: Pid) -> nix::Result<Option<u8>> {
    // Only looked at, until it has ended: to take a stop that another thread's ptrace has made would lose its signal.
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let status = match waitid(Id::Pid(pid), look) {
        Ok(WaitStatus::Exited(_, code)) => code as u8,
        Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32 as u8,
        // EINVAL tells of the stop of a traced child by a signal that has no name (SIGRTMIN and above).
        Ok(_) | Err(Errno::EINTR | Errno::EINVAL) => return Ok(None),
        Err(error) => return Err(error),
    };
    let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    Ok(Some(status))
}
