//! One thread under our ptrace. All calls must come from our thread that traces it.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::interrupted_call;
use super::status::Status;
use crate::arch::Registers;

/// A thread that we trace. It is detached and continues when our thread that traces it ends, if not before. A signal
/// that was about to be delivered is delivered then.
pub(crate) struct Tracee {
    tid: Pid,
    stopped: bool,
    /// A signal that is about to be delivered.
    held: Option<i32>,
    /// Information of signals that were not delivered, because the thread was resumed without them.
    suppressed: Vec<libc::siginfo_t>,
    /// The thread stands amid a system call, whose result is still to come.
    amid_call: bool,
}

/// Why a thread stopped, or that it has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// The tracer asked for it, or the thread has only just been born, or its process is stopped as a whole.
    Asked,
    /// It has made this thread, which is traced too.
    Made(Pid),
    /// It has become another program.
    Became,
    /// It has reached a breakpoint.
    Trap,
    /// It begins or ends a system call.
    Call,
    /// A signal was about to be delivered.
    Signal(i32),
    /// It has ended, with this exit status (128 + n for a signal).
    Ended(u8),
}

impl Tracee {
    /// Returns the thread of a launched program, which has asked to be traced and stands at its first instruction.
    pub(crate) fn launched(pid: Pid) -> nix::Result<Tracee> {
        ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_TRACEEXEC)?;
        let mut thread = Tracee::born(pid);
        thread.stopped = true;
        Ok(thread)
    }

    /// Starts to trace a thread, which keeps running. Threads that it makes are traced too.
    ///
    /// # Errors
    /// ESRCH if it has ended; EPERM if ptrace is not permitted, or it is traced already, or has all but ended.
    pub(crate) fn seize(tid: Pid) -> nix::Result<Tracee> {
        let options = ptrace::Options::PTRACE_O_TRACECLONE
            | ptrace::Options::PTRACE_O_TRACEEXEC
            | ptrace::Options::PTRACE_O_TRACESYSGOOD;
        ptrace::seize(tid, options)?;
        Ok(Tracee::born(tid))
    }

    /// Returns a thread that a traced one has made, and that will stop at its start.
    pub(crate) fn born(tid: Pid) -> Tracee {
        Tracee { tid, stopped: false, held: None, suppressed: Vec::new(), amid_call: false }
    }

    pub(crate) fn tid(&self) -> Pid {
        self.tid
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether its registers alone say what it does next.
    pub(crate) fn can_be_moved(&self) -> bool {
        self.stopped && !self.amid_call && self.held.is_none()
    }

    /// Asks it to stop; tries twice if need be, because callers then wait for the stop.
    pub(crate) fn interrupt(&self) -> nix::Result<()> {
        ptrace::interrupt(self.tid).or_else(|_| ptrace::interrupt(self.tid))
    }

    /// Returns why it has stopped or ended; none if it still runs.
    ///
    /// The stop is only looked at, not taken. So its signal is delivered even if the recorder dies, and the end of our
    /// own child can still be waited for.
    pub(crate) fn poll(&mut self) -> nix::Result<Option<Stop>> {
        self.look(libc::WNOHANG)
    }

    fn look(&mut self, how: i32) -> nix::Result<Option<Stop>> {
        let flags = libc::WEXITED | libc::WSTOPPED | libc::__WALL | libc::WNOWAIT | how;
        let mut refused = false;
        // SAFETY: all zeroes are a valid siginfo_t, which waitid fills.
        let info = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            loop {
                match Errno::result(libc::waitid(libc::P_PID, self.tid.as_raw() as u32, &raw mut info, flags)) {
                    Err(Errno::EINTR) => {}
                    // A thread that is not waited for stands still for ever, so the call is made twice.
                    Err(_) if !refused => refused = true,
                    waited => break waited.map(|_| info)?,
                }
            }
        };
        // SAFETY: waitid fills in the fields of SIGCHLD, or leaves zeroes.
        let (found, status) = unsafe { (info.si_pid(), info.si_status()) };
        if found == 0 {
            return Ok(None);
        }
        match info.si_code {
            libc::CLD_EXITED => return Ok(Some(Stop::Ended(status as u8))),
            libc::CLD_KILLED | libc::CLD_DUMPED => return Ok(Some(Stop::Ended(128u8.wrapping_add(status as u8)))),
            _ => {}
        }
        self.stopped = true;
        let (signal, event) = (status & 0xff, status >> 8);
        self.amid_call = matches!(event, libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_EXEC);
        self.held = None;
        Ok(Some(match event {
            libc::PTRACE_EVENT_CLONE => Stop::Made(Pid::from_raw(ptrace::getevent(self.tid)? as i32)),
            libc::PTRACE_EVENT_EXEC => Stop::Became,
            0 if signal == libc::SIGTRAP | 0x80 => Stop::Call,
            0 => {
                self.held = Some(signal);
                if signal == libc::SIGTRAP { Stop::Trap } else { Stop::Signal(signal) }
            }
            _ => Stop::Asked,
        }))
    }

    /// Waits until it has stopped or ended, for `longest` at most.
    pub(crate) fn wait(&mut self, longest: Duration) -> nix::Result<Option<Stop>> {
        let deadline = Instant::now() + longest;
        loop {
            if let Some(stop) = self.poll()? {
                return Ok(Some(stop));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            // The thread needs a processor to stop on, perhaps ours.
            std::thread::yield_now();
        }
    }

    pub(crate) fn registers(&self) -> nix::Result<Registers> {
        Registers::read(self.tid)
    }

    pub(crate) fn set_registers(&self, registers: Registers) -> nix::Result<()> {
        registers.write(self.tid)
    }

    /// Restarts its system call, if only its stop has interrupted that. `registers` are its own, if they are known.
    pub(crate) fn take_up_call(&self, registers: Option<&Registers>) {
        // A thread with a held signal is included: if a handler runs, the call ends as it would.
        if !self.stopped || self.amid_call {
            return;
        }
        let own = registers.copied().or_else(|| self.registers().ok());
        if let Some(changed) = own.and_then(|own| interrupted_call::taken_up(self.tid, &own)) {
            // This fails if the thread has been killed.
            let _ = self.set_registers(changed);
        }
    }

    /// Blocks a signal in it.
    pub(crate) fn block(&self, signal: Signal) -> nix::Result<()> {
        const PTRACE_GETSIGMASK: libc::c_uint = 0x420a;
        const PTRACE_SETSIGMASK: libc::c_uint = 0x420b;
        /// Size of the kernel's set of signals (ptrace(2)).
        const SIZE: usize = size_of::<u64>();
        let mut mask = 0u64;
        for request in [PTRACE_GETSIGMASK, PTRACE_SETSIGMASK] {
            // SAFETY: the kernel writes or reads eight bytes, which the mask has.
            let done = unsafe { libc::ptrace(request, self.tid.as_raw(), SIZE, &raw mut mask) };
            Errno::result(done)?;
            mask |= 1 << (signal as u64 - 1);
        }
        Ok(())
    }

    /// Resumes it until the start or end of a system call. Signals that come first are kept.
    ///
    /// It does not single-step: a thread that has made a step would die of it if its tracer were killed then.
    pub(crate) fn run_to_call(&mut self) -> nix::Result<Stop> {
        const LONGEST: Duration = Duration::from_secs(10);
        /// Maximum number of signals: a thread whose code there is no longer ours faults for ever.
        const MOST_SIGNALS: usize = 10_000;
        let deadline = Instant::now() + LONGEST;
        while self.suppressed.len() < MOST_SIGNALS {
            self.suppress();
            self.resume(libc::PTRACE_SYSCALL, 0)?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.wait(left)?.ok_or(Errno::ETIMEDOUT)? {
                Stop::Signal(_) | Stop::Trap | Stop::Asked => {}
                stop => return Ok(stop),
            }
        }
        Err(Errno::ELOOP)
    }

    /// Resumes it until a breakpoint, however long that takes. Signals on the way are delivered.
    pub(crate) fn run(&mut self) -> nix::Result<Stop> {
        loop {
            let signal = self.held.take().unwrap_or(0);
            self.resume(libc::PTRACE_CONT, signal)?;
            match self.look(0)? {
                Some(Stop::Signal(_) | Stop::Asked) | None => {}
                Some(stop) => {
                    // The held signal is that of the breakpoint.
                    self.held = None;
                    return Ok(stop);
                }
            }
        }
    }

    /// Holds back the signal that is about to be delivered, with its information.
    fn suppress(&mut self) {
        if self.held.take().is_some() {
            self.suppressed.extend(ptrace::getsiginfo(self.tid).ok());
        }
    }

    /// Gives back the signals that were kept, with their information.
    pub(crate) fn give_back_signals(&mut self) {
        let kept = std::mem::take(&mut self.suppressed);
        // Signals that may be queued again are queued. The others are sent without their information, except for one,
        // which is a fault if there is any.
        let mut others: Vec<_> = kept.into_iter().filter(|info| !self.queue_again(info)).collect();
        others.sort_by_key(is_fault);
        let last = others.pop();
        for info in &others {
            self.send(info.si_signo);
        }
        if let Some(info) = last {
            self.stand_before(&info);
        }
    }

    /// Queues a signal again that came with `si_code` below 0 (sigqueue(3), timers). The kernel lets nobody queue
    /// others (rt_tgsigqueueinfo(2)). Returns whether it was queued.
    fn queue_again(&self, info: &libc::siginfo_t) -> bool {
        if info.si_code >= 0 || info.si_code == libc::SI_TKILL {
            return false;
        }
        let Some(process) = Status::read(self.tid).ok().and_then(|status| status.process()) else { return false };
        let (process, tid) = (libc::c_long::from(process.as_raw()), libc::c_long::from(self.tid.as_raw()));
        // SAFETY: the kernel reads the information, which it has given us.
        let done = unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, tid, info.si_signo, &raw const *info) };
        done == 0
    }

    fn send(&self, signal: i32) {
        // SAFETY: a system call on numbers. It only fails if the thread has ended.
        unsafe { libc::syscall(libc::SYS_tkill, libc::c_long::from(self.tid.as_raw()), signal) };
    }

    /// Makes it stop again before the delivery of a signal.
    fn stand_before(&mut self, info: &libc::siginfo_t) {
        const LONGEST: Duration = Duration::from_millis(100);
        /// Maximum number of stops: those that were asked for and had not come yet come first.
        const MOST_STOPS: u32 = 10;
        self.send(info.si_signo);
        for _ in 0..MOST_STOPS {
            // The signal comes before the thread's next instruction.
            if self.resume(libc::PTRACE_CONT, 0).is_err() {
                return;
            }
            match self.wait(LONGEST) {
                Ok(Some(Stop::Asked)) => {}
                Ok(Some(Stop::Signal(signal))) if signal == info.si_signo => {
                    let _ = ptrace::setsiginfo(self.tid, info);
                    return;
                }
                _ => return,
            }
        }
    }

    fn resume(&mut self, request: libc::c_uint, signal: i32) -> nix::Result<()> {
        // SAFETY: these requests take no address, and a signal's number as their data.
        let done = unsafe { libc::ptrace(request, self.tid.as_raw(), 0, libc::c_long::from(signal)) };
        self.stopped = false;
        Errno::result(done).map(drop)
    }

    /// Detaches it, and lets it run.
    pub(crate) fn release(mut self) {
        self.give_back_signals();
        let signal = self.held.unwrap_or(0);
        // This fails if the thread has been killed.
        let _ = self.resume(libc::PTRACE_DETACH, signal).or_else(|_| self.resume(libc::PTRACE_DETACH, signal));
    }
}

/// Whether an instruction of the thread caused the signal.
fn is_fault(info: &libc::siginfo_t) -> bool {
    let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
    info.si_code > 0 && faults.contains(&info.si_signo)
}
