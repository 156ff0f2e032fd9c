//! One thread under our ptrace. All calls must come from the thread of ours that traces it.

use std::time::{Duration, Instant};

use libc::user_regs_struct;
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

/// A thread that we trace. It goes on, untraced, when the thread of ours that traces it ends, if not before; a signal
/// that was about to be delivered then is.
#[derive(Debug)]
pub(crate) struct Tracee {
    tid: Pid,
    stopped: bool,
    /// A signal that is about to be delivered.
    held: Option<i32>,
    /// Signals that were not, because it was made to go on without.
    suppressed: Vec<i32>,
    /// It stands amid a system call, whose result is still to come.
    amid_call: bool,
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
    /// A breakpoint.
    Trap,
    /// It makes a system call, or has made it.
    Call,
    /// A signal was about to be delivered.
    Signal(i32),
    /// It has ended, with this exit status (128 + n for a signal).
    Ended(u8),
}

impl Tracee {
    /// One that traces itself and stands at its program's first instruction.
    pub(crate) fn launched(pid: Pid) -> nix::Result<Tracee> {
        ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD)?;
        let mut thread = Tracee::born(pid);
        thread.stopped = true;
        Ok(thread)
    }

    /// Starts to trace a thread, which goes on. Threads that it makes are traced too.
    ///
    /// # Errors
    /// ESRCH when it has ended, EPERM when that is not permitted, it is traced already, or has all but ended.
    pub(crate) fn seize(tid: Pid) -> nix::Result<Tracee> {
        let options = ptrace::Options::PTRACE_O_TRACECLONE
            | ptrace::Options::PTRACE_O_TRACEEXEC
            | ptrace::Options::PTRACE_O_TRACESYSGOOD;
        ptrace::seize(tid, options)?;
        Ok(Tracee::born(tid))
    }

    /// A thread that one of ours has made, and that will stop at its start.
    pub(crate) fn born(tid: Pid) -> Tracee {
        Tracee { tid, stopped: false, held: None, suppressed: Vec::new(), amid_call: false }
    }

    pub(crate) fn tid(&self) -> Pid {
        self.tid
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether its registers are all that says what it does next.
    pub(crate) fn can_be_moved(&self) -> bool {
        self.stopped && !self.amid_call
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
            return Ok(Some(Stop::Ended(libc::WEXITSTATUS(status) as u8)));
        }
        if libc::WIFSIGNALED(status) {
            return Ok(Some(Stop::Ended(128u8.wrapping_add(libc::WTERMSIG(status) as u8))));
        }
        self.stopped = true;
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        self.amid_call = matches!(event, libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_EXEC);
        Ok(Some(match event {
            libc::PTRACE_EVENT_CLONE => Stop::Made(Pid::from_raw(ptrace::getevent(self.tid)? as i32)),
            libc::PTRACE_EVENT_EXEC => Stop::Became,
            0 if signal == libc::SIGTRAP => Stop::Trap,
            0 if signal == libc::SIGTRAP | 0x80 => Stop::Call,
            0 => {
                self.held = Some(signal);
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

    /// Lets it go on to the start or end of a system call. Signals that come first are kept.
    ///
    /// Not by single steps: a thread that has made one dies of it when its tracer is killed then.
    pub(crate) fn run_to_call(&mut self) -> nix::Result<Stop> {
        self.resume(|tid| ptrace::syscall(tid, None))
    }

    /// Lets it run up to a breakpoint. Signals on the way are kept.
    pub(crate) fn run(&mut self) -> nix::Result<Stop> {
        self.resume(|tid| ptrace::cont(tid, None))
    }

    fn resume(&mut self, how: impl Fn(Pid) -> nix::Result<()>) -> nix::Result<Stop> {
        const LONGEST: Duration = Duration::from_secs(10);
        loop {
            self.suppressed.extend(self.held.take());
            how(self.tid)?;
            self.stopped = false;
            match self.wait(LONGEST)?.ok_or(Errno::ETIMEDOUT)? {
                Stop::Signal(_) | Stop::Asked => {}
                stop => return Ok(stop),
            }
        }
    }

    /// Sends the signals again that it was made to go on without.
    pub(crate) fn send_suppressed(&mut self) {
        for signal in self.suppressed.drain(..) {
            let tid = libc::c_long::from(self.tid.as_raw());
            // SAFETY: a system call on numbers. That it fails means that the thread has ended.
            unsafe { libc::syscall(libc::SYS_tkill, tid, signal) };
        }
    }

    /// Lets it go on, untraced.
    pub(crate) fn release(mut self) {
        self.send_suppressed();
        let signal = libc::c_long::from(self.held.unwrap_or(0));
        // SAFETY: PTRACE_DETACH takes no address, and a signal's number as its data.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.tid.as_raw(), 0, signal) };
    }
}
