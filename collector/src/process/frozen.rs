//! A process with every one of its threads stopped under our ptrace.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use libc::user_regs_struct;
use nix::errno::Errno;
use nix::unistd::Pid;

use super::memory::Memory;
use super::promptness::take_short_turns;
use super::remote::{Remote, RemoteError, Room};
use super::seccomp::{self, Verdict};
use super::status::{self, Status};
use super::tracee::{Stop, Tracee};

/// The process. Its threads go on, untraced, when the thread of ours ends that has stopped them: the kernel then lets
/// them go all at once.
pub(crate) struct Frozen {
    threads: Vec<Tracee>,
    pid: Pid,
    memory: Memory,
    registers: OnceCell<Vec<user_regs_struct>>,
    since: Instant,
}

/// Why a process could not be stopped; it goes on.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// Another tracer has it.
    #[error("{0} traces it already (ptrace allows one); end that first")]
    Traced(String),
    /// Not allowed.
    #[error("ptrace is restricted{0}; run as root or use `record --`")]
    Forbidden(String),
    /// It has filters of system calls.
    #[error(
        "a seccomp filter of its own restricts the system calls that hooks need (memfd_create, mmap, madvise), {0}"
    )]
    Filtered(&'static str),
    /// A thread does not stop.
    #[error("its thread {0} does not stop: it waits in the kernel (state {1})")]
    Stuck(Pid, char),
    /// It ended, became another program, or its memory can't be reached.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// How long all threads may take to stop before they are let go and stopped anew; more where there are many.
const LONGEST: Duration = Duration::from_millis(20);
const LONGEST_EACH: Duration = Duration::from_micros(50);
/// How long one thread may, that is alone.
const LONGEST_ALONE: Duration = Duration::from_millis(200);
/// How long we sleep before threads are stopped.
const REST: Duration = Duration::from_micros(100);
/// How long a thread that does not stop is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at it.
const BETWEEN: Duration = Duration::from_millis(2);

impl From<std::io::Error> for FreezeError {
    fn from(error: std::io::Error) -> Self {
        FreezeError::Remote(error.into())
    }
}

/// Stops every thread of a process, those that are born meanwhile too, and lets it go on when something has been done.
/// Returns what came of that and how long the process stood still.
///
/// # Errors
/// See [`FreezeError`].
pub(crate) fn freeze<T: Send, E: Send + From<FreezeError>>(
    pid: Pid,
    mut act: impl FnMut(&mut Frozen) -> Result<T, E> + Send,
) -> Result<(T, Duration), E> {
    let (started, mut failed) = (Instant::now(), Duration::ZERO);
    loop {
        let done = as_tracer(|| {
            let mut frozen = Frozen::new(pid)?;
            let done = act(&mut frozen);
            frozen.threads.iter_mut().for_each(Tracee::give_back_signals);
            let stood = frozen.since.elapsed();
            tracing::debug!("stood still for {stood:?}");
            Ok((done, stood))
        });
        match done {
            // It waits for a disk, or for its vfork child to become a program. The others need not wait with it.
            Err((FreezeError::Stuck(tid, _), stood)) if started.elapsed() < PATIENCE => {
                failed = failed.max(stood);
                // It goes on for at least as long as it stood.
                std::thread::sleep(stood.max(BETWEEN));
                while Status::of_thread(pid, tid).is_ok_and(|status| status.state == 'D')
                    && started.elapsed() < PATIENCE
                {
                    std::thread::sleep(BETWEEN);
                }
            }
            Err((error, _)) => return Err(error.into()),
            Ok((done, stood)) => return done.map(|done| (done, stood.max(failed))),
        }
    }
}

/// Does something in a thread of its own: whatever it traces is let go when it ends.
fn as_tracer<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let act = || {
        take_short_turns();
        act()
    };
    match std::thread::scope(|scope| scope.spawn(act).join()) {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Acts in a process while one of its threads stands still, one that sleeps if there is one.
///
/// # Errors
/// See [`FreezeError`].
pub(crate) fn with_one_thread<T: Send>(
    pid: Pid,
    room: Room,
    act: impl Fn(&mut Remote<'_>) -> T + Send + Sync,
) -> Result<T, FreezeError> {
    let sleeps = |&tid: &Pid| Status::of_thread(pid, tid).is_ok_and(|status| status.state == 'S');
    let (sleeping, awake): (Vec<Pid>, Vec<Pid>) = status::threads(pid).into_iter().partition(sleeps);
    let memory = Memory::open(pid).map_err(RemoteError::from)?;
    for tid in sleeping.into_iter().rev().chain(awake) {
        let done = as_tracer(|| {
            let mut thread = Tracee::seize(tid).ok()?;
            thread.interrupt().ok()?;
            thread.wait(LONGEST_ALONE).ok()??;
            let done = thread.can_be_moved().then(|| act(&mut Remote::new(pid, &mut thread, &memory, room)));
            thread.give_back_signals();
            done
        });
        if let Some(done) = done {
            return Ok(done);
        }
    }
    Err(RemoteError::Occupied.into())
}

impl Frozen {
    /// With an error comes how long threads stood still.
    fn new(pid: Pid) -> Result<Frozen, (FreezeError, Duration)> {
        let memory = Memory::open(pid).map_err(|error| (error.into(), Duration::ZERO))?;
        let mut frozen = Frozen { threads: Vec::new(), pid, memory, registers: OnceCell::new(), since: Instant::now() };
        // Who has just slept is not soon taken off the processor.
        std::thread::sleep(REST);
        let mut known = HashSet::new();
        let mut new = status::threads(pid);
        frozen.since = Instant::now();
        // Those that one of ours makes from now on are ours, but others may have been made before.
        while !new.is_empty() {
            for &tid in &new {
                match Tracee::seize(tid) {
                    Ok(thread) => {
                        // One that has ended says so when it is waited for.
                        let _ = thread.interrupt();
                        frozen.threads.push(thread);
                    }
                    Err(Errno::ESRCH) => {}
                    Err(error) => {
                        check_passed_over(pid, tid, error).map_err(|error| (error, frozen.since.elapsed()))?
                    }
                }
            }
            known.extend(new);
            new = status::threads(pid).into_iter().filter(|tid| !known.contains(tid)).collect();
        }
        frozen.wait(pid).map_err(|error| (error, frozen.since.elapsed()))?;
        tracing::debug!("{} threads stopped after {:?}", frozen.threads.len(), frozen.since.elapsed());
        if frozen.threads.is_empty() { Err((RemoteError::Gone.into(), Duration::ZERO)) } else { Ok(frozen) }
    }

    /// Waits until all threads so far have stopped or ended, and those that they made.
    fn wait(&mut self, pid: Pid) -> Result<(), FreezeError> {
        let deadline = Instant::now() + LONGEST + LONGEST_EACH * self.threads.len() as u32;
        loop {
            let (mut born, mut ended, mut running) = (Vec::new(), Vec::new(), None);
            for (index, thread) in self.threads.iter_mut().enumerate().filter(|(_, thread)| !thread.is_stopped()) {
                match thread.poll() {
                    Ok(None) => running = Some(thread.tid()),
                    Ok(Some(Stop::Made(tid))) => born.push(tid),
                    Ok(Some(Stop::Became)) => return Err(RemoteError::Became.into()),
                    Ok(Some(Stop::Ended(status))) if thread.tid() == pid => {
                        return Err(RemoteError::Ended(status).into());
                    }
                    Ok(Some(Stop::Ended(_))) | Err(Errno::ECHILD | Errno::ESRCH) => ended.push(index),
                    Ok(Some(_)) => {}
                    Err(error) => return Err(RemoteError::from(error).into()),
                }
            }
            for index in ended.into_iter().rev() {
                self.threads.swap_remove(index);
            }
            for tid in born {
                self.threads.push(Tracee::born(tid));
                running = Some(tid);
            }
            let Some(tid) = running else { return Ok(()) };
            if Instant::now() >= deadline {
                let state = Status::of_thread(pid, tid).map_or('?', |status| status.state);
                return Err(FreezeError::Stuck(tid, state));
            }
            // They need a processor to stop on, perhaps ours.
            std::thread::yield_now();
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Refuses if system calls of these numbers in its name might kill it, which has so many filters.
    pub(crate) fn check_filters(&self, filters: u32, calls: &[i64]) -> Result<(), FreezeError> {
        let Some(thread) = self.threads.first() else { return Ok(()) };
        let ours = || Status::read(Pid::this()).map_or(0, |status| status.filters);
        match seccomp::verdict(thread.tid(), calls) {
            Some(Verdict::Harmless) => Ok(()),
            Some(Verdict::Dangerous) => Err(FreezeError::Filtered("and would kill it for them")),
            // As many as we have ourselves: they are our container's, and don't kill us.
            None if filters == ours() => Ok(()),
            None => Err(FreezeError::Filtered("which only root may read")),
        }
    }

    /// To act in it.
    pub(crate) fn remote(&mut self, room: Room) -> Result<Remote<'_>, RemoteError> {
        let thread = self.threads.iter_mut().find(|thread| thread.can_be_moved()).ok_or(RemoteError::Occupied)?;
        Ok(Remote::new(self.pid, thread, &self.memory, room))
    }

    /// Registers of each thread that has not been killed meanwhile.
    pub(crate) fn registers(&self) -> &[user_regs_struct] {
        self.registers.get_or_init(|| self.threads.iter().filter_map(|thread| thread.registers().ok()).collect())
    }

    /// Changes the registers of the thread that has these.
    pub(crate) fn change_registers(
        &self,
        before: &user_regs_struct,
        changed: user_regs_struct,
    ) -> Result<(), RemoteError> {
        let own = |thread: &&Tracee| thread.registers().is_ok_and(|now| (now.rip, now.rsp) == (before.rip, before.rsp));
        let thread = self.threads.iter().find(own).ok_or(RemoteError::Gone)?;
        Ok(thread.set_registers(changed)?)
    }
}

/// What a thread that may not be traced means: nothing if it has all but ended, or is ours because one of ours made it.
fn check_passed_over(pid: Pid, tid: Pid, error: Errno) -> Result<(), FreezeError> {
    let Ok(status) = Status::of_thread(pid, tid) else { return Ok(()) };
    if matches!(status.state, 'Z' | 'X') || status.tracer == Some(nix::unistd::gettid()) {
        return Ok(());
    }
    Err(refusal(&status, error))
}

/// Why ptrace of a thread was refused.
pub(crate) fn refusal(status: &Status, error: Errno) -> FreezeError {
    if let Some(tracer) = status.tracer {
        let name = status::name(tracer).unwrap_or_else(|| "a process".into());
        return FreezeError::Traced(format!("{name} ({tracer})"));
    }
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    FreezeError::Forbidden(match scope.trim() {
        "" | "0" => format!(" ({error})"),
        scope => format!(" (yama ptrace_scope={scope})"),
    })
}
