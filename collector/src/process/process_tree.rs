//! Follows a process and all that come from it, by ptrace: each program that one of them executes stands at its first
//! instruction until it is let go on.
//!
//! A task that comes from a traced one is traced from its own start (ptrace(2), `PTRACE_O_TRACEFORK`). Births,
//! executions, ends and signals stop them, and system calls only between fork and exec, and only where a traced program may
//! lose privileges. Stops are looked at with WNOWAIT and not taken, so a signal is delivered even if the recorder is killed
//! then. The end of the thread that follows detaches all tasks, without a stop that would interrupt their system calls.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::status::{self, Status};
use super::stopped_process::reaping;
use super::{interrupted_call, next_program};
use crate::arch::Registers;

/// A process, and the tasks that come from it and are followed. All calls must come from the thread that made it.
#[derive(Debug)]
pub(crate) struct ProcessTree {
    root: Pid,
    /// Processes and threads that are traced.
    tasks: HashSet<Pid>,
    root_status: Option<u8>,
    /// Those of them that are followed no longer from their next stop on.
    leaving: HashSet<Pid>,
    /// Whether the root's end is left to another thread to take.
    leaves_root: bool,
    /// Whether those that were forked are looked at before they execute a program.
    looks_before: bool,
    /// Those that may soon execute one, and the number of stops at system calls until that is no longer soon.
    executing: HashMap<Pid, u32>,
    /// Those that stand at the first instruction of a program, the oldest first.
    programs: VecDeque<Pid>,
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
    /// It begins or ends a system call.
    Call,
    /// It has begun, or we asked for it.
    Stopped,
}

/// What comes next of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// This process stands at the first instruction of a program.
    Program(Pid),
    /// This process is about to execute this file.
    File(Pid, PathBuf),
    /// Nothing has stopped.
    Nothing,
    /// More may have stopped.
    More,
}

/// Number of changes that are seen to before the caller looks at other things.
const AT_ONCE: u32 = 100;

/// Number of stops at system calls of a forked process that is expected to execute a program.
const MOST_CALLS: u32 = 400;

/// `PTRACE_EVENT_STOP` (include/uapi/linux/ptrace.h).
const EVENT_STOP: i32 = 128;

impl ProcessTree {
    /// Follows a child of this process that has no other threads. `looks_before` is whether [`Next::File`] comes before a
    /// process that was forked executes a program.
    ///
    /// # Errors
    /// If ptrace is not permitted.
    pub(crate) fn seize(root: Pid, looks_before: bool) -> nix::Result<ProcessTree> {
        let mut tree = ProcessTree { leaves_root: false, ..ProcessTree::beside(root, looks_before) };
        tree.adopt(root)?;
        Ok(tree)
    }

    /// Follows nothing yet of what comes from a process that is not traced itself, and whose end another thread takes.
    pub(crate) fn beside(root: Pid, looks_before: bool) -> ProcessTree {
        let (tasks, leaving, executing, programs) = Default::default();
        ProcessTree { root, tasks, root_status: None, leaving, leaves_root: true, looks_before, executing, programs }
    }

    /// Follows a task too, which may run, and all that comes from it from now on.
    fn adopt(&mut self, task: Pid) -> nix::Result<()> {
        let options = Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACESYSGOOD;
        ptrace::seize(task, options)?;
        self.tasks.insert(task);
        Ok(())
    }

    /// Follows a child that was forked and has no other threads, unless it has ended. It stops once, if those are looked at
    /// that are about to execute a program.
    ///
    /// # Errors
    /// If ptrace is not permitted, or somebody else traces it.
    pub(crate) fn adopt_forked(&mut self, child: Pid) -> nix::Result<()> {
        match self.adopt(child) {
            Err(_) if has_ended(child) => return Ok(()),
            adopted => adopted?,
        }
        if self.looks_before {
            // This fails if it was killed.
            let _ = ptrace::interrupt(child);
        }
        Ok(())
    }

    /// Follows all threads of a process that runs: each may be the one that executes another program. They stop once, as
    /// [`ProcessTree::adopt_forked`] says.
    ///
    /// # Errors
    /// If ptrace is not permitted, or somebody else traces them.
    pub(crate) fn adopt_process(&mut self, pid: Pid) -> nix::Result<()> {
        let (grown, reaped) = reaping(pid, || {
            loop {
                let mut has_grown = false;
                for thread in status::threads(pid) {
                    self.leaving.remove(&thread);
                    // A thread that is followed may have made it.
                    if self.has(thread) || is_ours(thread) {
                        continue;
                    }
                    match self.adopt(thread) {
                        Ok(()) => has_grown = true,
                        Err(_) if has_ended(thread) => {}
                        Err(error) => return Err(error),
                    }
                }
                if !has_grown {
                    return Ok(());
                }
            }
        });
        reaped.into_iter().for_each(|thread| self.forget(thread));
        grown?;
        if self.looks_before {
            for thread in status::threads(pid) {
                if self.has(thread) && ptrace::interrupt(thread).is_ok() {
                    self.executing.insert(thread, MOST_CALLS);
                }
            }
        }
        Ok(())
    }

    /// Follows a process no longer that runs. Its threads stop for that, one by one.
    pub(crate) fn release_process(&mut self, pid: Pid) {
        for thread in status::threads(pid) {
            // One that has executed another program is not the process that was to be released.
            let is_other = self.programs.contains(&thread);
            // One that a followed thread has just made is not known yet.
            let is_followed = self.has(thread) || is_ours(thread);
            if !is_other && is_followed && ptrace::interrupt(thread).is_ok() {
                self.leaving.insert(thread);
            }
        }
    }

    /// Whether a task is followed.
    pub(crate) fn has(&self, task: Pid) -> bool {
        self.tasks.contains(&task)
    }

    /// Returns the process that the tree begins with.
    pub(crate) fn root(&self) -> Pid {
        self.root
    }

    /// Returns the root's exit status (128 + n for a signal), if it has ended.
    pub(crate) fn root_status(&mut self) -> Option<u8> {
        if self.root_status.is_none() && !self.tasks.contains(&self.root) {
            // Another thread may be tracing it, whose stops are only looked at here.
            if let Ok(Some((root, Change::Ended(status)))) = change_of(libc::P_PID, self.root, libc::WNOHANG) {
                self.bury(root, status);
            }
        }
        self.root_status
    }

    /// Whether nothing is followed any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Lets those go on that have stopped, up to one at a program that the caller is to look at.
    pub(crate) fn next(&mut self) -> Next {
        let mut last = Next::More;
        for _ in 0..AT_ONCE {
            let Ok(Some((task, change))) = changed(libc::WNOHANG) else {
                last = Next::Nothing;
                break;
            };
            if self.leaves_root && task == self.root && matches!(change, Change::Ended(_)) {
                self.bury(task, 0);
                // The kernel tells of it first until the other thread has taken it.
                last = Next::Nothing;
                break;
            }
            match self.pass(task, change) {
                // The kernel tells of the newest tasks first, and would never come to the oldest.
                Next::Program(task) => self.programs.push_back(task),
                Next::Nothing | Next::More => {}
                file @ Next::File(..) => return file,
            }
        }
        self.programs.pop_front().map_or(last, Next::Program)
    }

    /// Waits until a process stands at the first instruction of a program. Returns none if the root has ended before.
    pub(crate) fn wait_for_program(&mut self) -> Option<Pid> {
        while self.root_status.is_none() {
            let Ok(Some((task, change))) = changed(0) else { return None };
            match self.pass(task, change) {
                Next::Program(task) => return Some(task),
                Next::File(task, _) => self.go_on(task),
                _ => {}
            }
        }
        None
    }

    /// Lets a task go on, unless the caller is to look at its program.
    fn pass(&mut self, task: Pid, change: Change) -> Next {
        match change {
            Change::Ended(status) => self.bury(task, status),
            Change::Executed => {
                // The kernel refuses all requests to a thread that has taken its process's number until this stop was
                // waited for (kernel/ptrace.c, `looks_like_a_spurious_pid`). No signal is in it that could be lost.
                take_stop(task);
                // A thread that executes a program takes the number of its process.
                if let Ok(before) = ptrace::getevent(task) {
                    self.forget(Pid::from_raw(before as i32));
                }
                self.forget(task);
                self.tasks.insert(task);
                return Next::Program(task);
            }
            Change::Made => {
                self.note_made(task);
                self.go_on(task);
            }
            _ if self.leaving.contains(&task) => {
                self.forget(task);
                let signal = if let Change::Signal(signal) = change { signal } else { 0 };
                restart_call(task);
                resume(task, libc::PTRACE_DETACH, signal);
            }
            Change::Signal(signal) => {
                restart_wait(task, signal);
                self.go_on_with(task, signal);
            }
            Change::Call => {
                if let Some(file) = next_program::file(task) {
                    return Next::File(task, file);
                }
                match self.executing.get_mut(&task) {
                    Some(left) if *left > 0 => *left -= 1,
                    _ => drop(self.executing.remove(&task)),
                }
                self.go_on(task);
            }
            Change::JobControl => resume(task, libc::PTRACE_LISTEN, 0),
            Change::Stopped => {
                self.tasks.insert(task);
                restart_call(task);
                if self.looks_before && Status::read(task).is_ok_and(|status| status.process() == Some(task)) {
                    self.executing.insert(task, MOST_CALLS);
                }
                self.go_on(task);
            }
        }
        Next::Nothing
    }

    /// Lets a task go on.
    pub(crate) fn go_on(&self, task: Pid) {
        self.go_on_with(task, 0);
    }

    fn go_on_with(&self, task: Pid, signal: i32) {
        let stops_at_calls = self.executing.contains_key(&task);
        resume(task, if stops_at_calls { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT }, signal);
    }

    /// Lets a process go on that stands at the first instruction of a program, or is about to execute one, and follows it no
    /// longer.
    pub(crate) fn let_go(&mut self, pid: Pid) {
        self.forget(pid);
        resume(pid, libc::PTRACE_DETACH, 0);
    }

    /// Follows a process no longer that stands at the first instruction of a program. It stays stopped and traced; what
    /// it makes from now on is not. Returns whether it is still there.
    ///
    /// It has left execve(2) then, so its registers can be set: before, it would write its result to one.
    pub(crate) fn hand_over(&mut self, pid: Pid) -> bool {
        self.forget(pid);
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

    /// Adds the task that this one has made, unless that is no longer followed: its own stops may have come first.
    fn note_made(&mut self, maker: Pid) {
        if let Ok(made) = ptrace::getevent(maker) {
            let made = Pid::from_raw(made as i32);
            if is_ours(made) {
                self.tasks.insert(made);
                // A thread leaves with its maker, and a process is followed on.
                let is_thread = || Status::read(made).is_ok_and(|status| status.process() != Some(made));
                if self.leaving.contains(&maker) && is_thread() && ptrace::interrupt(made).is_ok() {
                    self.leaving.insert(made);
                }
            }
        }
    }

    fn forget(&mut self, task: Pid) {
        self.tasks.remove(&task);
        self.leaving.remove(&task);
        self.executing.remove(&task);
        self.programs.retain(|&program| program != task);
    }

    /// Forgets tasks whose ends another thread has taken, as one does that stops threads of the same process.
    pub(crate) fn forget_ended(&mut self) {
        let gone: Vec<Pid> = self.tasks.iter().copied().filter(|&task| Status::read(task).is_err()).collect();
        gone.into_iter().for_each(|task| self.forget(task));
    }

    /// Takes note of a task's end, and lets its own parent know of it.
    fn bury(&mut self, task: Pid, status: u8) {
        self.forget(task);
        if task == self.root {
            self.root_status = Some(status);
            if self.leaves_root {
                return;
            }
        }
        // SAFETY: a system call that may write no information, because the pointer is null.
        unsafe { libc::waitid(libc::P_PID, task.as_raw() as u32, std::ptr::null_mut(), libc::WEXITED | libc::__WALL) };
    }
}

/// Whether a task has ended, or is about to.
fn has_ended(task: Pid) -> bool {
    Status::read(task).map_or(true, |status| matches!(status.state, 'Z' | 'X'))
}

/// Whether this thread traces a task.
fn is_ours(task: Pid) -> bool {
    Status::read(task).is_ok_and(|status| status.tracer == Some(nix::unistd::gettid()))
}

/// Restarts a system call that ends with EINTR only because its thread has stopped. This fails if the thread was killed.
fn restart_call(task: Pid) {
    let restarted = Registers::read(task).ok().and_then(|registers| interrupted_call::taken_up(task, &registers));
    let _ = restarted.map(|restarted| restarted.write(task));
}

/// Restarts a wait that ends with EINTR only because an ignored signal has stopped its thread for us. Without a tracer such a
/// signal does not wake it (kernel/signal.c, `sig_ignored`).
fn restart_wait(task: Pid, signal: i32) {
    const IGNORED_BY_DEFAULT: [Signal; 4] = [Signal::SIGCHLD, Signal::SIGURG, Signal::SIGWINCH, Signal::SIGCONT];
    let (Ok(signal), Ok(registers)) = (Signal::try_from(signal), Registers::read(task)) else { return };
    if registers.result() != -i64::from(libc::EINTR) {
        return;
    }
    let Ok(status) = Status::read(task) else { return };
    if status.handles(signal) || !(status.ignores(signal) || IGNORED_BY_DEFAULT.contains(&signal)) {
        return;
    }
    restart_call(task);
}

/// Waits for a stop that is there.
fn take_stop(task: Pid) {
    let flags = libc::WSTOPPED | libc::__WALL | libc::WNOHANG;
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
        (_, 0) if signal & 0x80 != 0 => Change::Call,
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
            (libc::CLD_TRAPPED, libc::SIGTRAP | 0x80, Change::Call),
        ] {
            assert_eq!(change(code, status), expected, "{code} {status:x}");
        }
    }
}
