//! Joining a program that runs: its threads stand still while its code is changed.

use std::time::Duration;

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::inject::{InjectError, Placed, Settings, goroutine_offset, place};
use super::presence;
use super::standing::{Running, Standing, word};
use super::undo::{self, UndoError};
use crate::clock::Moment;
use crate::process::frozen::{FreezeError, Frozen, freeze};
use crate::process::lock::Lock;
use crate::process::maps::{self, Mapping};
use crate::process::memory::Memory;
use crate::process::remote::{RemoteError, Room};
use crate::process::status::Status;
use crate::target::Image;
use crate::target::plan::Plan;

/// Why a program that runs could not be joined. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
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
    Left(#[from] UndoError),
    /// The hooks.
    #[error(transparent)]
    Inject(#[from] InjectError),
    /// Its threads.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// There is always one that handles a signal, or begins one of the few things amid which it must not be changed.
    #[error("its threads are never all where they can be left alone: they handle signals all the time")]
    Busy,
}

/// A program that has been joined.
pub(crate) struct Joined {
    pub(crate) placed: Placed,
    /// What is mapped into it.
    pub(crate) mappings: Vec<Mapping>,
    /// Longest time that it stood still.
    pub(crate) pause: Duration,
    /// Crossings that had begun: they are not counted.
    pub(crate) in_flight: u64,
    /// When the hooks were switched on.
    pub(crate) since: Moment,
    /// What an earlier recorder had left was removed.
    pub(crate) cleaned: bool,
}

/// What is called in the program's name, on the way in and out.
const CALLS: [i64; 5] = [libc::SYS_memfd_create, libc::SYS_mmap, libc::SYS_madvise, libc::SYS_close, libc::SYS_munmap];
/// Bytes at the start of a function within which its frame is set up.
const PROLOGUE: u64 = 24;
/// How often the program is frozen anew when a thread stands where it must not.
const ATTEMPTS: u32 = 300;
/// How long it goes on before that.
const BETWEEN: Duration = Duration::from_micros(300);

/// Puts hooks into a program that runs.
///
/// # Errors
/// See [`JoinError`].
pub(crate) fn join(pid: Pid, image: Image<'_, '_>, plan: &Plan, settings: Settings) -> Result<Joined, JoinError> {
    let _lock = Lock::of(pid);
    check_free(pid)?;
    let undone = undo::undo_dead(pid)?;
    let mut longest = undone.pause;
    let filters = Status::read(pid).map_or(0, |status| status.filters);
    for _ in 0..ATTEMPTS {
        let mappings = maps::read(pid).map_err(FreezeError::from)?;
        let room = Room::find(&mappings).map_err(FreezeError::from)?;
        let frozen = freeze(pid, |frozen| {
            let goroutine = goroutine_offset(frozen.memory(), image, plan)?;
            let unclear = |one: &Standing| {
                // Setting up entersyscall's frame: it is found by its frame pointer.
                let prologue = plan.entersyscall.loaded(image.bias).0;
                (prologue..prologue + PROLOGUE).contains(&one.registers.rip) || one.handles_signal
            };
            let standing = Standing::all(frozen, goroutine, plan.offsets.m_procid.into());
            if standing.iter().any(unclear) || room.is_in_use(frozen.registers()) {
                return Ok(None);
            }
            if filters > 0 {
                frozen.check_filters(filters, &CALLS)?;
            }
            let Ok(mut remote) = frozen.remote(room) else { return Ok(None) };
            let placed = place(&mut remote, image, plan, settings, &mappings)?;
            let switched = switch_on(frozen, &standing, &placed, image, plan);
            Ok::<_, JoinError>(Some((placed, switched, Moment::now())))
        });
        let (joined, stood) = match frozen {
            // Perhaps by another recorder that came just before.
            Err(JoinError::Inject(InjectError::Changed(function))) => {
                check_free(pid)?;
                return Err(InjectError::Changed(function).into());
            }
            done => done?,
        };
        longest = longest.max(stood);
        match joined {
            None => std::thread::sleep(BETWEEN),
            Some((placed, Ok(in_flight), since)) => {
                let mappings = maps::read(pid).unwrap_or_default();
                return Ok(Joined {
                    placed,
                    mappings,
                    pause: longest,
                    in_flight,
                    since,
                    cleaned: undone.found > undone.kept,
                });
            }
            Some((placed, Err(error), _)) => {
                // Nothing leads to the hooks, or nothing that does anything.
                let _ = undo::undo_placed(pid, placed.tables.address());
                return Err(error);
            }
        }
    }
    Err(JoinError::Busy)
}

/// Refuses where another recorder is at work.
fn check_free(pid: Pid) -> Result<(), JoinError> {
    let found = presence::find(pid).map_err(|error| InjectError::Remote(error.into()))?;
    match found.iter().filter(|one| !one.is_own(pid)).find_map(|one| one.recorder(pid)) {
        Some((recorder, name)) => Err(JoinError::Taken { pid: recorder, name, target: pid }),
        None => Ok(()),
    }
}

/// Makes the frozen program's code lead to the hooks. Returns how many crossings were on their way.
fn switch_on(
    frozen: &Frozen,
    standing: &[Standing],
    placed: &Placed,
    image: Image<'_, '_>,
    plan: &Plan,
) -> Result<u64, JoinError> {
    for before in frozen.registers() {
        if let Some(beyond) = placed.beyond(before, frozen.memory()).map_err(FreezeError::from)? {
            frozen.change_registers(before, beyond).map_err(FreezeError::from)?;
        }
    }
    let memory = frozen.memory();
    let running = Running::all(standing, memory, plan.offsets.m_curg, plan.offsets.g_syscallsp);
    let crossings =
        standing.iter().zip(running).filter_map(|(one, running)| crossing(one, &running, memory, image, plan));
    // The upper half of the word for asmcgocall's result, of which that only fills the lower: the C hook sees that the
    // enter hook was not passed.
    let results: Vec<u64> = crossings.map(|frame| frame + 20).collect();
    memory.write_all(&results, &[0; 4]).map_err(RemoteError::from).map_err(FreezeError::from)?;
    placed.switch_on(memory).map_err(FreezeError::from)?;
    Ok(results.len() as u64)
}

/// The stack pointer of `cgocall` where a thread's goroutine is beyond its call of `entersyscall`: in a crossing.
fn crossing(one: &Standing, running: &Running, memory: &Memory, image: Image<'_, '_>, plan: &Plan) -> Option<u64> {
    let after_enter = plan.after_entersyscall.loaded(image.bias).0;
    let within = |at: u64| running.stack.contains(&at) && running.stack.end - at > 64;
    let (sp, pc) = running.syscall;
    if sp != 0 && pc == after_enter {
        return Some(sp).filter(|&sp| within(sp));
    }
    // Not yet noted in the goroutine: within entersyscall, or what that calls on the goroutine's stack.
    let go = image.target.go_text(image.bias);
    if one.g != running.g || !go.contains(&Avma(one.registers.rip)) {
        return None;
    }
    let mut frame = one.registers.rbp;
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
