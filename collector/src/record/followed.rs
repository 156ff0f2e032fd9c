//! Recording the programs that a command starts which has nothing to record itself: a shell, make, `go test`.

use std::sync::mpsc::channel;
use std::time::Instant;

use nix::errno::Errno;

use super::follower::{Follower, NotFollowed};
use super::news::Relay;
use super::stop_source::StopSource;
use super::{Options, Outcome, Problem, Progress, RecordError};
use crate::process::launch::Waiting;

/// Lets a process become the command's program, follows it and all that come from it, and records each program that has
/// crossings, from its first instruction. `problem` is why the command's own program is not recorded.
///
/// # Errors
/// If the program can't be executed, or the system refuses a thread.
pub(super) fn follow(
    options: &Options,
    waiting: Waiting,
    stop: StopSource<'_>,
    progress: &dyn Progress,
    problem: Problem,
) -> Result<Outcome, RecordError> {
    let root = waiting.pid;
    let until = options.duration.map(|duration| Instant::now() + duration);
    let (news, told) = channel();
    let relay = Relay::new(progress, told);
    let left = std::thread::scope(|scope| {
        // Handed over only when the thread is there.
        let (hand_over, handed_over) = channel();
        let follow = move || {
            let waiting = handed_over.recv().map_err(|_| NotFollowed::Failed(Errno::ESRCH.into()))?;
            Ok(Follower::start(waiting, options, news)?.run(stop, until))
        };
        match std::thread::Builder::new().name("follower".into()).spawn_scoped(scope, follow) {
            Ok(follower) => {
                // It receives it as its first act.
                let _ = hand_over.send(waiting);
                relay.tell_all();
                follower.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            Err(error) => Err(NotFollowed::Refused(waiting, Problem::Threads(error.into()))),
        }
    });
    let left = match left {
        Ok(left) => left,
        Err(NotFollowed::Failed(error)) => return Err(error),
        Err(NotFollowed::Refused(waiting, why)) => {
            waiting.go()?;
            let status = stop.wait_for_end(root)?;
            return Ok(Outcome::unrecorded(status, Problem::Unfollowed(Box::new(problem), Box::new(why))));
        }
    };
    let (root_status, ended_by) = (left.root_status, left.ended_by);
    left.finish(&relay).write(progress);
    let status = match (root_status, ended_by) {
        (Some(status), _) => status,
        (None, Some(signal)) => 128 + signal as i32 as u8,
        (None, None) => stop.wait_for_end(root)?,
    };
    Ok(Outcome { followed: Some(relay.recorded()), ..Outcome::unrecorded(status, problem) })
}
