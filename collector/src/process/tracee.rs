//! One thread under our ptrace. All calls must come from the thread of ours that traces it.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use libc::user_regs_struct;
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

/// A thread that we trace. It is let go when this is dropped.
#[derive(Debug)]
pub(crate) struct Tracee {
    tid: Pid,
    stopped: bool,
    /// Signals that came while it was ours, to be handed on.
    pending: Vec<i32>,
    gone: bool,
}

/// Why a thread stopped, or that it has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// We asked for it, or it has only just been born, or its process is stopped as a whole.
    Asked,
    /// It has made this thread, which we trace too.
    Made(Pid),
    /// It has become another program.
    Became,
    /// One instruction was executed, or a breakpoint.
    Trap,
    /// A signal was about to be delivered.
    Signal(i32),
    /// It has ended, with this exit status (128 + n for a signal).
    Ended(u8),
}

impl Tracee {
    /// One that traces itself and stands at its program's first instruction.
    pub(crate) fn launched(pid: Pid) -> Tracee {
        Tracee { tid: pid, stopped: true, pending: Vec::new(), gone: false }
    }

    /// Starts to trace a thread, which goes on. Threads that it makes are traced too.
    ///
    /// # Errors
    /// ESRCH when it has ended, EPERM when that is not permitted, it is traced already, or has all but ended.
    pub(crate) fn seize(tid: Pid) -> nix::Result<Tracee> {
        ptrace::seize(tid, ptrace::Options::PTRACE_O_TRACECLONE | ptrace::Options::PTRACE_O_TRACEEXEC)?;
        Ok(Tracee { tid, stopped: false, pending: Vec::new(), gone: false })
    }

    /// A thread that one of ours has made, and that will stop at its start.
    pub(crate) fn born(tid: Pid) -> Tracee {
        Tracee { tid, stopped: false, pending: Vec::new(), gone: false }
    }

    /// Has ended: there is nobody to let go.
    pub(crate) fn forget(mut self) {
        self.gone = true;
    }

    pub(crate) fn tid(&self) -> Pid {
        self.tid
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Asks it to stop.
    pub(crate) fn interrupt(&self) -> nix::Result<()> {
        ptrace::interrupt(self.tid)
    }

    /// Whether it has stopped or ended by now, and why.
    pub(crate) fn poll(&mut self) -> nix::Result<Option<Stop>> {
        let mut status = 0;
        // SAFETY: waitpid writes the status, which is ours. Real-time signals are no `nix::Signal`s.
        let found = unsafe { libc::waitpid(self.tid.as_raw(), &raw mut status, libc::__WALL | libc::WNOHANG) };
        if Errno::result(found)? == 0 {
            return Ok(None);
        }
        if libc::WIFEXITED(status) {
            self.gone = true;
            return Ok(Some(Stop::Ended(libc::WEXITSTATUS(status) as u8)));
        }
        if libc::WIFSIGNALED(status) {
            self.gone = true;
            return Ok(Some(Stop::Ended(128u8.wrapping_add(libc::WTERMSIG(status) as u8))));
        }
        self.stopped = true;
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        Ok(Some(match event {
            libc::PTRACE_EVENT_CLONE => Stop::Made(Pid::from_raw(ptrace::getevent(self.tid)? as i32)),
            libc::PTRACE_EVENT_EXEC => Stop::Became,
            0 if signal == libc::SIGTRAP => Stop::Trap,
            0 => {
                self.pending.push(signal);
                Stop::Signal(signal)
            }
            _ => Stop::Asked,
        }))
    }

    /// Waits until it has stopped or ended, at most so long.
    pub(crate) fn wait(&mut self, longest: Duration) -> nix::Result<Option<Stop>> {
        let deadline = Instant::now() + longest;
        loop {
            if let Some(stop) = self.poll()? {
                return Ok(Some(stop));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            // It needs the processor to get there, perhaps ours.
            std::thread::yield_now();
        }
    }

    pub(crate) fn registers(&self) -> nix::Result<user_regs_struct> {
        ptrace::getregs(self.tid)
    }

    pub(crate) fn set_registers(&self, registers: user_regs_struct) -> nix::Result<()> {
        ptrace::setregs(self.tid, registers)
    }

    /// Lets it execute one instruction, or run up to a breakpoint. Signals that come first are kept.
    pub(crate) fn step(&mut self) -> nix::Result<Stop> {
        self.resume(|tid| ptrace::step(tid, None))
    }

    /// Lets it run up to a breakpoint. Signals on the way are handed on.
    pub(crate) fn run(&mut self) -> nix::Result<Stop> {
        let signals = std::mem::take(&mut self.pending);
        for &signal in &signals {
            self.send(signal)?;
        }
        self.resume(|tid| ptrace::cont(tid, None))
    }

    fn resume(&mut self, how: impl Fn(Pid) -> nix::Result<()>) -> nix::Result<Stop> {
        const LONGEST: Duration = Duration::from_secs(10);
        loop {
            how(self.tid)?;
            self.stopped = false;
            match self.wait(LONGEST)?.ok_or(Errno::ETIMEDOUT)? {
                Stop::Signal(_) | Stop::Asked => {}
                stop => return Ok(stop),
            }
        }
    }

    fn send(&self, signal: i32) -> nix::Result<()> {
        let tid = libc::c_long::from(self.tid.as_raw());
        // SAFETY: a system call on numbers.
        Errno::result(unsafe { libc::syscall(libc::SYS_tkill, tid, signal) }).map(drop)
    }

    /// Lets it go on, untraced. One that has not stopped can't be let go; it is when we end.
    pub(crate) fn release(&mut self) {
        if !self.stopped || self.gone {
            return;
        }
        self.gone = true;
        let (first, rest) = match self.pending.split_first() {
            Some((&first, rest)) => (first, rest),
            None => (0, &[][..]),
        };
        for &signal in rest {
            let _ = self.send(signal);
        }
        // SAFETY: PTRACE_DETACH takes no address, and a signal's number as its data.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.tid.as_raw(), 0, libc::c_long::from(first)) };
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        const LONGEST: Duration = Duration::from_millis(20);
        if !self.stopped && !self.gone && self.interrupt().is_ok() && !matches!(self.wait(LONGEST), Ok(Some(_))) {
            LATE.with_borrow_mut(|late| late.push(self.tid));
            return;
        }
        self.release();
    }
}

thread_local! {
    /// Threads that did not stop when they were to be let go: they are ours until they do.
    static LATE: RefCell<Vec<Pid>> = const { RefCell::new(Vec::new()) };
}

/// Lets go threads that have stopped by now and had not when it was time.
pub(crate) fn release_late() {
    let late = LATE.take();
    for tid in late {
        let mut thread = Tracee::born(tid);
        match thread.poll() {
            Ok(None) => {
                thread.gone = true;
                LATE.with_borrow_mut(|late| late.push(tid));
            }
            Ok(Some(_)) => thread.release(),
            Err(_) => thread.gone = true,
        }
    }
}
