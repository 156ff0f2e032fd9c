//! Joining a program that runs: hooks and tables are mapped while it goes on, its threads stand still while its code is made
//! to lead to the hooks, and these are switched on while it goes on again.

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
use crate::process::maps::{self, Mapping};
use crate::process::memory::Memory;
use crate::process::pause::Pause;
use crate::process::remote_syscall::{CodeCave, RemoteError};
use crate::process::stopped_process::{StopError, StoppedProcess, stop_all};
use crate::process::syscall_injection::{clear_cave, with_borrowed_thread};

/// Why a program that runs could not be joined. Unless it says otherwise it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Another recorder is there.
    #[error("{name} ({pid}) records it already; end that first, or if it hangs: cgoprof detach {target}")]
    Taken {
        /// Who.
        pid: Pid,
        /// Its name.
        name: String,
        /// The program.
        target: Pid,
    },
    /// What another one has left there can't be removed.
    #[error("what an earlier recorder has left in it can't be removed: {0}")]
    RetiredThreads(#[from] UndoError),
    /// The hooks.
    #[error(transparent)]
    Inject(#[from] InjectError),
    /// Its threads.
    #[error(transparent)]
    Freeze(#[from] StopError),
    /// And what was mapped for it can't be removed. Nothing leads there.
    #[error("{why}; what was mapped for it is still there: {left}; cgoprof detach {target}")]
    Stays {
        /// The program.
        target: Pid,
        /// Why it can't.
        left: UndoError,
        /// Why it was not joined.
        why: Box<AttachError>,
    },
    /// There is always one that handles a signal, or begins one of the few things amid which it must not be changed.
    #[error("its threads are never all where they can be left alone: they handle signals all the time")]
    Busy,
}

/// A program that has been joined: its code leads to the hooks, which are still to be switched on.
pub(crate) struct HooksInPlace {
    pub(crate) placed: Placed,
    /// What is mapped into it.
    pub(crate) mappings: Vec<Mapping>,
    /// How long it stood still.
    pub(crate) pause: Pause,
    /// What an earlier recorder had left was removed.
    pub(crate) cleaned: bool,
    /// Its threads, as they stood.
    threads: Vec<Registers>,
    /// Nobody else changes it before the hooks are on: until then they look like those of a dead recorder.
    lock: Option<Lock>,
}

/// How counting began.
pub(crate) struct Began {
    /// When the hooks were switched on.
    pub(crate) at: Moment,
    /// Crossings that had begun: they are not counted.
    pub(crate) in_flight: usize,
}

/// How often another place is looked for where the program is quicker to use it.
const MOST_PLACES: u32 = 10;
/// Bytes at the start of a function within which its frame is set up.
const PROLOGUE: u64 = 24;
/// How often the program is frozen anew when a thread stands where it must not.
const ATTEMPTS: u32 = 300;
/// How long it goes on before that.
const BETWEEN: Duration = Duration::from_micros(300);

/// Puts hooks into a program that runs: all is mapped while it goes on, so that it stands still only for its code to be
/// changed.
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
        // Perhaps by another recorder that came just before.
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
    /// Switches the hooks on. Crossings are told to have begun by what the program's memory says just before, while it
    /// runs: of a thread that crosses all the time it may be the one or the other.
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

/// Maps hooks and tables into a program that goes on. Returns how long one of its threads stood still for it.
fn place_in(
    pid: Pid,
    image: Image<'_, '_>,
    plan: &Plan,
    settings: HookSettings,
) -> Result<(Placed, Pause), AttachError> {
    let mut longest = Pause::default();
    for _ in 0..MOST_PLACES {
        let mappings = maps::read(pid).map_err(StopError::from)?;
        if mappings.is_empty() {
            return Err(StopError::from(RemoteError::Gone).into());
        }
        let cave = CodeCave::find(&mappings).map_err(StopError::from)?;
        let (placed, stood) = with_borrowed_thread(pid, cave, &calls(), |remote| place(remote, image, plan, settings))?;
        longest = longest.max(stood);
        match placed {
            // It has mapped something there itself just now.
            Err(InjectError::Remote(RemoteError::Call(_, Errno::EEXIST))) => {}
            placed => return Ok((placed?, longest)),
        }
    }
    Err(InjectError::NoPlace.into())
}

/// Removes what was mapped into a program before something failed there, once more from the start: what was refused may be
/// granted now. What stays all the same is nobody's, and the next recorder's to remove.
fn clear_up(pid: Pid) {
    let removed =
        detach::undo_mine_locked(pid).and_then(|_| detach::undo_dead(pid)).and_then(|_| detach::close_files(pid));
    let removed = removed.and_then(|()| Ok(clear_cave(pid)?));
    if let Err(error) = removed {
        tracing::debug!("not all is removed that was mapped: {error}");
    }
}

/// Takes out again what was put into a program that could not be joined.
fn take_out(pid: Pid, placed: &Placed, plan: &Plan) -> Result<(), UndoError> {
    let memory = Memory::open(pid).map_err(RemoteError::from)?;
    if placed.check(&memory, plan).is_ok() {
        // Nothing leads there: no thread need stop but one.
        return detach::unmap_placed(pid, placed.tables.address());
    }
    detach::undo_placed(pid, placed.tables.address()).map(drop)
}

/// Makes the code of a program lead to its hooks while it stands still. Returns its threads as they stood, and how long.
fn lead_to_hooks(
    pid: Pid,
    placed: &Placed,
    image: Image<'_, '_>,
    plan: &Plan,
) -> Result<(Vec<Registers>, Pause), AttachError> {
    let mut longest = Pause::default();
    let mappings = maps::read_unopened(pid).map_err(StopError::from)?;
    let go = image.target.go_text(image.bias);
    for _ in 0..ATTEMPTS {
        let (threads, stood) = stop_all(pid, |stopped| {
            let memory = stopped.memory();
            placed.check(memory, plan)?;
            let goroutine = goroutine_offset(memory, image, plan)?;
            let elsewhere = stopped.registers().iter().filter(|one| !waits_in_c(one, &go, &mappings));
            let elsewhere: Vec<Registers> = elsewhere.copied().collect();
            let positions = ThreadPosition::all(&elsewhere, memory, goroutine, plan.offsets.m_procid.into());
            let unclear = |one: &ThreadPosition| {
                // Setting up entersyscall's frame: it is found by its frame pointer.
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
        std::thread::sleep(BETWEEN);
    }
    Err(AttachError::Busy)
}

/// Refuses where another recorder is at work.
fn check_free(pid: Pid) -> Result<(), AttachError> {
    let found = registration::find(pid).map_err(|error| InjectError::Remote(error.into()))?;
    match found.iter().filter(|one| !one.is_own(pid)).find_map(|one| one.recorder(pid)) {
        Some((recorder, name)) => Err(AttachError::Taken { pid: recorder, name, target: pid }),
        None => Ok(()),
    }
}

/// Makes the frozen program's code lead to the hooks, and those of its threads ready that may be about to reach them.
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
    // The upper half of the word for asmcgocall's result, of which that only fills the lower: the C hook sees that the
    // enter hook was not passed. Whoever is in C already is beyond that hook.
    let results: Vec<u64> = crossings.map(|frame| frame + 20).collect();
    memory.write_all(&results, &[0; 4])?;
    Ok(placed.lead_to_hooks(memory)?)
}

/// The stack pointer of `cgocall` where a thread's goroutine is beyond its call of `entersyscall`: in a crossing.
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
    // Not yet noted in the goroutine: within entersyscall, or what that calls on the goroutine's stack.
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
