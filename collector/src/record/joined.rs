//! Attaching to a program that is already running.

use nix::unistd::Pid;

use super::recorder::is_gone;
use super::refused::{attach_first, candidates};
use super::{Options, Problem, Program, not_begun, subject};
use crate::clock::Moment;
use crate::engines::{AttachPoint, EngineError, Watched};

/// Attaches the first engine that works to a running program.
pub(super) fn join(options: &Options, program: &Program<'_>, pid: Pid) -> Result<Watched, Problem> {
    let bias = program.image.bias(pid, program.target).ok_or(Problem::Ended)?;
    let subject = subject(options, program);
    let (candidates, mut refused) = candidates(options.engine, &subject);
    let mut at = AttachPoint::Running { pid, bias };
    // If the program has ended, that is the cause of any failure.
    let ends = |error: &EngineError| error.is_final() || error.is_lost() || is_gone(pid);
    let attached = attach_first(&candidates, &subject, &mut at, &mut refused, ends);
    let (kind, attached) = match attached {
        Ok(Some(attached)) => attached,
        Ok(None) if is_gone(pid) => return Err(Problem::Ended),
        Ok(None) => return Err(refused.problem()),
        Err((kind, error)) if error.is_final() => return Err(Problem::Engine(kind, error)),
        Err((_, error)) => return Err(error.lost().map_or(Problem::Ended, Problem::Lost)),
    };
    let watched = attached.begin(pid, &subject, bias, Moment::now());
    let mut watched = watched.map_err(|error| not_begun(kind, error))?;
    watched.notes.splice(0..0, refused.notes(kind));
    Ok(watched)
}
