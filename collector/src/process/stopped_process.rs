//! A process with all of its threads stopped by our ptrace.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::execution::Execution;
use super::memory::Memory;
use super::own_threads::NoThread;
use super::pause::Pause;
use super::remote_syscall::RemoteError;
use super::sched_slice::shorten_slice;
use super::seccomp::Filtered;
use super::status::{self, Status};
use super::tracee::{Stop, Tracee};
use crate::arch::Registers;

/// A stopped process. When the tracer thread that has stopped its threads ends, the kernel detaches them all at once,
/// and they continue.
pub(crate) struct StoppedProcess {
    threads: Vec<Tracee>,
    pid: Pid,
    memory: Memory,
    /// Registers of each thread that was there, and the threads' indices.
    registers: OnceCell<(Vec<usize>, Vec<Registers>)>,
    /// When the tracer began to seize its threads: since then one may have stopped.
    started: Instant,
    /// When its threads were asked to stop.
    since: Instant,
    /// A thread may have stopped before it was asked to: for a signal, or because it made another.
    by_self: bool,
}

/// Threads of a process.
#[derive(Clone, Copy)]
enum Chosen<'a> {
    All,
    These(&'a [Pid]),
}

impl Chosen<'_> {
    /// Returns one listing of them: /proc misses some where others end meanwhile.
    fn find(self, pid: Pid) -> Vec<Pid> {
        match self {
            Chosen::All => status::threads(pid),
            Chosen::These(threads) => threads.to_vec(),
        }
    }
}

/// Why a process could not be stopped; it keeps running.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Another process traces it.
    #[error("{0} traces it already (ptrace allows one); end that first")]
    Traced(String),
    /// ptrace is not permitted.
    #[error("ptrace is restricted{0}; run as root or use `record --`")]
    Forbidden(String),
    /// It has seccomp filters.
    #[error(transparent)]
    Filtered(#[from] Filtered),
    /// A thread does not stop.
    #[error("its thread {0} does not stop: it waits in the kernel (state {1})")]
    Stuck(Pid, char),
    /// The system refuses the thread that would trace it.
    #[error(transparent)]
    Threads(#[from] NoThread),
    /// It ended, became another program, or its memory can't be reached.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// Time limits for all threads to stop: of the first attempt, of the last, and an addition for each thread. After that,
/// the threads are released and stopped anew, so that stopped threads don't wait for one that gets no processor. Nearly
/// always they take a fraction of that time.
const SHORTEST: Duration = Duration::from_micros(700);
const LONGEST_STOP: Duration = Duration::from_millis(32);
/// Longest wait for another thread of ours to let a thread go.
const LONGEST_RELEASE: Duration = Duration::from_secs(1);
const EACH: Duration = Duration::from_micros(10);
/// Time that the kernel takes to detach one of many threads: 4 to 5 us by its own events (Linux 6.18).
const LET_GO: Duration = Duration::from_micros(5);
/// Sleep before threads are stopped.
const REST: Duration = Duration::from_micros(100);
/// Interval at which ended threads are looked for, while others are stopped.
const REAPING: Duration = Duration::from_millis(50);
/// Maximum wait for a thread that does not stop.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum time of attempts to start a tracer thread.
const THREADLESS: Duration = Duration::from_millis(500);
/// Sleep between two attempts.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

impl From<std::io::Error> for StopError {
    fn from(error: std::io::Error) -> Self {
        StopError::Remote(error.into())
    }
}

/// Stops every thread of a process, including those that are born meanwhile, calls `act`, and releases the process.
/// Returns the result of `act`, and how long the process stood still.
///
/// # Errors
/// See [`StopError`]. A process that executes another program than this is left alone.
pub(crate) fn stop_all<T: Send, E: Send + From<StopError>>(
    execution: Execution,
    mut act: impl FnMut(&mut StoppedProcess) -> Result<T, E> + Send,
) -> Result<(T, Pause), E> {
    let act = |stopped: &mut StoppedProcess| match stopped.threads.is_empty() {
        true => Err(StopError::from(RemoteError::Gone).into()),
        false => act(stopped),
    };
    stop_those(execution, Chosen::All, act)
}

/// Does the same as [`stop_all`] with these threads only, and those that they make meanwhile. Some or all may have
/// ended.
///
/// # Errors
/// See [`StopError`].
pub(crate) fn stop_threads<T: Send, E: Send + From<StopError>>(
    execution: Execution,
    threads: &[Pid],
    act: impl FnMut(&mut StoppedProcess) -> Result<T, E> + Send,
) -> Result<(T, Pause), E> {
    stop_those(execution, Chosen::These(threads), act)
}

fn stop_those<T: Send, E: Send + From<StopError>>(
    execution: Execution,
    chosen: Chosen<'_>,
    mut act: impl FnMut(&mut StoppedProcess) -> Result<T, E> + Send,
) -> Result<(T, Pause), E> {
    let (started, mut pause, mut longest) = (Instant::now(), Pause::default(), SHORTEST);
    let pid = execution.pid();
    loop {
        let done = as_tracer(pid, || {
            let mut stopped = StoppedProcess::new(execution, chosen, longest)?;
            let done = act(&mut stopped);
            stopped.take_up_calls();
            stopped.threads.iter_mut().for_each(Tracee::give_back_signals);
            let stood = stopped.has_stood();
            tracing::debug!("stood still for {stood}");
            Ok((done, stood))
        });
        match done.map_err(StopError::from)? {
            // The thread gets no processor, or waits for a disk, or for its vfork child to become a program. The others
            // need not wait with it.
            Err((StopError::Stuck(tid, _), stood)) if started.elapsed() < PATIENCE => {
                pause = pause.max(stood);
                longest = (longest * 5 / 4).min(LONGEST_STOP);
                // The process runs for at least as long as it stood still.
                std::thread::sleep(stood.all.max(BETWEEN_LOOKS));
                while Status::of_thread(pid, tid).is_ok_and(|status| status.state == 'D')
                    && started.elapsed() < PATIENCE
                {
                    std::thread::sleep(BETWEEN_LOOKS);
                }
            }
            Err((error, _)) => return Err(error.into()),
            Ok((done, stood)) => return done.map(|done| (done, pause.max(stood))),
        }
    }
}

/// Calls `act` on a new thread: when that ends, the kernel detaches all threads that it traces.
///
/// # Errors
/// If the system refuses the thread.
pub(super) fn as_tracer<T: Send>(pid: Pid, mut act: impl FnMut() -> T + Send) -> Result<T, NoThread> {
    let started = Instant::now();
    loop {
        let (ends, ended) = mpsc::channel::<()>();
        let act = || {
            let _ends = ends;
            shorten_slice();
            act()
        };
        let done = std::thread::scope(|scope| {
            let tracer = std::thread::Builder::new().spawn_scoped(scope, act)?;
            while ended.recv_timeout(REAPING) == Err(RecvTimeoutError::Timeout) {
                reap(pid);
            }
            Ok::<_, NoThread>(tracer.join())
        });
        match done {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // Others may use up the limit of threads just then.
            Err(_) if started.elapsed() < THREADLESS => std::thread::sleep(BETWEEN_LOOKS),
            Err(refused) => return Err(refused),
        }
    }
}

/// Calls `act`, which traces threads of a process, and reaps those that end meanwhile. Returns them too.
///
/// # Errors
/// EAGAIN if the system refuses the thread that reaps: without it `act` may wait for ever.
pub(super) fn reaping<T>(pid: Pid, act: impl FnOnce() -> nix::Result<T>) -> (nix::Result<T>, Vec<Pid>) {
    let (ends, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let reaper = std::thread::Builder::new().spawn_scoped(scope, move || {
            let mut reaped = Vec::new();
            while ended.recv_timeout(REAPING) == Err(RecvTimeoutError::Timeout) {
                reaped.extend(reap(pid));
            }
            reaped
        });
        let Ok(reaper) = reaper else { return (Err(Errno::EAGAIN), Vec::new()) };
        let done = act();
        drop(ends);
        (done, reaper.join().unwrap_or_default())
    })
}

/// Reaps threads that have ended, and returns them. A process that becomes another program meanwhile waits until its traced threads have
/// ended and are reaped. Our tracer waits for the process if it seizes another of its threads: `ptrace_attach`
/// (kernel/ptrace.c) takes the lock that `begin_new_exec` (fs/exec.c) holds.
fn reap(pid: Pid) -> Vec<Pid> {
    let has_ended = |&tid: &Pid| tid != pid && Status::of_thread(pid, tid).is_ok_and(|status| status.state == 'Z');
    let ended: Vec<Pid> = status::threads(pid).into_iter().filter(has_ended).collect();
    for tid in &ended {
        // SAFETY: a system call on numbers; a null pointer asks for no result. It does nothing to threads that are not
        // traced by us.
        unsafe {
            let flags = libc::WEXITED | libc::WNOHANG | libc::__WALL;
            libc::waitid(libc::P_PID, tid.as_raw() as u32, std::ptr::null_mut(), flags);
        }
    }
    ended
}

impl StoppedProcess {
    /// Stops threads, which may take `longest`. An error comes with the time for which some stood still.
    fn new(execution: Execution, chosen: Chosen<'_>, longest: Duration) -> Result<StoppedProcess, (StopError, Pause)> {
        let pid = execution.pid();
        let memory = Memory::open(pid).map_err(|error| (error.into(), Pause::default()))?;
        // A thread that has just slept is not soon preempted.
        std::thread::sleep(REST);
        let now = Instant::now();
        let (threads, registers) = (Vec::new(), OnceCell::new());
        let mut stopped = StoppedProcess { threads, pid, memory, registers, started: now, since: now, by_self: false };
        let seized = stopped.seize(chosen);
        stopped.since = Instant::now();
        let stood = seized.and_then(|()| stopped.stop(chosen, longest));
        if let Err(error) = stood.and_then(|()| stopped.take_memory(execution)) {
            // A thread may have stopped since it was polled.
            for thread in stopped.threads.iter_mut().filter(|thread| !thread.is_stopped()) {
                let _ = thread.poll();
            }
            stopped.take_up_calls();
            return Err((error, stopped.has_stood()));
        }
        tracing::debug!("{} threads stopped after {:?}", stopped.threads.len(), stopped.since.elapsed());
        Ok(stopped)
    }

    /// Opens its memory again, now that no thread can execute a program any more: until here one could, and the memory
    /// before that may still be there for those who read it just then.
    fn take_memory(&mut self, execution: Execution) -> Result<(), StopError> {
        execution.check()?;
        if let Some(thread) = self.threads.first() {
            self.memory = Memory::of_thread(self.pid, thread.tid())?;
        }
        Ok(())
    }

    /// Returns how long its threads will have stood still if they are released now.
    fn has_stood(&self) -> Pause {
        let since = |when: Instant| when.elapsed() + LET_GO * self.threads.len() as u32;
        Pause { all: since(self.since), one: since(if self.by_self { self.started } else { self.since }) }
    }

    /// Seizes the threads while they run.
    fn seize(&mut self, chosen: Chosen<'_>) -> Result<(), StopError> {
        let mut known = HashSet::new();
        let mut new = chosen.find(self.pid);
        // Threads that a seized one makes from now on are traced too, but others may have been made before.
        while !new.is_empty() {
            for &tid in &new {
                self.threads.extend(seize(self.pid, tid)?);
            }
            known.extend(new);
            new = chosen.find(self.pid).into_iter().filter(|tid| !known.contains(tid)).collect();
        }
        Ok(())
    }

    /// Stops them, and those that were missed: once all known threads stand, the others are found for certain.
    fn stop(&mut self, chosen: Chosen<'_>, longest: Duration) -> Result<(), StopError> {
        let deadline = Instant::now() + longest + EACH * self.threads.len() as u32;
        let mut asked = 0;
        loop {
            for thread in &self.threads[asked..] {
                // A thread that has ended is noticed when it is waited for.
                let _ = thread.interrupt();
            }
            self.wait(deadline)?;
            let missed = match chosen {
                Chosen::All => self.missed()?,
                Chosen::These(_) => Vec::new(),
            };
            if missed.is_empty() {
                return Ok(());
            }
            tracing::debug!("{} threads had been missed", missed.len());
            asked = self.threads.len();
            self.threads.extend(missed);
        }
    }

    /// Seizes and returns its other threads.
    fn missed(&self) -> Result<Vec<Tracee>, StopError> {
        // The kernel's own count misses none. It includes threads that have ended and were not reaped.
        if Status::read(self.pid).is_ok_and(|status| status.thread_count as usize == self.threads.len()) {
            return Ok(Vec::new());
        }
        let known: HashSet<Pid> = self.threads.iter().map(Tracee::tid).collect();
        let others = status::threads(self.pid).into_iter().filter(|tid| !known.contains(tid));
        others.filter_map(|tid| seize(self.pid, tid).transpose()).collect()
    }

    /// Waits until all threads so far, and those that they made, have stopped or ended.
    fn wait(&mut self, deadline: Instant) -> Result<(), StopError> {
        loop {
            let (mut born, mut ended, mut running) = (Vec::new(), Vec::new(), None);
            for (index, thread) in self.threads.iter_mut().enumerate().filter(|(_, thread)| !thread.is_stopped()) {
                match thread.poll() {
                    Ok(None) => running = Some(thread.tid()),
                    Ok(Some(Stop::Made(tid))) => born.push(tid),
                    Ok(Some(Stop::Became)) => return Err(RemoteError::Became.into()),
                    Ok(Some(Stop::Ended(status))) if thread.tid() == self.pid => {
                        return Err(RemoteError::Ended(status).into());
                    }
                    Ok(Some(Stop::Ended(_))) | Err(Errno::ECHILD | Errno::ESRCH) => ended.push(index),
                    Ok(Some(Stop::Asked)) => {}
                    Ok(Some(_)) => self.by_self = true,
                    Err(error) => return Err(RemoteError::from(error).into()),
                }
            }
            for index in ended.into_iter().rev() {
                self.threads.swap_remove(index);
            }
            for tid in born {
                self.threads.push(Tracee::born(tid));
                (running, self.by_self) = (Some(tid), true);
            }
            let Some(tid) = running else { return Ok(()) };
            if Instant::now() >= deadline {
                let state = Status::of_thread(self.pid, tid).map_or('?', |status| status.state);
                return Err(StopError::Stuck(tid, state));
            }
            // The threads need a processor to stop on, perhaps ours.
            std::thread::yield_now();
        }
    }

    /// Returns all of its threads. A listing of /proc need not have them all while threads come and go.
    pub(crate) fn tids(&self) -> Vec<Pid> {
        self.threads.iter().map(Tracee::tid).collect()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Registers of each thread that has not been killed meanwhile.
    pub(crate) fn registers(&self) -> &[Registers] {
        let read = || {
            let threads = self.threads.iter().enumerate();
            threads.filter_map(|(index, thread)| Some((index, thread.registers().ok()?))).unzip()
        };
        &self.registers.get_or_init(read).1
    }

    /// Restarts the system calls of its threads that only the stop has interrupted.
    fn take_up_calls(&self) {
        let Some((indices, registers)) = self.registers.get() else {
            self.threads.iter().for_each(|thread| thread.take_up_call(None));
            return;
        };
        for (&index, registers) in indices.iter().zip(registers) {
            self.threads[index].take_up_call(Some(registers));
        }
    }

    /// Changes the registers of the thread that has these.
    pub(crate) fn change_registers(&self, before: &Registers, changed: Registers) -> Result<(), RemoteError> {
        let own =
            |thread: &&Tracee| thread.registers().is_ok_and(|now| (now.ip(), now.sp()) == (before.ip(), before.sp()));
        let thread = self.threads.iter().find(own).ok_or(RemoteError::Gone)?;
        Ok(thread.set_registers(changed)?)
    }
}

/// Starts to trace a thread; none if it has all but ended, or is traced because a traced thread made it.
///
/// # Errors
/// If ptrace is not permitted, or another process traces it.
pub(super) fn seize(pid: Pid, tid: Pid) -> Result<Option<Tracee>, StopError> {
    let started = Instant::now();
    loop {
        let error = match Tracee::seize(tid) {
            Ok(thread) => return Ok(Some(thread)),
            Err(Errno::ESRCH) => return Ok(None),
            Err(error) => error,
        };
        let Ok(status) = Status::of_thread(pid, tid) else { return Ok(None) };
        if matches!(status.state, 'Z' | 'X') || status.tracer == Some(nix::unistd::gettid()) {
            return Ok(None);
        }
        // Our thread that traced it last has not quite ended yet, or the follower is about to let it go.
        let longest = if status.tracer.is_some() { LONGEST_RELEASE } else { LONGEST_STOP };
        if !status.tracer.is_none_or(status::is_own_thread) || started.elapsed() > longest {
            return Err(refusal(&status, error));
        }
        std::thread::sleep(REST);
    }
}

/// Returns why ptrace of a thread was refused.
pub(crate) fn refusal(status: &Status, error: Errno) -> StopError {
    if let Some(tracer) = status.tracer {
        let name = status::name(tracer).unwrap_or_else(|| "a process".into());
        return StopError::Traced(format!("{name} ({tracer})"));
    }
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    StopError::Forbidden(match scope.trim() {
        "" | "0" => format!(" ({error})"),
        scope => format!(" (yama ptrace_scope={scope})"),
    })
}
