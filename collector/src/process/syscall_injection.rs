//! Borrows a thread of a running process: it makes system calls for us, while the others run.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::maps;
use super::memory::Memory;
use super::pause::Pause;
use super::remote_syscall::{CodeCave, Remote, RemoteError};
use super::seccomp::{self, Call};
use super::status::{self, Status};
use super::stopped_process::{StopError, StoppedProcess, as_tracer, seize, stop_all};
use super::tracee::Stop;
use crate::arch::interrupted;

/// Maximum time for a thread to stop.
const LONGEST_STOP: Duration = Duration::from_millis(200);
/// Maximum time of attempts to find a thread that can be borrowed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Sleep between two attempts, and between two looks for threads in the code cave.
const BETWEEN_TRIES: Duration = Duration::from_millis(1);
/// Maximum number of looks for threads in the code cave.
const LOOKS: u32 = 100;
/// Bytes of each stack that are searched for the frame of a signal that came to a thread in the code cave.
const STACK_BYTES: u64 = 16 << 10;

/// Borrows a thread of a process for `act`: one that may make these system calls, and a sleeping one if there is any.
/// Returns the result of `act`, and how long the thread was stopped.
///
/// # Errors
/// See [`StopError`].
pub(crate) fn with_borrowed_thread<T: Send>(
    pid: Pid,
    cave: CodeCave,
    calls: &[Call],
    act: impl Fn(&mut Remote<'_>) -> T + Send + Sync,
) -> Result<(T, Pause), StopError> {
    let (started, mut pause) = (Instant::now(), clear(pid, cave)?);
    loop {
        let failed = match among_all(pid, cave, calls, &act) {
            (Ok(done), one) => return Ok((done, pause.max(Pause { one, ..Pause::default() }))),
            (Err(error), one) => {
                pause.one = pause.one.max(one);
                error
            }
        };
        let passes = matches!(failed, StopError::Stuck(..) | StopError::Remote(RemoteError::Occupied));
        if !passes || started.elapsed() > PATIENCE {
            return Err(failed);
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
}

/// Tries all threads in turn. Returns the result of the first that can be borrowed, and in any case the longest stop.
fn among_all<T: Send>(
    pid: Pid,
    cave: CodeCave,
    calls: &[Call],
    act: &(impl Fn(&mut Remote<'_>) -> T + Send + Sync),
) -> (Result<T, StopError>, Duration) {
    let mut longest = Duration::ZERO;
    let memory = match Memory::open(pid) {
        Ok(memory) => memory,
        Err(error) => return (Err(RemoteError::from(error).into()), longest),
    };
    let mut threads = status::threads(pid);
    // The first thread comes last. The second is mostly the runtime's monitor, which never runs Go code that others
    // wait for.
    let first = threads.len().min(1);
    threads.rotate_left(first);
    let state = |tid: Pid| Status::of_thread(pid, tid).map_or('X', |status| status.state);
    let mut failed = StopError::from(RemoteError::Occupied);
    for sleeping in [true, false] {
        for &tid in &threads {
            match state(tid) {
                'D' => failed = StopError::Stuck(tid, 'D'),
                state if (state == 'S') != sleeping => {}
                _ => {
                    let traced = as_tracer(pid, || {
                        let since = Instant::now();
                        (stop_and_act(pid, tid, (cave, calls), &memory, act), since.elapsed())
                    });
                    let (done, stood) = match traced {
                        Ok(done) => done,
                        Err(error) => return (Err(error.into()), longest),
                    };
                    longest = longest.max(stood);
                    match done {
                        Ok(Some(done)) => return (Ok(done), longest),
                        Ok(None) => {}
                        Err(error @ StopError::Remote(RemoteError::Became)) => return (Err(error), longest),
                        Err(error) => failed = error,
                    }
                }
            }
        }
    }
    let lives = status::living_thread(pid).is_some();
    (Err(if lives { failed } else { RemoteError::Gone.into() }), longest)
}

/// Stops a thread and calls `act`; none if the thread has ended or can't be borrowed.
fn stop_and_act<T>(
    pid: Pid,
    tid: Pid,
    (cave, calls): (CodeCave, &[Call]),
    memory: &Memory,
    act: impl Fn(&mut Remote<'_>) -> T,
) -> Result<Option<T>, StopError> {
    let Some(mut thread) = seize(pid, tid)? else { return Ok(None) };
    match thread.interrupt().and_then(|()| thread.wait(LONGEST_STOP)) {
        Err(Errno::ESRCH | Errno::ECHILD) | Ok(Some(Stop::Ended(_))) => return Ok(None),
        Err(error) => return Err(RemoteError::from(error).into()),
        Ok(Some(Stop::Became)) => return Err(RemoteError::Became.into()),
        Ok(Some(_)) => {}
        Ok(None) => {
            let state = Status::of_thread(pid, tid).map_or('?', |status| status.state);
            return Err(StopError::Stuck(tid, state));
        }
    }
    thread.take_up_call(None);
    let done = seccomp::check(tid, calls).map(|()| {
        let able = thread.can_be_moved();
        able.then(|| act(&mut Remote::new(pid, &mut thread, memory, cave)))
    });
    thread.give_back_signals();
    Ok(done?)
}

/// Zeroes the stub that a recorder left in a process's code cave when it was killed, or failed, amid a call.
///
/// # Errors
/// See [`StopError`].
pub(crate) fn clear_cave(pid: Pid) -> Result<(), StopError> {
    let cave = CodeCave::find(&maps::read(pid)?)?;
    clear(pid, cave).map(drop)
}

/// Zeroes the stub that a recorder left in the code cave when it was killed amid a call, once no thread executes it.
/// Returns how long the program stood still for that.
fn clear(pid: Pid, cave: CodeCave) -> Result<Pause, StopError> {
    if cave.is_clear(&Memory::open(pid).map_err(RemoteError::from)?)? {
        return Ok(Pause::default());
    }
    let mut longest = Pause::default();
    for _ in 0..LOOKS {
        let (is_cleared, stood) = stop_all(pid, |stopped| {
            let is_free = !is_in(stopped, cave);
            if is_free {
                cave.clear_what_was_left(stopped.memory())?;
            }
            Ok::<_, StopError>(is_free)
        })?;
        longest = longest.max(stood);
        if is_cleared {
            return Ok(longest);
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    Err(RemoteError::RoomInUse.into())
}

/// Whether a thread is in the code cave, or will return there from a signal handler.
fn is_in(stopped: &StoppedProcess, cave: CodeCave) -> bool {
    let registers = stopped.registers();
    let stack = |start: u64| start & !7..(start & !7).saturating_add(STACK_BYTES);
    let stacks: Vec<_> = registers.iter().map(|one| stack(one.sp())).collect();
    registers.iter().any(|one| cave.contains(one.ip()))
        || stopped.memory().ranges(&stacks).iter().any(|words| interrupted(words).any(|at| cave.contains(at)))
}
