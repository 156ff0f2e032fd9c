//! Borrows a thread of a running process: it makes system calls for us, while the others run.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::execution::Execution;
use super::maps;
use super::memory::Memory;
use super::pause::Pause;
use super::remote_syscall::{CodeCave, Remote, RemoteError};
use super::seccomp::{self, Call};
use super::status::{self, Status};
use super::stopped_process::{StopError, StoppedProcess, as_tracer, seize, stop_all};
use super::tracee::{Stop, Tracee};
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
    execution: Execution,
    cave: CodeCave,
    calls: &[Call],
    act: impl Fn(&mut Remote<'_>) -> T + Send + Sync,
) -> Result<(T, Pause), StopError> {
    let (started, mut pause) = (Instant::now(), clear(execution, cave)?);
    loop {
        let failed = match among_all(execution, cave, calls, &act) {
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
    execution: Execution,
    cave: CodeCave,
    calls: &[Call],
    act: &(impl Fn(&mut Remote<'_>) -> T + Send + Sync),
) -> (Result<T, StopError>, Duration) {
    let (pid, mut longest) = (execution.pid(), Duration::ZERO);
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
                        (stop_and_act(execution, tid, (cave, calls), act), since.elapsed())
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
    execution: Execution,
    tid: Pid,
    (cave, calls): (CodeCave, &[Call]),
    act: impl Fn(&mut Remote<'_>) -> T,
) -> Result<Option<T>, StopError> {
    let pid = execution.pid();
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
    let done = act_with(execution, &mut thread, (cave, calls), act);
    thread.give_back_signals();
    done
}

/// Calls `act` with a stopped thread; none if the thread can't be borrowed.
fn act_with<T>(
    execution: Execution,
    thread: &mut Tracee,
    (cave, calls): (CodeCave, &[Call]),
    act: impl Fn(&mut Remote<'_>) -> T,
) -> Result<Option<T>, StopError> {
    seccomp::check(thread.tid(), calls)?;
    if !thread.can_be_moved() {
        return Ok(None);
    }
    // Until the thread stood, it may have executed another program. If another thread does that now, this one is killed.
    execution.check()?;
    let memory = Memory::of_thread(execution.pid(), thread.tid())?;
    if !cave.is_clear(&memory)? {
        return Err(RemoteError::RoomInUse.into());
    }
    Ok(Some(act(&mut Remote::new(execution.pid(), thread, &memory, cave))))
}

/// Zeroes the stub that a recorder left in a process's code cave when it was killed, or failed, amid a call.
///
/// # Errors
/// See [`StopError`].
pub(crate) fn clear_cave(pid: Pid) -> Result<(), StopError> {
    let execution = Execution::of(pid);
    let cave = CodeCave::find(&maps::read(pid)?)?;
    clear(execution, cave).map(drop)
}

/// Zeroes the stub that a recorder left in the code cave when it was killed amid a call, once no thread executes it.
/// Returns how long the program stood still for that.
fn clear(execution: Execution, cave: CodeCave) -> Result<Pause, StopError> {
    let memory = Memory::open(execution.pid()).map_err(RemoteError::from)?;
    // The memory was opened before this, so it is of this execution too.
    execution.check()?;
    if cave.is_clear(&memory)? {
        return Ok(Pause::default());
    }
    let mut longest = Pause::default();
    for _ in 0..LOOKS {
        let (is_cleared, stood) = stop_all(execution, |stopped| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::execution::tests::Shell;

    /// A thread of a program that had executed another meanwhile was once sent to the code cave of the first, whose
    /// memory was still there because somebody read it: it died of SIGSEGV.
    #[test]
    fn what_was_read_of_a_program_is_not_used_on_the_next_that_its_process_executes() {
        let mut shell = Shell::start();
        let execution = Execution::of(shell.pid());
        let cave = CodeCave::find(&maps::read(shell.pid()).expect("mappings")).expect("a code cave");
        let calls = [Call::of(libc::SYS_munlock)];
        let can_call = with_borrowed_thread(execution, cave, &calls, |_| ()).is_ok();
        let can_stop = stop_all(execution, |_| Ok::<_, StopError>(())).is_ok();
        assert!(can_call && can_stop, "before");
        shell.begin_anew();
        let called = with_borrowed_thread(execution, cave, &calls, |_| panic!("it is another program"));
        assert!(matches!(called, Err(StopError::Remote(RemoteError::Became))), "{called:?}");
        let stopped = stop_all(execution, |_| -> Result<(), StopError> { panic!("it is another program") });
        assert!(matches!(stopped, Err(StopError::Remote(RemoteError::Became))), "{stopped:?}");
        shell.end();
    }
}
