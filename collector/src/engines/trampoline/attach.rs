//! Attaches to a program that runs. Hooks and tables are mapped while it runs. Its threads are stopped while its code
//! is changed to lead to the hooks. The hooks are switched on while it runs again.

use std::time::Duration;

use cgoprof_symbols::Avma;
use nix::errno::Errno;
use nix::unistd::Pid;

use super::detach::{self, UndoError};
use super::inject::{HookSettings, InjectError, Placed, calls, goroutine_offset, place};
use super::registration;
use super::thread_position::{Running, ThreadPosition, waits_in_c, word};
use crate::arch::Registers;
use crate::clock::Moment;
use crate::goruntime::Image;
use crate::goruntime::plan::Plan;
use crate::process::exe_lock::Lock;
use crate::process::execution::Execution;
use crate::process::maps::{self, Mapping};
use crate::process::memory::Memory;
use crate::process::pause::Pause;
use crate::process::remote_syscall::{CodeCave, RemoteError};
use crate::process::stopped_process::{StopError, StoppedProcess, stop_all};
use crate::process::syscall_injection::{clear_cave, with_borrowed_thread};

/// Reason why the recorder could not attach to a running program. The program is as it was, unless the reason says
/// otherwise.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Another recorder is at work there.
    #[error("{name} ({pid}) records it already; end that first, or if it hangs: cgoprof detach {target}")]
    Taken {
        /// Process id of the other recorder.
        pid: Pid,
        /// Its name.
        name: String,
        /// The program.
        target: Pid,
    },
    /// The hooks and tables that an earlier recorder has left can't be removed.
    #[error("what an earlier recorder has left in it can't be removed: {0}")]
    RetiredThreads(#[from] UndoError),
    /// The hooks could not be put in.
    #[error(transparent)]
    Inject(#[from] InjectError),
    /// Its threads could not be stopped, or a call in it failed.
    #[error(transparent)]
    Freeze(#[from] StopError),
    /// The attach failed, and what was mapped for it can't be removed. Nothing leads there.
    #[error("{why}; what was mapped for it is still there: {left}; cgoprof detach {target}")]
    Stays {
        /// The program.
        target: Pid,
        /// Why it can't be removed.
        left: UndoError,
        /// Why the attach failed.
        why: Box<AttachError>,
    },
    /// At each attempt, a thread handled a signal or was at one of the few places where it must not be changed.
    #[error("its threads are never all where they can be left alone: they handle signals all the time")]
    Busy,
}

/// A program whose code leads to the hooks, which are still to be switched on.
pub(crate) struct HooksInPlace {
    pub(crate) placed: Placed,
    /// Its mappings.
    pub(crate) mappings: Vec<Mapping>,
    /// How long it was stopped.
    pub(crate) pause: Pause,
    /// Whether the hooks and tables of an earlier recorder were removed.
    pub(crate) cleaned: bool,
    /// Registers of its threads while they were stopped.
    threads: Vec<Registers>,
    /// Keeps other recorders from changing the program before the hooks are on: until then they look like those of a
    /// dead recorder.
    lock: Option<Lock>,
}

/// The beginning of counting.
pub(crate) struct Began {
    /// When the hooks were switched on.
    pub(crate) at: Moment,
    /// Number of crossings that had begun. They are not counted.
    pub(crate) in_flight: usize,
}

/// Maximum number of places that are tried for the hooks: the program may be quicker to use one.
const MOST_PLACES: u32 = 10;
/// Bytes at the start of a function in which its frame is set up.
const PROLOGUE: u64 = 24;
/// Maximum number of times that the program is stopped: it is stopped again if a thread is at a place where it must not
/// be.
const ATTEMPTS: u32 = 300;
/// Time for which the program runs between two stops.
const BETWEEN_ATTEMPTS: Duration = Duration::from_micros(300);

/// Puts hooks into a program that runs. Everything is mapped while it runs, so that it is stopped only while its code
/// is changed.
///
/// # Errors
/// See [`AttachError`].
pub(crate) fn join(
    pid: Pid,
    image: Image<'_, '_>,
    plan: &Plan,
    settings: HookSettings,
) -> Result<HooksInPlace, AttachError> {
    let lock = Lock::of(pid);
    check_free(pid)?;
    let undone = detach::undo_dead(pid)?;
    let placed = place_in(pid, image, plan, settings).inspect_err(|_| clear_up(pid));
    let joined = placed.and_then(|(placed, stood)| match lead_to_hooks(pid, &placed, image, plan) {
        Ok((threads, pause)) => Ok((placed, stood.max(pause), threads)),
        Err(error) => Err(match take_out(pid, &placed, plan) {
            Ok(()) => error,
            Err(left) => AttachError::Stays { target: pid, left, why: Box::new(error) },
        }),
    });
    let (placed, pause, threads) = match joined {
        // Another recorder may have changed it just before.
        Err(error @ AttachError::Inject(InjectError::Changed(_))) => {
            check_free(pid)?;
            return Err(error);
        }
        joined => joined?,
    };
    let mappings = maps::read(pid).unwrap_or_default();
    let (pause, cleaned) = (pause.max(undone.pause), undone.found > undone.kept);
    Ok(HooksInPlace { placed, mappings, pause, cleaned, threads, lock: Some(lock) })
}

impl HooksInPlace {
    /// Switches the hooks on. The program's memory just before tells which crossings have begun. The program runs
    /// meanwhile, so a thread that crosses all the time may be found in a crossing or not.
    ///
    /// # Errors
    /// If the program has ended, or become another.
    pub(crate) fn switch_on(&mut self, pid: Pid, image: Image<'_, '_>, plan: &Plan) -> Result<Began, AttachError> {
        let _until_on = self.lock.take();
        let memory = Memory::open(pid).map_err(StopError::from)?;
        self.placed.check_hooks(&memory)?;
        let goroutine = goroutine_offset(&memory, image, plan)?;
        let positions = ThreadPosition::all(&self.threads, &memory, goroutine, plan.offsets.m_procid.into());
        let running = Running::all(&positions, &memory, plan.offsets.m_curg, plan.offsets.g_syscallsp);
        let after_enter = plan.after_entersyscall.loaded(image.bias).0;
        let in_flight = running.iter().filter(|running| running.is_in_call_that_returns_to(after_enter)).count();
        self.placed.switch_on(&memory).map_err(StopError::from)?;
        Ok(Began { at: Moment::now(), in_flight })
    }
}

/// Maps hooks and tables into a program while it runs. Also returns how long one of its threads was stopped for it.
fn place_in(
    pid: Pid,
    image: Image<'_, '_>,
    plan: &Plan,
    settings: HookSettings,
) -> Result<(Placed, Pause), AttachError> {
    let mut longest = Pause::default();
    for _ in 0..MOST_PLACES {
        let execution = Execution::of(pid);
        let mappings = maps::read(pid).map_err(StopError::from)?;
        if mappings.is_empty() {
            return Err(StopError::from(RemoteError::Gone).into());
        }
        let cave = CodeCave::find(&mappings).map_err(StopError::from)?;
        let (placed, stood) =
            with_borrowed_thread(execution, cave, &calls(), |remote| place(remote, image, plan, settings))?;
        longest = longest.max(stood);
        match placed {
            // The program has mapped something there itself just now.
            Err(InjectError::Remote(RemoteError::Call(_, Errno::EEXIST))) => {}
            placed => return Ok((placed?, longest)),
        }
    }
    Err(InjectError::NoPlace.into())
}

/// Removes what was mapped into a program before a failure. It starts again from the beginning, because the system may
/// now grant what it refused before. The next recorder removes what stays all the same.
fn clear_up(pid: Pid) {
    let removed =
        detach::undo_mine_locked(pid).and_then(|_| detach::undo_dead(pid)).and_then(|_| detach::close_files(pid));
    let removed = removed.and_then(|()| Ok(clear_cave(pid)?));
    if let Err(error) = removed {
        tracing::debug!("not all is removed that was mapped: {error}");
    }
}

/// Removes what was put into a program before the attach failed.
fn take_out(pid: Pid, placed: &Placed, plan: &Plan) -> Result<(), UndoError> {
    let memory = Memory::open(pid).map_err(RemoteError::from)?;
    if placed.check(&memory, plan).is_ok() {
        // Nothing leads to the hooks, so only one thread need stop.
        return detach::unmap_placed(pid, placed.tables.address());
    }
    detach::undo_placed(pid, placed.tables.address()).map(drop)
}

/// Makes the code of a program lead to its hooks while it is stopped. Returns the registers of its threads then, and
/// how long it was stopped.
fn lead_to_hooks(
    pid: Pid,
    placed: &Placed,
    image: Image<'_, '_>,
    plan: &Plan,
) -> Result<(Vec<Registers>, Pause), AttachError> {
    let (execution, mut longest) = (Execution::of(pid), Pause::default());
    let mappings = maps::read_unopened(pid).map_err(StopError::from)?;
    let go = image.target.go_text(image.bias);
    for _ in 0..ATTEMPTS {
        let (threads, stood) = stop_all(execution, |stopped| {
            let memory = stopped.memory();
            placed.check(memory, plan)?;
            let goroutine = goroutine_offset(memory, image, plan)?;
            let elsewhere = stopped.registers().iter().filter(|one| !waits_in_c(one, &go, &mappings));
            let elsewhere: Vec<Registers> = elsewhere.copied().collect();
            let positions = ThreadPosition::all(&elsewhere, memory, goroutine, plan.offsets.m_procid.into());
            let unclear = |one: &ThreadPosition| {
                // A crossing is found by the frame pointer of entersyscall, whose frame must be set up for that.
                let prologue = plan.entersyscall.loaded(image.bias).0;
                (prologue..prologue + PROLOGUE).contains(&one.registers.ip()) || one.handles_signal
            };
            let running = Running::all(&positions, memory, plan.offsets.m_curg, plan.offsets.g_syscallsp);
            let after_enter = plan.after_entersyscall.loaded(image.bias).0;
            if positions.iter().any(unclear) || Running::any_may_return_to(&running, &positions, memory, after_enter) {
                return Ok(None);
            }
            change(stopped, &positions, &running, placed, image, plan)?;
            Ok::<_, AttachError>(Some(stopped.registers().to_vec()))
        })?;
        longest = longest.max(stood);
        if let Some(threads) = threads {
            return Ok((threads, longest));
        }
        std::thread::sleep(BETWEEN_ATTEMPTS);
    }
    Err(AttachError::Busy)
}

/// Returns an error if another recorder is at work.
fn check_free(pid: Pid) -> Result<(), AttachError> {
    let found = registration::find(pid).map_err(|error| InjectError::Remote(error.into()))?;
    match found.iter().filter(|one| !one.is_own(pid)).find_map(|one| one.recorder(pid)) {
        Some((recorder, name)) => Err(AttachError::Taken { pid: recorder, name, target: pid }),
        None => Ok(()),
    }
}

/// Makes the stopped program's code lead to the hooks, and prepares those of its threads that may be about to reach
/// them.
fn change(
    stopped: &StoppedProcess,
    positions: &[ThreadPosition],
    running: &[Running],
    placed: &Placed,
    image: Image<'_, '_>,
    plan: &Plan,
) -> Result<(), StopError> {
    for before in stopped.registers() {
        if let Some(beyond) = placed.beyond(before, stopped.memory())? {
            stopped.change_registers(before, beyond)?;
        }
    }
    let memory = stopped.memory();
    let crossings =
        positions.iter().zip(running).filter_map(|(one, running)| crossing(one, running, memory, image, plan));
    // Zeroes the upper half of the word for asmcgocall's result, which fills the lower half only. The zero tells the C
    // hook that the enter hook was not passed. Threads that are in C already are beyond the C hook.
    let results: Vec<u64> = crossings.map(|frame| frame + 20).collect();
    memory.write_all(&results, &[0; 4])?;
    Ok(placed.lead_to_hooks(memory)?)
}

/// Returns the stack pointer of `cgocall` if a thread's goroutine is in a crossing: beyond the call of `entersyscall`.
fn crossing(
    one: &ThreadPosition,
    running: &Running,
    memory: &Memory,
    image: Image<'_, '_>,
    plan: &Plan,
) -> Option<u64> {
    let after_enter = plan.after_entersyscall.loaded(image.bias).0;
    let within = |at: u64| running.stack.contains(&at) && running.stack.end - at > 64;
    if running.is_in_call_that_returns_to(after_enter) {
        return Some(running.syscall.0).filter(|&sp| within(sp));
    }
    // A crossing is not yet noted in the goroutine within entersyscall, or in what that calls on the goroutine's stack.
    let go = image.target.go_text(image.bias);
    if one.g != running.g || !go.contains(&Avma(one.registers.ip())) {
        return None;
    }
    let mut frame = one.registers.fp();
    for _ in 0..8 {
        if !within(frame) {
            return None;
        }
        if word(memory, frame + 8)? == after_enter {
            return Some(frame + 16);
        }
        frame = word(memory, frame)?;
    }
    None
}
