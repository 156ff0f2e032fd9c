//! The signals of a launcher: handed on to the program, or an order to finish.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The signals that a launcher must handle, as a file.
pub(super) struct Signals {
    file: SignalFd,
    /// What was blocked before.
    pub(super) mask_before: SigSet,
}

/// What tells a recorder to finish.
#[derive(Clone, Copy)]
pub(super) enum StopSource<'a> {
    /// Our signals.
    Signals(&'a Signals),
    /// The screens of `top`.
    Flag(&'a AtomicBool),
}

impl StopSource<'_> {
    /// Waits a little, or until the waker, which must not block, is written to. Returns the signal that asks us to finish, if
    /// one does.
    pub(super) fn wait(&self, child: Option<Pid>, timeout: Duration, waker: Option<&EventFd>) -> Option<Signal> {
        let signal = self.wait_for_signal(child, timeout, waker);
        // What has woken us wakes us once.
        let _ = waker.map(EventFd::read);
        signal
    }

    fn wait_for_signal(&self, child: Option<Pid>, timeout: Duration, waker: Option<&EventFd>) -> Option<Signal> {
        match self {
            StopSource::Signals(signals) => signals.wait_and_forward(child, timeout, waker),
            StopSource::Flag(finish) => {
                wait_for(waker.iter().map(|waker| waker.as_fd()), timeout);
                finish.load(Ordering::Acquire).then_some(Signal::SIGTERM)
            }
        }
    }

    /// Asks the program that we have started to end, if nobody else has.
    pub(super) fn end(&self, child: Pid) {
        if let StopSource::Flag(_) = self {
            let _ = kill(child, Signal::SIGTERM);
        }
    }

    /// Waits for the end of a program that is not recorded; who watches has nothing to see, and ends it.
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
        let mut set = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        let mask_before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let file = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { file, mask_before })
    }

    /// Waits, then hands on to a child what was meant for it. Returns the signal that asks us to finish, if one does:
    /// of a program that is not our child, any does.
    ///
    /// The terminal sends its signals to the program itself; another process sends them only to us.
    pub(super) fn wait_and_forward(
        &self,
        child: Option<Pid>,
        timeout: Duration,
        waker: Option<&EventFd>,
    ) -> Option<Signal> {
        wait_for([self.file.as_fd()].into_iter().chain(waker.map(|waker| waker.as_fd())), timeout);
        let mut finish = None;
        while let Ok(Some(info)) = self.file.read_signal() {
            let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else { continue };
            if signal == Signal::SIGCHLD {
                continue;
            }
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

    /// Waits for the end of a program that we have started.
    pub(super) fn wait_for_end(&self, child: Pid) -> nix::Result<u8> {
        loop {
            if let Some(status) = ended(child)? {
                return Ok(status);
            }
            self.wait_and_forward(Some(child), Duration::from_secs(1), None);
        }
    }
}

/// Waits until one of the files can be read.
fn wait_for<'a>(files: impl Iterator<Item = BorrowedFd<'a>>, timeout: Duration) {
    let mut ready: Vec<PollFd<'_>> = files.map(|file| PollFd::new(file, PollFlags::POLLIN)).collect();
    let _ = poll(&mut ready, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
}

/// The exit status of a program that has ended.
pub(super) fn ended(pid: Pid) -> nix::Result<Option<u8>> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => Ok(Some(code as u8)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Ok(Some(128 + signal as i32 as u8)),
        Ok(_) => Ok(None),
        Err(Errno::EINTR) => Ok(None),
        Err(error) => Err(error),
    }
}
