//! Follows a process and all that come from it, by ptrace: each program that one of them executes stands at its first
//! instruction until it is let go on.
//!
//! A task that comes from a traced one is traced from its own start (ptrace(2), `PTRACE_O_TRACEFORK`). Only births,
//! executions, ends and signals stop them, not their system calls. Stops are looked at with WNOWAIT and not taken, so a
//! signal is delivered even if the recorder is killed then.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;

/// A process, and the tasks that come from it and are followed. All calls must come from the thread that made it.
#[derive(Debug)]
pub(crate) struct ProcessTree {
    root: Pid,
    /// Processes and threads that are traced.
    tasks: HashSet<Pid>,
    root_status: Option<u8>,
}

/// What stops or ends a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    /// It has ended, with this status (128 + n for a signal).
    Ended(u8),
    /// It stands at the first instruction of another program.
    Executed,
    /// It has made another task, which is traced too.
    Made,
    /// A signal is about to be delivered.
    Signal(i32),
    /// A signal of job control stops it.
    JobControl,
    /// It has begun, or we asked for it.
    Stopped,
}

/// `PTRACE_EVENT_STOP` (include/uapi/linux/ptrace.h).
const EVENT_STOP: i32 = 128;

impl ProcessTree {
    /// Follows a process, which is a child of this thread and has no other threads.
    ///
    /// # Errors
    /// If ptrace is not permitted.
    pub(crate) fn seize(root: Pid) -> nix::Result<ProcessTree> {
        let options = Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC;
        ptrace::seize(root, options)?;
        Ok(ProcessTree { root, tasks: HashSet::from([root]), root_status: None })
    }

    /// The root's exit status (128 + n for a signal), if it has ended.
    pub(crate) fn root_status(&self) -> Option<u8> {
        self.root_status
    }

    /// Whether nothing is followed any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Lets all go on that has stopped, up to a process that stands at the first instruction of a program. Returns that.
    pub(crate) fn next_program(&mut self) -> Option<Pid> {
        self.next(libc::WNOHANG)
    }

    /// Waits until a process stands at the first instruction of a program. Returns none if the root has ended before.
    pub(crate) fn wait_for_program(&mut self) -> Option<Pid> {
        self.next(0)
    }

    fn next(&mut self, how: i32) -> Option<Pid> {
        while self.root_status.is_none() || how != 0 {
            let Ok(Some((task, change))) = changed(how) else { return None };
            match change {
                Change::Ended(status) => self.bury(task, status),
                _ if task == self.root && !self.tasks.contains(&task) => take(task),
                Change::Executed => {
                    // A thread that executes a program takes the number of its process.
                    if let Ok(before) = ptrace::getevent(task) {
                        self.tasks.remove(&Pid::from_raw(before as i32));
                    }
                    self.tasks.insert(task);
                    return Some(task);
                }
                Change::Made => {
                    self.note_made(task);
                    resume(task, libc::PTRACE_CONT, 0);
                }
                Change::Signal(signal) => resume(task, libc::PTRACE_CONT, signal),
                Change::JobControl => resume(task, libc::PTRACE_LISTEN, 0),
                Change::Stopped => {
                    self.tasks.insert(task);
                    resume(task, libc::PTRACE_CONT, 0);
                }
            }
        }
        None
    }

    /// Lets a process go on that stands at the first instruction of a program.
    pub(crate) fn go_on(&self, pid: Pid) {
        resume(pid, libc::PTRACE_CONT, 0);
    }

    /// Lets a process go on that stands at the first instruction of a program, and follows it no longer.
    pub(crate) fn let_go(&mut self, pid: Pid) {
        self.tasks.remove(&pid);
        resume(pid, libc::PTRACE_DETACH, 0);
    }

    /// Follows a process no longer that stands at the first instruction of a program. It stays stopped and traced; what
    /// it makes from now on is not. Returns whether it is still there.
    ///
    /// It has left execve(2) then, so its registers can be set: before, it would write its result to one.
    pub(crate) fn hand_over(&mut self, pid: Pid) -> bool {
        self.tasks.remove(&pid);
        let left = ptrace::interrupt(pid).and_then(|()| ptrace::setoptions(pid, Options::empty()));
        if left.is_err() {
            return false;
        }
        resume(pid, libc::PTRACE_CONT, 0);
        match change_of(libc::P_PID, pid, 0) {
            Ok(Some((_, Change::Ended(status)))) => {
                self.bury(pid, status);
                false
            }
            stopped => stopped.is_ok(),
        }
    }

    /// Lets all go on untraced.
    pub(crate) fn release(&mut self) {
        /// Those that do not stop by then are in the kernel, and are released by the end of this thread.
        const LONGEST: Duration = Duration::from_secs(1);
        let deadline = Instant::now() + LONGEST;
        for &task in &self.tasks {
            let _ = ptrace::interrupt(task);
        }
        while !self.tasks.is_empty() && Instant::now() < deadline {
            let Ok(Some((task, change))) = changed(libc::WNOHANG) else {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            match change {
                Change::Ended(status) => {
                    self.bury(task, status);
                    continue;
                }
                Change::Made => self.note_made(task),
                _ => {}
            }
            if task == self.root && !self.tasks.contains(&task) {
                take(task);
                continue;
            }
            self.tasks.remove(&task);
            resume(task, libc::PTRACE_DETACH, if let Change::Signal(signal) = change { signal } else { 0 });
        }
    }

    /// Adds the task that this one has made, unless that has ended by now.
    fn note_made(&mut self, maker: Pid) {
        if let Ok(made) = ptrace::getevent(maker) {
            let made = Pid::from_raw(made as i32);
            if std::path::Path::new(&format!("/proc/{made}")).exists() {
                self.tasks.insert(made);
            }
        }
    }

    /// Takes note of a task's end, and lets its own parent know of it.
    fn bury(&mut self, task: Pid, status: u8) {
        self.tasks.remove(&task);
        if task == self.root {
            self.root_status = Some(status);
        }
        // SAFETY: a system call that may write no information, because the pointer is null.
        unsafe { libc::waitid(libc::P_PID, task.as_raw() as u32, std::ptr::null_mut(), libc::WEXITED | libc::__WALL) };
    }
}

/// Takes the report of a stop that is not ours: job control stops a child that is no longer traced.
fn take(task: Pid) {
    let flags = libc::WSTOPPED | libc::WNOHANG;
    // SAFETY: a system call that may write no information, because the pointer is null.
    unsafe { libc::waitid(libc::P_PID, task.as_raw() as u32, std::ptr::null_mut(), flags) };
}

/// Lets a task go on. This fails if it was killed meanwhile; its end is reported then.
fn resume(task: Pid, request: libc::c_uint, signal: i32) {
    // SAFETY: these requests take no address, and a signal's number as their data.
    unsafe { libc::ptrace(request, task.as_raw(), 0, libc::c_long::from(signal)) };
}

/// Returns a task of this thread that has stopped or ended, and how.
fn changed(how: i32) -> nix::Result<Option<(Pid, Change)>> {
    change_of(libc::P_ALL, Pid::from_raw(0), how | libc::__WNOTHREAD)
}

fn change_of(which: libc::idtype_t, task: Pid, how: i32) -> nix::Result<Option<(Pid, Change)>> {
    let flags = libc::WEXITED | libc::WSTOPPED | libc::__WALL | libc::WNOWAIT | how;
    loop {
        // SAFETY: all zeroes are a valid siginfo_t, which waitid fills.
        let (waited, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            (libc::waitid(which, task.as_raw() as u32, &raw mut info, flags), info)
        };
        match Errno::result(waited) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
            Ok(_) => {
                // SAFETY: waitid fills in the fields of SIGCHLD, or leaves zeroes.
                let (task, status) = unsafe { (info.si_pid(), info.si_status()) };
                return Ok((task != 0).then(|| (Pid::from_raw(task), change(info.si_code, status))));
            }
        }
    }
}

/// What a report of waitid(2) means for a task that was seized (ptrace(2), "Stopped states").
fn change(code: i32, status: i32) -> Change {
    let (signal, event) = (status & 0xff, status >> 8);
    match (code, event) {
        (libc::CLD_EXITED, _) => Change::Ended(status as u8),
        (libc::CLD_KILLED | libc::CLD_DUMPED, _) => Change::Ended(128u8.wrapping_add(status as u8)),
        (_, libc::PTRACE_EVENT_EXEC) => Change::Executed,
        (_, libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE) => Change::Made,
        (_, EVENT_STOP) if signal != libc::SIGTRAP => Change::JobControl,
        (_, 0) => Change::Signal(signal),
        _ => Change::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_told_apart() {
        let event = |event: i32, signal: i32| event << 8 | signal;
        for (code, status, expected) in [
            (libc::CLD_EXITED, 3, Change::Ended(3)),
            (libc::CLD_KILLED, libc::SIGKILL, Change::Ended(137)),
            (libc::CLD_DUMPED, libc::SIGSEGV, Change::Ended(139)),
            (libc::CLD_TRAPPED, event(libc::PTRACE_EVENT_EXEC, libc::SIGTRAP), Change::Executed),
            (libc::CLD_TRAPPED, event(libc::PTRACE_EVENT_VFORK, libc::SIGTRAP), Change::Made),
            (libc::CLD_TRAPPED, event(EVENT_STOP, libc::SIGTRAP), Change::Stopped),
            (libc::CLD_STOPPED, event(EVENT_STOP, libc::SIGTSTP), Change::JobControl),
            (libc::CLD_TRAPPED, libc::SIGURG, Change::Signal(libc::SIGURG)),
            (libc::CLD_TRAPPED, libc::SIGTRAP, Change::Signal(libc::SIGTRAP)),
        ] {
            assert_eq!(change(code, status), expected, "{code} {status:x}");
        }
    }
}
