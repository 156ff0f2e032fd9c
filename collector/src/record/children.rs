//! Recording a program, and the programs that it starts or becomes.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::follower::{Beside, Follower};
use super::gates::Gates;
use super::news::Relay;
use super::process_files::ProcessFiles;
use super::recorder::{GRACE, PAUSE, is_gone};
use super::session::{Attached, Session};
use super::stop_source::{Signals, StopSource, ended};
use super::{Outcome, Progress, RecordError};
use crate::process::end;

/// Records a program, and each program with crossings that comes from it.
///
/// # Errors
/// If the program can't be watched.
pub(super) fn record_with_children(
    session: Session<'_>,
    attached: Attached,
    signals: &Signals,
    progress: &dyn Progress,
) -> Result<Outcome, RecordError> {
    let stop = StopSource::Signals(signals);
    let (gates, done) = match (Gates::new(), EventFd::from_flags(EfdFlags::EFD_CLOEXEC)) {
        (Ok(gates), Ok(done)) => (Arc::new(gates), done),
        _ => return session.record(Some(attached), stop, progress),
    };
    let Ok(stops) = signals.hand_over_children() else {
        return session.record(Some(attached), stop, progress);
    };
    let (news, told) = channel();
    let relay = Relay::new(progress, told);
    let until = session.options.duration.map(|duration| Instant::now() + duration);
    let is_over = Arc::<AtomicBool>::default();
    let mut files = ProcessFiles::new(session.options.output.clone(), session.options.per_process);
    session.output.iter().for_each(|output| files.adopt(output));
    let beside = Beside { is_over: is_over.clone(), stops };
    let recorded = std::thread::scope(|scope| {
        let (options, root, done, through) = (session.options, session.pid, &done, gates.clone());
        let follow = move || {
            let follower = Follower::beside((root, beside), options, news, through.clone(), files);
            let left = follower.run(StopSource::Flag(through.order()), until);
            let _ = done.write(1);
            left
        };
        let Ok(follower) = std::thread::Builder::new().name("follower".into()).spawn_scoped(scope, follow) else {
            return (session.record(Some(attached), stop, progress), None);
        };
        let _ended_in_any_case = EndsOnPanic(&gates, &is_over);
        let outcome = session.through(gates.clone()).record(Some(attached), stop, &relay);
        is_over.store(true, Ordering::Release);
        // A signal is for all recordings.
        if signals.have_come() || !is_gone(root) {
            gates.finish();
        }
        let mut taken = None;
        while !follower.is_finished() {
            gates.wake();
            if let Some(signal) = stop.wait(None, &[done.as_fd()], PAUSE) {
                gates.finish();
                taken = Some(signal);
            }
            relay.passes();
        }
        // One that has ended no recording is for whoever waits for signals next.
        if let (Some(signal), 0) = (taken, relay.recorded()) {
            let _ = kill(Pid::this(), signal);
        }
        (outcome, Some(follower.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
    });
    signals.take_back();
    let (outcome, left) = recorded;
    let Some(left) = left else { return outcome };
    relay.tell_all();
    let files = left.finish(&relay);
    if relay.recorded() == 0 {
        return outcome;
    }
    let is_shared = files.write(progress);
    let outcome = outcome?;
    let file = outcome.file.filter(|file| !is_shared.contains(file));
    Ok(Outcome { file, followed: Some(relay.recorded()), ..outcome })
}

/// Waits for the end of a child that is not recorded any more, as what it starts may be. An order to finish is one for these too,
/// and ends the wait in the end.
pub(super) fn wait_for_end(
    child: Pid,
    stop: StopSource<'_>,
    progress: &dyn Progress,
    gates: Option<&Gates>,
) -> Result<u8, RecordError> {
    let end = end::descriptor(child);
    let end: Vec<BorrowedFd<'_>> = end.iter().map(|end| end.as_fd()).collect();
    let mut asked: Option<(Signal, Instant)> = None;
    loop {
        progress.passes();
        if let Some(status) = ended(child)? {
            return Ok(status);
        }
        if let Some(signal) = stop.wait(Some(child), &end, PAUSE) {
            asked.get_or_insert((signal, Instant::now()));
            gates.inspect(|gates| gates.finish());
        }
        if let Some((signal, since)) = asked
            && since.elapsed() >= GRACE
        {
            return Ok(128 + signal as i32 as u8);
        }
    }
}

/// Ends the follower if the recorder of the command's own program panics.
struct EndsOnPanic<'a>(&'a Gates, &'a AtomicBool);

impl Drop for EndsOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.1.store(true, Ordering::Release);
            self.0.finish();
        }
    }
}
