//! A process with every one of its threads stopped under our ptrace.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use cgoprof_symbols::Avma;
use libc::user_regs_struct;
use nix::errno::Errno;
use nix::unistd::Pid;

use super::memory::Memory;
use super::remote::RemoteError;
use super::status::{self, Status};
use super::tracee::{Stop, Tracee};

/// The process. Its threads go on, untraced, when this is dropped.
pub(crate) struct Frozen {
    threads: Vec<Tracee>,
    memory: Memory,
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
    /// A thread does not stop.
    #[error("its thread {0} does not stop: it waits in the kernel (state {1})")]
    Stuck(Pid, char),
    /// It ended, became another program, or its memory can't be reached.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// How long all threads may take to stop before they are let go and stopped anew.
const LONGEST: Duration = Duration::from_millis(200);
/// How long we sleep before threads are stopped.
const REST: Duration = Duration::from_micros(100);
/// Attempts.
const ATTEMPTS: u32 = 10;

impl Frozen {
    /// Stops every thread of a process, those that are born meanwhile too.
    ///
    /// # Errors
    /// See [`FreezeError`].
    pub(crate) fn new(pid: Pid) -> Result<Frozen, FreezeError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Frozen::attempt(pid) {
                // A thread that waits for its vfork child, as in posix_spawn, stops when that has become a program.
                Err(FreezeError::Stuck(..)) if attempt < ATTEMPTS => std::thread::sleep(LONGEST / 20 * attempt),
                done => return done,
            }
        }
    }

    fn attempt(pid: Pid) -> Result<Frozen, FreezeError> {
        let memory = Memory::open(pid).map_err(RemoteError::from)?;
        let mut frozen = Frozen { threads: Vec::new(), memory, since: Instant::now() };
        let (mut known, mut interrupted) = (HashSet::new(), false);
        loop {
            let new: Vec<Pid> = status::threads(pid).into_iter().filter(|&tid| known.insert(tid)).collect();
            if new.is_empty() && frozen.threads.iter().all(Tracee::is_stopped) {
                return if frozen.threads.is_empty() { Err(gone().into()) } else { Ok(frozen) };
            }
            for tid in new {
                match Tracee::seize(tid) {
                    Ok(thread) => frozen.threads.push(thread),
                    Err(Errno::ESRCH) => {}
                    Err(error) => check_ended(pid, tid, error)?,
                }
            }
            if !interrupted {
                // Who has just slept is not soon taken off the processor.
                std::thread::sleep(REST);
                (frozen.since, interrupted) = (Instant::now(), true);
            }
            for thread in frozen.threads.iter().filter(|thread| !thread.is_stopped()) {
                // One that has ended says so when it is waited for.
                let _ = thread.interrupt();
            }
            frozen.wait(pid, &mut known)?;
        }
    }

    /// Waits until all threads so far have stopped or ended, and those that they made.
    fn wait(&mut self, pid: Pid, known: &mut HashSet<Pid>) -> Result<(), FreezeError> {
        let deadline = Instant::now() + LONGEST;
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
                self.threads.swap_remove(index).forget();
            }
            for tid in born {
                known.insert(tid);
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

    pub(crate) fn threads_mut(&mut self) -> &mut [Tracee] {
        &mut self.threads
    }

    /// Registers of each thread that has not been killed meanwhile.
    pub(crate) fn registers(&self) -> impl Iterator<Item = user_regs_struct> + '_ {
        self.threads.iter().filter_map(|thread| thread.registers().ok())
    }

    /// Has every thread that stands amid one of these ranges, which are short, go on to their end.
    pub(crate) fn step_out(&mut self, ranges: &[std::ops::Range<Avma>]) -> Result<(), RemoteError> {
        let amid = |rip: u64| ranges.iter().any(|range| range.start.0 < rip && rip < range.end.0);
        for thread in self.threads_mut() {
            while thread.registers().is_ok_and(|registers| amid(registers.rip)) {
                match thread.step()? {
                    Stop::Ended(status) => return Err(RemoteError::Ended(status)),
                    Stop::Became => return Err(RemoteError::Became),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Lets it go on, untraced. Returns how long it stood still.
    pub(crate) fn release(mut self) -> Duration {
        self.threads.clear();
        self.since.elapsed()
    }
}

fn gone() -> RemoteError {
    RemoteError::Ptrace(Errno::ESRCH)
}

/// What a thread that may not be traced means: nothing if it has all but ended.
fn check_ended(pid: Pid, tid: Pid, error: Errno) -> Result<(), FreezeError> {
    let Ok(status) = Status::of_thread(pid, tid) else { return Ok(()) };
    if matches!(status.state, 'Z' | 'X') {
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
