//! Recording the programs that a command starts which has nothing to record itself: a shell, make, `go test`.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::go_image::GoImage;
use super::launched::{FOR_THE_PROGRAM, stopped};
use super::output::{Output, STANDARD_OUTPUT, Unwritten};
use super::output_name::{NameParts, with_process};
use super::recorder::{GRACE, PAUSE, Recorder, Tie};
use super::refused::candidates;
use super::stop_source::StopSource;
use super::{Options, Outcome, Problem, Program, Progress, RecordError, THREADS, subject};
use crate::clock::Moment;
use crate::engines::RunningEngine;
use crate::goruntime::{Target, TargetError};
use crate::process::end;
use crate::process::file_privileges;
use crate::process::launch::Waiting;
use crate::process::own_threads;
use crate::process::process_tree::ProcessTree;
use crate::process::remote_syscall::Trap;
use crate::process::status;

/// Time for which processes that outlive the command are followed while none is recorded: one may be about to become a
/// program to record, and one may be a daemon that never will.
const LINGER: Duration = Duration::from_secs(2);

/// A file as it was: device, inode, size, and when it was changed.
type FileState = (u64, u64, u64, (i64, i64));

/// The processes that come from a command, and the recordings of those that have crossings.
struct Follower<'a> {
    options: Arc<Options>,
    progress: &'a dyn Progress,
    tree: ProcessTree,
    root: Pid,
    recordings: Vec<Recording>,
    /// Written to by a recording that has ended.
    waker: Arc<EventFd>,
    /// Whether recordings are to end.
    finish: Arc<AtomicBool>,
    /// Paths of profiles of this command.
    taken: HashSet<PathBuf>,
    /// Programs that have nothing to record.
    without: HashSet<FileState>,
    recorded: usize,
}

/// The recording of one program.
struct Recording {
    pid: Pid,
    program: PathBuf,
    thread: JoinHandle<Result<Outcome, RecordError>>,
}

/// Lets a process become the command's program, follows it and all that come from it, and records each program that has
/// crossings, from its first instruction. `problem` is why the command's own program is not recorded.
///
/// # Errors
/// If the program can't be executed.
pub(super) fn follow(
    options: &Options,
    mut waiting: Waiting,
    stop: StopSource<'_>,
    progress: &dyn Progress,
    problem: Problem,
) -> Result<Outcome, RecordError> {
    let root = waiting.pid;
    let (begun, duration) = (Instant::now(), options.duration);
    let tree = match ProcessTree::seize(root) {
        Ok(tree) => tree,
        Err(error) => {
            tracing::debug!("processes of the command can't be followed: {error}");
            waiting.go()?;
            return Ok(Outcome::unrecorded(stop.wait_for_end(root)?, problem));
        }
    };
    let mut follower = Follower {
        options: Arc::new(Options { duration: None, ..options.clone() }),
        progress,
        tree,
        root,
        recordings: Vec::new(),
        waker: Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?),
        finish: Arc::default(),
        taken: HashSet::new(),
        without: HashSet::new(),
        recorded: 0,
    };
    waiting.open_gate()?;
    let executed = follower.tree.wait_for_program();
    if let Some(error) = waiting.refused() {
        return Err(error.into());
    }
    if let Some(pid) = executed {
        follower.begins(pid);
    }
    let ended_by = follower.run(stop, duration.map(|duration| begun + duration));
    follower.finish.store(true, Ordering::Release);
    follower.tree.release();
    follower.take_ended(|_| true);
    let status = match (follower.tree.root_status(), ended_by) {
        (Some(status), _) => status,
        (None, Some(signal)) => 128 + signal as i32 as u8,
        (None, None) => stop.wait_for_end(root)?,
    };
    Ok(Outcome { followed: Some(follower.recorded), ..Outcome::unrecorded(status, problem) })
}

impl Follower<'_> {
    /// Records until nothing is left to record, `until`, or a signal. Returns the signal.
    fn run(&mut self, stop: StopSource<'_>, until: Option<Instant>) -> Option<Signal> {
        let mut asked: Option<(Signal, Instant)> = None;
        let mut idle_since = Instant::now();
        loop {
            while let Some(pid) = self.tree.next_program() {
                self.begins(pid);
            }
            self.take_ended(JoinHandle::is_finished);
            let root = Some(self.root).filter(|_| self.tree.root_status().is_none());
            if root.is_some() || !self.recordings.is_empty() {
                idle_since = Instant::now();
            }
            let asked_for_long = asked.is_some_and(|(_, since)| root.is_none() || since.elapsed() >= GRACE);
            let nothing_left = root.is_none() && self.recordings.is_empty() && self.tree.is_empty();
            if nothing_left || asked_for_long || idle_since.elapsed() >= LINGER {
                return asked.map(|(signal, _)| signal);
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
            let left = until.map_or(PAUSE, |until| until.saturating_duration_since(Instant::now()).min(PAUSE));
            if let Some(signal) = stop.wait((root, None), left, Some(&self.waker)) {
                asked.get_or_insert((signal, Instant::now()));
            }
        }
    }

    /// Records a process that stands at the first instruction of a program, if that has crossings, and lets it go on.
    fn begins(&mut self, pid: Pid) {
        let Ok(image) = GoImage::program_of(pid) else { return self.tree.go_on(pid) };
        if let Err(error) = file_privileges::check(&status::program(pid)) {
            self.progress.passed_over(&image.program, pid, &error.into());
        }
        let state = image
            .file
            .metadata()
            .ok()
            .map(|file| (file.dev(), file.ino(), file.size(), (file.mtime(), file.mtime_nsec())));
        if state.is_some_and(|state| self.without.contains(&state)) {
            return self.tree.go_on(pid);
        }
        let begun = match image.parsed() {
            Ok(target) => self.attach(pid, &image, &target),
            Err(_) if traces_others(&image) => return self.tree.let_go(pid),
            Err(TargetError::NotGo | TargetError::NoCgo { .. } | TargetError::Binary(_)) => {
                self.without.extend(state);
                return self.tree.go_on(pid);
            }
            Err(error) => {
                self.tree.go_on(pid);
                Err(Problem::Target(error))
            }
        };
        let program = image.program.clone();
        let started = begun.and_then(|(engine, output, tie)| self.start((pid, tie), image, engine, output));
        match started {
            Ok(thread) => {
                self.recorded += 1;
                self.recordings.push(Recording { pid, program, thread });
            }
            Err(problem) => self.progress.passed_over(&program, pid, &problem),
        }
    }

    /// Attaches an engine to a program, and lets it go on untraced.
    fn attach(
        &mut self,
        pid: Pid,
        image: &GoImage,
        target: &Target<'_>,
    ) -> Result<(RunningEngine, Option<Output>, Tie), Problem> {
        let tie = Tie::Followed(end::descriptor(pid));
        let prepared = own_threads::check_room(THREADS + FOR_THE_PROGRAM)
            .map_err(Problem::from)
            .and_then(|()| self.open(&image.program, pid))
            .and_then(|output| Ok((output, Trap::of(pid).map_err(|_| Problem::Ended)?)));
        let (output, trap) = match prepared {
            Ok(prepared) => prepared,
            Err(problem) => {
                self.tree.go_on(pid);
                return Err(problem);
            }
        };
        let program = Program { image, target };
        let subject = subject(&self.options, &program);
        let (candidates, refused) = candidates(self.options.engine, &subject);
        let began = Moment::now();
        let engine = if self.tree.hand_over(pid) {
            stopped(&subject, &candidates, (pid, trap), began, refused).map_err(|not_recorded| not_recorded.problem)
        } else {
            Err(Problem::Ended)
        };
        match engine {
            Ok(engine) => Ok((engine, output, tie)),
            Err(problem) => {
                output.into_iter().for_each(Output::discard);
                Err(problem)
            }
        }
    }

    /// Opens the file for the profile of a program.
    fn open(&mut self, program: &Path, pid: Pid) -> Result<Option<Output>, Problem> {
        let Some(name) = &self.options.output else { return Ok(None) };
        let mut path = name.path(&NameParts::of(program, pid), Path::is_dir);
        if path.as_os_str() == STANDARD_OUTPUT && self.taken.contains(&path) {
            return Err(Problem::OneProfile);
        }
        while !self.taken.insert(path.clone()) {
            path = with_process(&path, pid);
        }
        let opened = Output::open(&path);
        opened.map(Some).map_err(|error: io::Error| Problem::Write(path, Unwritten::from(error)))
    }

    /// Starts the thread that records a program.
    fn start(
        &self,
        (pid, tie): (Pid, Tie),
        image: GoImage,
        engine: RunningEngine,
        output: Option<Output>,
    ) -> Result<JoinHandle<Result<Outcome, RecordError>>, Problem> {
        let (options, finish, waker) = (self.options.clone(), self.finish.clone(), self.waker.clone());
        let record = move || {
            let target = image.target()?;
            let program = Program { image: &image, target: &target };
            let mut recorder = Recorder::new(&options, &program, (pid, tie), engine, output);
            recorder.look_for_modules();
            let outcome = recorder.run(StopSource::Flag(&finish), &Silent);
            // The follower looks by itself, if later, where this fails.
            let _ = waker.write(1);
            outcome
        };
        let thread = std::thread::Builder::new().name(format!("recorder {pid}")).spawn(record);
        thread.map_err(|error| Problem::Threads(error.into()))
    }

    /// Hands over the recordings that have ended, and waits for those that are about to.
    fn take_ended(&mut self, is_ending: impl Fn(&JoinHandle<Result<Outcome, RecordError>>) -> bool) {
        for Recording { pid, program, thread } in self.recordings.extract_if(.., |one| is_ending(&one.thread)) {
            match thread.join() {
                Ok(outcome) => self.progress.recorded(&program, pid, &outcome),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    }
}

/// Whether a program that is not Go traces other processes, as debuggers and strace do. It could not trace those that
/// are traced already.
fn traces_others(image: &GoImage) -> bool {
    cgoprof_symbols::Binary::parse(&image.data).is_ok_and(|binary| binary.imports().contains(&"ptrace"))
}

/// The progress of a recording beside others.
struct Silent;

impl Progress for Silent {
    fn waiting(&self, _: Pid, _: &Path) {}
    fn joined(&self, _: Pid, _: crate::engines::EngineKind) {}
    fn symbolizing(&self, _: usize) {}
    fn symbolized(&self) {}
}
