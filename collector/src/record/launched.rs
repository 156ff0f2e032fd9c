//! Starting a program in order to record it.

use std::ffi::OsString;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::refused::{Refused, candidates, first_that_works};
use super::{EngineKind, Options, Problem, Program, RecordError, THREADS, not_begun, subject};
use crate::clock::Moment;
use crate::engines::{AttachPoint, Attached, Candidate, EngineError, RunningEngine, Subject};
use crate::process::launch::{Launch, LaunchError, Waiting, launch};
use crate::process::own_threads::{self, NoThread};
use crate::process::remote_syscall::{Stopped, Trap};

/// Threads that must remain for the program. If there can't be as many beside the recorder's, the program runs in the
/// recorder's place.
pub(super) const FOR_THE_PROGRAM: usize = 16;

/// A program that was started but is not recorded.
pub(super) struct NotRecorded {
    pub(super) problem: Problem,
    /// Its status, if it has ended.
    pub(super) ended: Option<u8>,
}

impl From<Problem> for NotRecorded {
    fn from(problem: Problem) -> Self {
        NotRecorded { problem, ended: None }
    }
}

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStarted {
    /// Too few threads would remain for the program beside the recorder's.
    #[error(transparent)]
    NoRoom(#[from] NoThread),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// Returns a waiting process for a program that will not be recorded.
pub(super) fn untouched(
    options: &Options,
    path: &Path,
    command: &[OsString],
    mask: &SigSet,
) -> Result<Waiting, RecordError> {
    let how = Launch { mask, trace: false, streams: options.streams.as_deref() };
    Ok(launch(path, command, how)?)
}

/// A program with an engine at work, or why there is none.
pub(super) type Begun = Result<RunningEngine, NotRecorded>;

/// Starts the program with the first engine that works.
pub(super) fn start(
    options: &Options,
    program: &Program<'_>,
    command: &[OsString],
    mask: &SigSet,
    began: Moment,
) -> Result<(Pid, Begun), NotStarted> {
    let subject = subject(options, program);
    let (mut candidates, mut refused) = candidates(options.engine, &subject);
    let needs_stop = |candidates: &[Box<dyn Candidate>]| candidates.iter().any(|candidate| candidate.needs_stop());
    let how = Launch { mask, trace: needs_stop(&candidates), streams: options.streams.as_deref() };
    let waiting = match launch(&program.image.program, command, how) {
        Err(LaunchError::System(error @ Errno::EAGAIN)) => {
            return Err(NoThread::from(std::io::Error::from(error)).into());
        }
        waiting => waiting?,
    };
    // Checked only after the process exists: the C library changes what signals do when it makes the first thread.
    if let Err(error) = own_threads::check_room(THREADS + FOR_THE_PROGRAM) {
        waiting.cancel();
        return Err(error.into());
    }
    let pid = waiting.pid;
    if let Some(Err(error)) = waiting.traced {
        for candidate in candidates.extract_if(.., |candidate| candidate.needs_stop()) {
            refused.add(candidate.kind(), EngineError::Untraced(error));
        }
    }
    if !needs_stop(&candidates) {
        return Ok((pid, before_exec(options, &subject, waiting, &candidates, refused)?));
    }
    waiting.go()?;
    match stopped(&subject, &candidates, (pid, Trap::ours(mask)), began, refused) {
        Err(NotRecorded { problem, ended: None }) if options.require => {
            // The program is still at its first instruction, or has just left it.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(pid, None);
            Err(RecordError::Required(program.image.shown(), problem).into())
        }
        begun => Ok((pid, begun)),
    }
}

/// Attaches an engine to the waiting process, then lets the process become the program.
fn before_exec(
    options: &Options,
    subject: &Subject<'_>,
    waiting: Waiting,
    candidates: &[Box<dyn Candidate>],
    mut refused: Refused,
) -> Result<Begun, RecordError> {
    let pid = waiting.pid;
    let attached = first_that_works(
        candidates,
        &mut refused,
        |_| false,
        |candidate| candidate.attach(subject, &mut AttachPoint::BeforeExec(pid)),
    );
    let begun = Moment::now();
    let Ok(Some((kind, mut attached))) = attached else {
        let problem = refused.problem();
        if options.require {
            waiting.cancel();
            return Err(RecordError::Required(subject.shown(), problem));
        }
        waiting.go()?;
        return Ok(Err(problem.into()));
    };
    waiting.go()?;
    let bias = attached.bias(pid, subject);
    Ok(begin(pid, subject, (kind, attached), bias, begun, &refused))
}

/// Attaches an engine to a program that is stopped at its first instruction, and lets the program run.
pub(super) fn stopped(
    subject: &Subject<'_>,
    candidates: &[Box<dyn Candidate>],
    (pid, trap): (Pid, Trap),
    began: Moment,
    mut refused: Refused,
) -> Begun {
    let mut at = AttachPoint::Stopped { pid, stopped: Stopped::launched(pid), trap, began };
    let has_ended = |error: &EngineError| error.ended().is_some();
    let attached =
        first_that_works(candidates, &mut refused, has_ended, |candidate| candidate.attach(subject, &mut at));
    let attached = attached.map(|attached| {
        attached.map(|(kind, mut attached)| {
            let bias = attached.bias(pid, subject);
            (kind, attached, bias)
        })
    });
    let begun = Moment::now();
    match at {
        AttachPoint::Stopped { stopped: Ok(stopped), .. } => stopped.release(),
        _ => drop(nix::sys::ptrace::detach(pid, None)),
    }
    match attached {
        Ok(Some((kind, attached, bias))) => begin(pid, subject, (kind, attached), bias, begun, &refused),
        Ok(None) => Err(refused.problem().into()),
        Err((kind, error)) => {
            let ended = error.ended();
            refused.add(kind, error);
            Err(NotRecorded { problem: refused.problem(), ended })
        }
    }
}

/// Starts an engine on a program that has just been let go.
fn begin(
    pid: Pid,
    subject: &Subject<'_>,
    (kind, attached): (EngineKind, Box<dyn Attached>),
    bias: Option<u64>,
    begun: Moment,
    refused: &Refused,
) -> Begun {
    let bias = bias.ok_or(Problem::Ended)?;
    let mut watched = attached.begin(pid, subject, bias, begun).map_err(|error| not_begun(kind, error))?;
    watched.notes.splice(0..0, refused.notes(kind));
    Ok(watched)
}
