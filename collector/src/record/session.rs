//! A recording with pauses: parts that become one profile.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cgoprof_profile::parts::Parts;
use cgoprof_profile::{Encoder, Profile};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::control::{Command, Control};
use super::gates::Gates;
use super::joined::join;
use super::output::{Output, Unwritten};
use super::recorder::{GRACE, PAUSE, Recorder, Run, is_another, is_gone};
use super::stop_source::{StopSource, ended};
use super::tie::Tie;
use super::{Options, Outcome, Problem, Program, Progress, RecordError};
use crate::engines::RunningEngine;

/// What a recording is, whether it is paused or not.
pub(super) struct Session<'a> {
    pub(super) options: &'a Options,
    pub(super) program: &'a Program<'a>,
    pub(super) pid: Pid,
    pub(super) tie: Tie,
    pub(super) output: Option<Output>,
    /// Its path.
    file: Option<PathBuf>,
    pub(super) control: Option<Control>,
    /// The parts before this one.
    pub(super) parts: Vec<Profile>,
    /// Pauses so far.
    pauses: u64,
    write_error: Option<Unwritten>,
    /// Where what the program starts is followed, if it is.
    pub(super) gates: Option<Arc<Gates>>,
}

/// An engine that has attached to the program.
pub(super) struct Attached {
    pub(super) engine: RunningEngine,
    /// Whether the program ran before.
    pub(super) ran_already: bool,
}

/// What ends a pause.
enum Next {
    Resumes(Box<Attached>),
    Ended(Box<Outcome>),
}

impl<'a> Session<'a> {
    /// Returns a session of a process, which has not been recorded yet.
    pub(super) fn new(
        options: &'a Options,
        program: &'a Program<'a>,
        (pid, tie): (Pid, Tie),
        output: Option<Output>,
    ) -> Session<'a> {
        let control = if options.control { Control::of(pid) } else { None };
        let file = output.as_ref().map(|output| output.path().to_owned());
        let (parts, pauses, write_error) = (Vec::new(), 0, None);
        Session { options, program, pid, tie, output, file, control, parts, pauses, write_error, gates: None }
    }

    /// The same session of a program that leaves by these gates.
    pub(super) fn through(self, gates: Arc<Gates>) -> Session<'a> {
        Session { gates: Some(gates), ..self }
    }

    /// Records until the program ends, or the recorder is told to finish. Without an engine it begins with a pause, which
    /// ends after [`Options::start_after`].
    pub(super) fn record(
        mut self,
        mut attached: Option<Attached>,
        stop: StopSource<'_>,
        progress: &dyn Progress,
    ) -> Result<Outcome, RecordError> {
        // A time that no clock reaches is never.
        let mut until = self.options.start_after.and_then(|after| Instant::now().checked_add(after));
        loop {
            let engine = match attached.take() {
                Some(engine) => engine,
                None => match self.wait(until.take(), stop, progress)? {
                    Next::Resumes(engine) => *engine,
                    Next::Ended(outcome) => return Ok(*outcome),
                },
            };
            let kind = engine.engine.engine.capabilities().kind;
            let is_joined = engine.ran_already;
            let mut recorder = Recorder::new(self, engine);
            recorder.look_for_modules();
            if is_joined && recorder.is_of_other() {
                progress.joined(recorder.pid, kind);
            }
            self = match recorder.run(stop, progress)? {
                Run::Ended(outcome) => return Ok(*outcome),
                Run::Paused(session) => *session,
            };
        }
    }

    /// Returns how much longer the program may be recorded, if that is bounded.
    pub(super) fn left(&self) -> Option<Duration> {
        let recorded: u64 = self.parts.iter().map(|part| part.recording.duration_ns).sum();
        Some(self.options.duration?.saturating_sub(Duration::from_nanos(recorded)))
    }

    /// Waits until the recording goes on, at `until` at the latest, or is over.
    fn wait(
        &mut self,
        until: Option<Instant>,
        stop: StopSource<'_>,
        progress: &dyn Progress,
    ) -> Result<Next, RecordError> {
        let mut until = until;
        let mut asked: Option<(Signal, Instant)> = None;
        loop {
            let child = self.tie.child(self.pid);
            let pause = until.map_or(PAUSE, |until| until.saturating_duration_since(Instant::now()).min(PAUSE));
            let files = self.tie.end().map(|end| end.as_fd()).into_iter();
            let files: Vec<BorrowedFd<'_>> =
                files.chain(self.control.as_ref().map(|control| control.as_fd())).collect();
            if let Some(signal) = stop.wait(child, &files, pause) {
                asked.get_or_insert((signal, Instant::now()));
                child.inspect(|&child| stop.end(child));
            }
            progress.passes();
            let status = match child {
                Some(child) => ended(child)?,
                None => (asked.is_some() || is_gone(self.pid)).then_some(0),
            };
            if let Some(status) = status {
                return Ok(Next::Ended(Box::new(self.over(status, child.is_none() && !is_gone(self.pid)))));
            }
            if let Some((signal, since)) = asked
                && since.elapsed() >= GRACE
            {
                return Ok(Next::Ended(Box::new(self.over(128 + signal as i32 as u8, true))));
            }
            if let Some(engine) = self.answer() {
                return Ok(Next::Resumes(Box::new(engine)));
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                // An engine that finds the program about to end is tried again if it has not ended.
                until = Instant::now().checked_add(GRACE);
                match self.attach() {
                    Ok(engine) => return Ok(Next::Resumes(Box::new(engine))),
                    // Seen in the next round.
                    Err(Problem::Ended) => {}
                    Err(problem) => return self.not_begun(problem, stop, progress),
                }
            }
        }
    }

    /// Follows a command, if one has come. Returns the engine of a recording that goes on.
    fn answer(&mut self) -> Option<Attached> {
        let request = self.control.as_ref()?.request()?;
        match request.command {
            Command::Pause => request.refuse("it is paused already"),
            Command::Snapshot if self.parts.is_empty() => request.refuse("nothing is recorded yet"),
            Command::Snapshot => request.done(&self.answer_with(&whole(&self.parts, None, self.pauses))),
            Command::Resume => match self.attach() {
                Ok(engine) => {
                    request.done(b"");
                    return Some(engine);
                }
                Err(problem) => request.refuse(&problem.to_string()),
            },
        }
        None
    }

    /// Attaches to the running program, with the engine of the parts before.
    fn attach(&self) -> Result<Attached, Problem> {
        if is_another(self.pid, self.program.image.identity) {
            return Err(Problem::Another);
        }
        let before = self.parts.first().map(|part| part.recording.engine.as_str());
        let before = before.and_then(|name| super::EngineKind::ALL.into_iter().find(|kind| kind.name() == name));
        let options = Options { engine: before.or(self.options.engine), ..self.options.clone() };
        Ok(Attached { engine: join(&options, self.program, self.pid)?, ran_already: true })
    }

    /// Returns the outcome of a recording that ends in a pause.
    fn over(&mut self, status: u8, goes_on: bool) -> Outcome {
        let file = self.file.clone();
        if self.parts.is_empty() {
            self.output.take().into_iter().for_each(Output::discard);
            return Outcome { goes_on, ..Outcome::unrecorded(status, Problem::NotBegun) };
        }
        let (profile, problem) = self.written(whole(&self.parts, None, self.pauses));
        Outcome { status, profile: Some(profile), problem, file, goes_on, followed: None }
    }

    /// Writes the finished profile, of which this is the latest part. Returns it, with what is wrong with its file.
    pub(super) fn finish(mut self, latest: Profile) -> (Profile, Option<Problem>, Option<PathBuf>) {
        let file = self.file.clone();
        let profile = self.with_latest(latest);
        let (profile, problem) = self.written(profile);
        (profile, problem, file)
    }

    /// Adds a part that a pause has ended, and writes the profile so far. Returns what is wrong with its file.
    pub(super) fn pause(&mut self, part: Profile) -> Option<String> {
        self.parts.push(part);
        self.pauses += 1;
        self.write(&whole(&self.parts, None, self.pauses)).err().map(|error| error.to_string())
    }

    /// Writes a profile so far, if its file can be written again later. Its path is tried again later if it can't be written now.
    pub(super) fn write(&mut self, profile: &Profile) -> Result<(), Unwritten> {
        if self.output.as_ref().is_some_and(|output| !output.is_replaceable()) {
            return Ok(());
        }
        let Some(path) = &self.file else { return Ok(()) };
        let output = match self.output.take() {
            Some(output) => output,
            None => Output::open(path)?,
        };
        output.replace_now(profile)?;
        self.output = Some(Output::open(path)?);
        Ok(())
    }

    /// Returns the whole recording, of which this is the latest part.
    pub(super) fn with_latest(&self, latest: Profile) -> Profile {
        if self.parts.is_empty() { latest } else { whole(&self.parts, Some(&latest), self.pauses) }
    }

    /// Returns the answer to a command that asks for a profile: a line with the recording's file, and the profile's.
    pub(super) fn answer_with(&self, profile: &Profile) -> Vec<u8> {
        let file = self.file.as_ref().and_then(|file| std::path::absolute(file).ok()).unwrap_or_default();
        let file = file.as_os_str().as_bytes().escape_ascii().to_string();
        [file.as_bytes(), b"\n", &Encoder::default().member(profile)].concat()
    }

    fn written(&mut self, profile: Profile) -> (Profile, Option<Problem>) {
        let output = match self.output.take() {
            None if self.pauses > 0 => self.file.as_ref().map(|file| Output::open(file).map_err(Unwritten::from)),
            output => output.map(Ok),
        };
        if let Some(Err(error)) = output.map(|output| output.and_then(|output| output.finish(&profile))) {
            self.write_error = Some(error);
        }
        let file = || self.file.clone().unwrap_or_default();
        let problem = self.write_error.take().map(|error| Problem::Write(file(), error));
        (profile, problem)
    }

    /// Returns the outcome if no engine attaches when the recording is to begin.
    fn not_begun(
        &mut self,
        problem: Problem,
        stop: StopSource<'_>,
        progress: &dyn Progress,
    ) -> Result<Next, RecordError> {
        self.output.take().into_iter().for_each(Output::discard);
        match self.tie.child(self.pid) {
            Some(child) => {
                progress.not_recorded(&problem);
                let outcome = Outcome::unrecorded(stop.wait_for_end(child)?, problem);
                Ok(Next::Ended(Box::new(outcome)))
            }
            None => Err(RecordError::Join(self.pid, problem)),
        }
    }
}

/// Returns the whole of a recording: parts, and the one that is not finished.
fn whole(parts: &[Profile], latest: Option<&Profile>, pauses: u64) -> Profile {
    let mut all = Parts::default();
    parts.iter().chain(latest).for_each(|part| all.add(part));
    all.finish(pauses)
}
