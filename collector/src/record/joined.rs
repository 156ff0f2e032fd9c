//! Attaching to a program that is already running.

use nix::unistd::Pid;

use super::recorder::is_gone;
use super::refused::{candidates, first_that_works};
use super::{Options, Problem, Program, not_begun, subject};
use crate::clock::Moment;
use crate::engines::{AttachPoint, EngineError, RunningEngine};

/// Attaches the first engine that works to a running program.
pub(super) fn join(options: &Options, program: &Program<'_>, pid: Pid) -> Result<RunningEngine, Problem> {
    let bias = program.image.bias(pid, program.target).ok_or(Problem::Ended)?;
    let subject = subject(options, program);
    let (candidates, mut refused) = candidates(options.engine, &subject);
    // Whatever fails in a program that has ended fails for that. Where one engine gets no thread, none does.
    let ends = |error: &EngineError| {
        error.is_final() || error.is_lost() || matches!(error, EngineError::Threads(_)) || is_gone(pid)
    };
    let watched = first_that_works(&candidates, &mut refused, ends, |candidate| {
        let attached = candidate.attach(&subject, &mut AttachPoint::Running { pid, bias })?;
        attached.begin(pid, &subject, bias, Moment::now())
    });
    let (kind, mut watched) = match watched {
        Ok(Some(watched)) => watched,
        Ok(None) if is_gone(pid) => return Err(Problem::Ended),
        Ok(None) => return Err(refused.problem()),
        Err((kind, error @ EngineError::Threads(_))) => return Err(not_begun(kind, error)),
        Err((kind, error)) if error.is_final() => return Err(Problem::Engine(kind, error)),
        Err((_, error)) => return Err(error.lost().map_or(Problem::Ended, Problem::Lost)),
    };
    watched.notes.splice(0..0, refused.notes(kind));
    Ok(watched)
}
