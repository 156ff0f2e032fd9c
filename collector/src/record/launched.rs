//! A program that is started to be recorded.

use std::ffi::OsString;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::engine::{EngineError, Prepared, Whom};
use super::recorder::Watched;
use super::{
    EngineKind, Options, Problem, Program, RecordError, Refused, THREADS, prepare, read, settings, unseen_locks,
    wanted, watch_hooks,
};
use crate::arch;
use crate::clock::{Moment, Rate};
use crate::goruntime::{Image, Plan};
use crate::perf::{Frequency, Session, Wanted};
use crate::process::auxv::load_bias;
use crate::process::launch::{Launch, LaunchError, Waiting, launch};
use crate::process::maps;
use crate::process::own_threads::{self, NoThread};
use crate::process::remote::Stopped;
use crate::trampoline::{self, InjectError, RemoteError, inject};

/// Threads that are left to the program: where there can't be so many beside ours, it runs in our place.
const FOR_THE_PROGRAM: usize = 16;

/// A program that has been started and is not recorded.
pub(super) struct NotWatched {
    pub(super) problem: Problem,
    /// Its status, if it has ended.
    pub(super) ended: Option<u8>,
}

impl From<Problem> for NotWatched {
    fn from(problem: Problem) -> Self {
        NotWatched { problem, ended: None }
    }
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    /// It would have too little room beside us.
    #[error(transparent)]
    NoRoom(#[from] NoThread),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// The process that a program is to run in which is not recorded.
pub(super) fn untouched(
    options: &Options,
    path: &Path,
    command: &[OsString],
    mask: &SigSet,
) -> Result<Waiting, RecordError> {
    let how = Launch { mask, trace: false, streams: options.streams.as_deref() };
    Ok(launch(path, command, how)?)
}

/// Starts the program with the first engine that works.
pub(super) fn start(
    options: &Options,
    program: &Program<'_>,
    command: &[OsString],
    mask: &SigSet,
    began: Moment,
) -> Result<(Pid, Result<Watched, NotWatched>), NotStarted> {
    let mut refused = Refused(Vec::new());
    let mut plan = None;
    if wanted(options, EngineKind::Trampoline) {
        match arch::plan(program.target) {
            Ok(found) => plan = Some(found),
            Err(error) => refused.add(EngineKind::Trampoline, error),
        }
    }
    let how = Launch { mask, trace: plan.is_some(), streams: options.streams.as_deref() };
    let waiting = match launch(&program.located.program, command, how) {
        Err(LaunchError::System(error @ Errno::EAGAIN)) => {
            return Err(NoThread::from(std::io::Error::from(error)).into());
        }
        waiting => waiting?,
    };
    // Not before the process is there: the C library changes what signals do when it makes the first thread.
    if let Err(error) = own_threads::check_room(THREADS + FOR_THE_PROGRAM) {
        waiting.cancel();
        return Err(error.into());
    }
    let pid = waiting.pid;
    let plan = match (plan, waiting.traced) {
        (Some(plan), Some(Ok(()))) => plan,
        (planned, traced) => {
            if let (Some(_), Some(Err(error))) = (planned, traced) {
                refused.add(EngineKind::Trampoline, EngineError::Untraced(error));
            }
            let prepared = prepare(options, program, Whom::BeforeExec(pid), &mut refused);
            return Ok((pid, go(options, program, waiting, prepared, refused)?));
        }
    };
    waiting.go()?;
    match hook(options, program, &plan, (pid, mask), began, refused) {
        Err(NotWatched { problem, ended: None }) if options.require => {
            // It stands at its first instruction still, or has just left it.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(pid, None);
            Err(RecordError::Required(program.located.shown(), problem).into())
        }
        watched => Ok((pid, watched)),
    }
}

/// Has the process become the program, and reads what the events of an engine tell.
fn go(
    options: &Options,
    program: &Program<'_>,
    waiting: Waiting,
    prepared: Option<(EngineKind, Prepared)>,
    refused: Refused,
) -> Result<Result<Watched, NotWatched>, RecordError> {
    let (pid, begun) = (waiting.pid, Moment::now());
    let Some((kind, mut prepared)) = prepared else {
        let problem = refused.problem();
        if options.require {
            waiting.cancel();
            return Err(RecordError::Required(program.located.shown(), problem));
        }
        waiting.go()?;
        return Ok(Err(problem.into()));
    };
    waiting.go()?;
    let Some(bias) = prepared.bias(pid, &program.located.program, program.target) else {
        return Ok(Err(Problem::Ended.into()));
    };
    Ok(read(options, program, pid, prepared, bias, (begun, refused.notes(kind))).map_err(NotWatched::from))
}

/// Puts hooks into a program that stands at its first instruction, or else watches it with another engine.
fn hook(
    options: &Options,
    program: &Program<'_>,
    plan: &Plan,
    (pid, mask): (Pid, &SigSet),
    began: Moment,
    mut refused: Refused,
) -> Result<Watched, NotWatched> {
    // Before it runs: its threads inherit it.
    let wanted =
        Wanted { frequency: Frequency(options.frequency), kernel: true, only_samples: false, before_exec: false };
    let session = Session::new(pid, wanted, Vec::new()).and_then(|mut session| session.watch(pid).map(|()| session));
    let settings = settings(options, Rate::between(began, Moment::now()));
    let mut stopped = match Stopped::launched(pid) {
        Ok(stopped) => stopped,
        Err(error) => {
            refused.add(EngineKind::Trampoline, InjectError::from(error));
            drop(session);
            let prepared = prepare(options, program, Whom::Stopped(pid), &mut refused);
            let bias = load_bias(pid, program.target).ok_or(Problem::Ended);
            let begun = Moment::now();
            let _ = nix::sys::ptrace::detach(pid, None);
            let Some((kind, prepared)) = prepared else { return Err(refused.problem().into()) };
            return Ok(read(options, program, pid, prepared, bias?, (begun, refused.notes(kind)))?);
        }
    };
    let image = load_bias(pid, program.target).map(|bias| Image { target: program.target, bias });
    let placed = image.ok_or(InjectError::Auxv).and_then(|image| inject(&mut stopped, image, plan, settings));
    if let Err(error) = stopped.give_back_trap(mask) {
        tracing::debug!("SIGTRAP is not as it was: {error}");
    }
    match placed {
        Ok(placed) => {
            let (mappings, begun) = (maps::read(pid).unwrap_or_default(), Moment::now());
            stopped.release();
            let mut notes = refused.notes(EngineKind::Trampoline);
            notes.extend(unseen_locks(plan));
            let tables = placed.tables.address();
            let watched = watch_hooks(options, program, pid, (placed, mappings), session, (begun, None, notes));
            // Nobody would take them out.
            let watched = watched.inspect_err(|_| drop(trampoline::undo_own(pid, tables)));
            watched.map_err(|error| Problem::Engine(EngineKind::Trampoline, error).into())
        }
        Err(InjectError::Remote(RemoteError::Ended(status))) => {
            refused.add(EngineKind::Trampoline, InjectError::Remote(RemoteError::Ended(status)));
            Err(NotWatched { problem: refused.problem(), ended: Some(status) })
        }
        Err(error) => {
            refused.add(EngineKind::Trampoline, error);
            drop(session);
            let prepared = prepare(options, program, Whom::Stopped(pid), &mut refused);
            let bias = load_bias(pid, program.target).ok_or(Problem::Ended);
            let begun = Moment::now();
            stopped.release();
            let Some((kind, prepared)) = prepared else { return Err(refused.problem().into()) };
            Ok(read(options, program, pid, prepared, bias?, (begun, refused.notes(kind)))?)
        }
    }
}
