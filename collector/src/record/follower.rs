//! Follows processes, and records each program with crossings that one of them becomes.

use std::collections::HashSet;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use super::gates::{ClosesGates, Gates};
use super::go_image::GoImage;
use super::launched::{FOR_THE_PROGRAM, stopped};
use super::news::{News, Relay};
use super::output::Output;
use super::process_files::{ProcessFiles, ProcessOutput};
use super::recorder::{GRACE, PAUSE};
use super::refused::candidates;
use super::session::{Attached, Session};
use super::stop_source::StopSource;
use super::tie::Tie;
use super::{Options, Outcome, Problem, Program, Progress, RecordError, THREADS, subject};
use crate::clock::Moment;
use crate::engines::{Arrival, ArrivalKind, Gate, RunningEngine};
use crate::goruntime::{Target, TargetError};
use crate::process::end;
use crate::process::file_privileges;
use crate::process::launch::Waiting;
use crate::process::own_threads::{self, NoThread};
use crate::process::process_tree::{Next, ProcessTree};
use crate::process::remote_syscall::Trap;
use crate::process::status::{self, Status};

/// Time for which processes that outlive the command are followed while none is recorded: one may be about to become a
/// program to record, and one may be a daemon that never will.
const LINGER: Duration = Duration::from_secs(2);
/// Time after which a thread that was about to execute a program has not done it: how that failed went unseen.
const LONGEST_EXEC: Duration = Duration::from_secs(2);
/// Time between two looks for tasks that have ended unseen.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Pause between two looks where all that can come wakes the follower.
const LONG_PAUSE: Duration = Duration::from_secs(600);

/// A file as it was: device, inode, size, and when it was changed.
type FileState = (u64, u64, u64, (i64, i64));

/// The processes that come from a command, and the recordings of those that have crossings. It belongs to the thread
/// that traces them, whose end detaches them all.
pub(super) struct Follower {
    options: Arc<Options>,
    news: Sender<News>,
    tree: ProcessTree,
    recordings: Vec<Recording>,
    /// Gates of the recorded programs. Their eventfd is written to by a recording that has ended, too.
    gates: Arc<Gates>,
    files: ProcessFiles,
    /// Programs that have nothing to record.
    without: HashSet<FileState>,
    /// Whether the command's own program has begun. Why it is not recorded is told in the end.
    has_begun: bool,
    /// Programs of which a thread is about to execute another, so that all their threads are traced, and since when.
    departing: Vec<(Arc<Gate>, Instant)>,
    /// Set if another thread records the command's own program.
    beside: Option<Beside>,
}

/// What a follower has of the recorder of the command's own program.
pub(super) struct Beside {
    /// Whether that program is no longer recorded.
    pub(super) is_over: Arc<AtomicBool>,
    /// Can be read when a followed process has stopped or ended.
    pub(super) stops: SignalFd,
}

/// The recording of one program.
struct Recording {
    pid: Pid,
    program: PathBuf,
    thread: JoinHandle<Result<Outcome, RecordError>>,
    /// Whether its file becomes a part of another.
    is_part: bool,
}

/// What is left when nothing is followed any more.
pub(super) struct Left {
    recordings: Vec<Recording>,
    files: ProcessFiles,
    /// The command's exit status, if it has ended.
    pub(super) root_status: Option<u8>,
    /// The order to finish.
    pub(super) ended_by: Option<Signal>,
}

/// Why a command is not followed.
pub(super) enum NotFollowed {
    /// The system refuses something that following needs. The process still waits.
    Refused(Waiting, Problem),
    Failed(RecordError),
}

impl Left {
    /// Waits for the recordings that are left and have been ordered to finish. Returns the files that are to be written.
    pub(super) fn finish(self, relay: &Relay<'_>) -> ProcessFiles {
        for Recording { pid, program, thread, is_part } in self.recordings {
            relay.tell(News::Recorded(program, pid, Box::new(outcome_of(thread)), is_part));
        }
        self.files
    }
}

/// Returns what a recorder returned. One that has panicked has said why; the others go on.
fn outcome_of(thread: JoinHandle<Result<Outcome, RecordError>>) -> Result<Outcome, RecordError> {
    thread.join().unwrap_or(Err(RecordError::Panicked))
}

impl Follower {
    /// Lets a process become the command's program.
    pub(super) fn start(mut waiting: Waiting, options: &Options, news: Sender<News>) -> Result<Follower, NotFollowed> {
        let seize = || ProcessTree::seize(waiting.pid, file_privileges::are_lost());
        let (tree, gates) = match Gates::new().and_then(|gates| Ok((seize()?, gates))) {
            Ok(begun) => begun,
            Err(error) => return Err(NotFollowed::Refused(waiting, Problem::Untraced(error))),
        };
        let files = ProcessFiles::new(options.output.clone(), options.per_process);
        let mut follower = Follower::new(options, news, (tree, Arc::new(gates)), files, None);
        waiting.open_gate().map_err(|error| NotFollowed::Failed(error.into()))?;
        let executed = follower.tree.wait_for_program();
        if let Some(error) = waiting.refused() {
            return Err(NotFollowed::Failed(error.into()));
        }
        if let Some(pid) = executed {
            follower.begins(pid);
        }
        Ok(follower)
    }

    /// Follows what comes from a program that another thread records, with the files that the recordings write.
    pub(super) fn beside(
        (root, beside): (Pid, Beside),
        options: &Options,
        news: Sender<News>,
        gates: Arc<Gates>,
        files: ProcessFiles,
    ) -> Follower {
        let tree = ProcessTree::beside(root, file_privileges::are_lost());
        Follower::new(options, news, (tree, gates), files, Some(beside))
    }

    fn new(
        options: &Options,
        news: Sender<News>,
        (tree, gates): (ProcessTree, Arc<Gates>),
        files: ProcessFiles,
        beside: Option<Beside>,
    ) -> Follower {
        Follower {
            options: Arc::new(Options { duration: None, ..options.clone() }),
            news,
            tree,
            recordings: Vec::new(),
            gates,
            files,
            without: HashSet::new(),
            has_begun: beside.is_some(),
            departing: Vec::new(),
            beside,
        }
    }

    /// Records until nothing is left to record, `until`, or the order to finish.
    pub(super) fn run(mut self, stop: StopSource<'_>, until: Option<Instant>) -> Left {
        let root = self.tree.root();
        // Nobody else sees to them.
        let _closed = ClosesGates(self.gates.clone());
        let mut asked: Option<(Signal, Instant)> = None;
        let (mut idle_since, mut last_look) = (Instant::now(), Instant::now());
        loop {
            let next = self.tree.next();
            if next == Next::Nothing && last_look.elapsed() >= BETWEEN_LOOKS {
                self.tree.forget_ended();
                last_look = Instant::now();
            }
            match &next {
                Next::Program(pid) => self.begins(*pid),
                Next::File(pid, file) => self.looks_at(*pid, file),
                Next::Nothing | Next::More => {}
            }
            self.see_to_gates();
            self.take_ended();
            let root_status = self.root_status();
            if root_status.is_none() || !self.recordings.is_empty() {
                idle_since = Instant::now();
            }
            // The recorder of the command's own program gives that its time.
            let has_no_time = root_status.is_some() || self.beside.is_some();
            let asked_for_long = asked.is_some_and(|(_, since)| has_no_time || since.elapsed() >= GRACE);
            let nothing_left = root_status.is_some() && self.recordings.is_empty() && self.tree.is_empty();
            let is_over = until.is_some_and(|until| until <= Instant::now());
            if nothing_left || asked_for_long || is_over || idle_since.elapsed() >= LINGER {
                let ended_by = asked.map(|(signal, _)| signal);
                self.gates.finish();
                return Left { recordings: self.recordings, files: self.files, root_status, ended_by };
            }
            let has_nothing = self.beside.is_some() && self.tree.is_empty() && self.recordings.is_empty();
            let pause = if has_nothing { LONG_PAUSE } else { PAUSE };
            let left = until.map_or(pause, |until| until.saturating_duration_since(Instant::now()).min(pause));
            let pause = if next == Next::Nothing { left } else { Duration::ZERO };
            let child = root_status.is_none().then_some(root);
            let stops = self.beside.as_ref().map(|beside| &beside.stops);
            let files: Vec<BorrowedFd<'_>> =
                stops.map(|stops| stops.as_fd()).into_iter().chain([self.gates.waker().as_fd()]).collect();
            if let Some(signal) = stop.wait(child, &files, pause) {
                asked.get_or_insert((signal, Instant::now()));
            }
            // One write, and one signal, wakes the follower only once.
            let _ = self.gates.waker().read();
            let _ = stops.map(SignalFd::read_signal);
        }
    }

    /// Returns the command's exit status, if it has ended and is nobody else's to tell.
    fn root_status(&mut self) -> Option<u8> {
        match &self.beside {
            Some(beside) => beside.is_over.load(Ordering::Acquire).then_some(0),
            None => self.tree.root_status(),
        }
    }

    /// Follows those that wait at gates.
    fn see_to_gates(&mut self) {
        for gate in self.gates.open() {
            if let Some(arrival) = gate.arrival() {
                self.see_to(&gate, arrival);
                gate.pass(arrival);
            }
        }
        // Who closes a gate may stop the program next, which needs threads that nobody traces.
        let is_over = |(gate, since): &mut (Arc<Gate>, Instant)| !gate.is_open() || since.elapsed() >= LONGEST_EXEC;
        let over: Vec<Pid> = self.departing.extract_if(.., is_over).map(|(gate, _)| gate.pid()).collect();
        over.into_iter().for_each(|pid| self.release(pid));
    }

    /// Traces the threads of a program no longer, unless another of them is about to execute a program.
    fn release(&mut self, pid: Pid) {
        if self.departing.iter().all(|(gate, _)| gate.pid() != pid) {
            self.tree.release_process(pid);
        }
    }

    fn see_to(&mut self, gate: &Arc<Gate>, arrival: Arrival) {
        let pid = gate.pid();
        let (task, adopted) = match arrival.kind {
            ArrivalKind::Stays => {
                let one = self.departing.iter().position(|(departing, _)| departing.pid() == pid);
                one.inspect(|&one| drop(self.departing.remove(one)));
                return self.release(pid);
            }
            ArrivalKind::Executes => {
                self.departing.push((gate.clone(), Instant::now()));
                // Any thread may be the one that executes another program in the end: goroutines move.
                (pid, self.tree.adopt_process(pid))
            }
            ArrivalKind::Forked => {
                let is_it = |&child: &Pid| {
                    let is_known = self.tree.has(child) || self.recordings.iter().any(|one| one.pid == child);
                    let has_number = |status: Status| status.numbers.last() == Some(&arrival.number);
                    !is_known && Status::read(child).is_ok_and(has_number)
                };
                // It may have been killed meanwhile.
                let Some(child) = status::children(pid).into_iter().find(is_it) else { return };
                (child, self.tree.adopt_forked(child))
            }
        };
        if let Err(error) = adopted {
            self.tree.release_process(task);
            let file = status::program(pid);
            self.tell(News::PassedOver(file.read_link().unwrap_or(file), task, Problem::Untraced(error)));
        }
    }

    fn tell(&self, news: News) {
        // The receiver is there as long as this thread runs.
        let _ = self.news.send(news);
    }

    /// Lets a process execute a file. It is not followed if it would lose privileges by that.
    fn looks_at(&mut self, pid: Pid, file: &Path) {
        match file_privileges::check(file) {
            Ok(()) => self.tree.go_on(pid),
            Err(error) => {
                let program = file.canonicalize().unwrap_or_else(|_| file.to_owned());
                self.tree.let_go(pid);
                self.tell(News::PassedOver(program, pid, Problem::Privileged(error)));
            }
        }
    }

    /// Records a process that stands at the first instruction of a program, if that has crossings, and lets it go on.
    fn begins(&mut self, pid: Pid) {
        // Its recording ends with the program that it was before.
        self.departing.extract_if(.., |(gate, _)| gate.pid() == pid).for_each(|(gate, _)| gate.note_left());
        let is_commands_own = !std::mem::replace(&mut self.has_begun, true);
        let file = status::program(pid);
        if let Err(error) = file_privileges::check(&file) {
            // It has lost them already.
            let program = file.read_link().unwrap_or(file);
            self.tell(News::PassedOver(program, pid, Problem::Privileged(error)));
            return self.tree.go_on(pid);
        }
        let image = match GoImage::program_of(pid) {
            Ok(image) => image,
            Err(error) => {
                let unreadable = match error {
                    RecordError::Unreadable(program, error) => Some((PathBuf::from(program), error)),
                    // It may be executed but not read, so it may not be looked at either.
                    RecordError::Process(_, error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                        Some((status::name(pid).unwrap_or_default().into(), error))
                    }
                    _ => None,
                };
                if let Some((program, error)) = unreadable.filter(|_| !is_commands_own) {
                    self.tell(News::PassedOver(program, pid, Problem::Unreadable(error)));
                }
                return self.tree.go_on(pid);
            }
        };
        let state = image.file.metadata().ok();
        let state = state.map(|file| (file.dev(), file.ino(), file.size(), (file.mtime(), file.mtime_nsec())));
        if state.is_some_and(|state| self.without.contains(&state)) {
            return self.tree.go_on(pid);
        }
        let begun = match image.parsed() {
            Ok(target) if is_go_command(&target) => return self.tree.go_on(pid),
            Ok(target) => self.attach(pid, &image, &target),
            Err(TargetError::NotGo | TargetError::NoCgo { .. } | TargetError::Binary(_)) => {
                if traces_others(&image) {
                    return self.tree.let_go(pid);
                }
                self.without.extend(state);
                return self.tree.go_on(pid);
            }
            Err(error) => {
                self.tree.go_on(pid);
                Err(Problem::Target(error))
            }
        };
        let program = image.program.clone();
        let started = begun.and_then(|(engine, place, tie)| {
            let is_part = place.as_ref().is_some_and(|place| place.is_part);
            let output = place.map(|place| place.output);
            Ok((is_part, self.start_recorder((pid, tie), image, engine, output)?))
        });
        match started {
            Ok((is_part, thread)) => self.recordings.push(Recording { pid, program, thread, is_part }),
            // It was killed as it began.
            Err(Problem::Ended) => {}
            Err(problem) => self.tell(News::PassedOver(program, pid, problem)),
        }
    }

    /// Attaches an engine to a program, and lets it go on untraced.
    fn attach(
        &mut self,
        pid: Pid,
        image: &GoImage,
        target: &Target<'_>,
    ) -> Result<(RunningEngine, Option<ProcessOutput>, Tie), Problem> {
        /// The thread of the recorder itself, beside those that it starts.
        const OWN: usize = 1;
        let tie = Tie::Followed(end::descriptor(pid));
        let prepared = own_threads::check_room(OWN + THREADS + FOR_THE_PROGRAM)
            .map_err(Problem::from)
            .and_then(|()| Trap::of(pid).map_err(|_| Problem::Ended))
            .and_then(|trap| Ok((trap, self.files.open(&image.program, pid)?)));
        let (trap, place) = match prepared {
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
            Ok(engine) => Ok((engine, place, tie)),
            Err(problem) => {
                place.into_iter().for_each(|place| self.files.discard(place.output));
                Err(problem)
            }
        }
    }

    /// Starts the thread that records a program.
    fn start_recorder(
        &self,
        (pid, tie): (Pid, Tie),
        image: GoImage,
        engine: RunningEngine,
        output: Option<Output>,
    ) -> Result<JoinHandle<Result<Outcome, RecordError>>, Problem> {
        let (options, gates) = (self.options.clone(), self.gates.clone());
        let record = move || {
            let target = image.target()?;
            let program = Program { image: &image, target: &target };
            let session = Session::new(&options, &program, (pid, tie), output).through(gates.clone());
            let attached = Attached { engine, ran_already: false };
            let outcome = session.record(Some(attached), StopSource::Flag(gates.order()), &Silent);
            // The follower looks by itself, if later, where this fails.
            gates.wake();
            outcome
        };
        let thread = std::thread::Builder::new().name(format!("recorder {pid}")).spawn(record);
        thread.map_err(|error| Problem::Threads(NoThread::from(error)))
    }

    /// Tells of the recordings that have ended.
    fn take_ended(&mut self) {
        let ended: Vec<Recording> = self.recordings.extract_if(.., |one| one.thread.is_finished()).collect();
        for Recording { pid, program, thread, is_part } in ended {
            self.tell(News::Recorded(program, pid, Box::new(outcome_of(thread)), is_part));
        }
    }
}

/// Whether a program is the `go` command, which distributions build with cgo. What it runs is recorded, not what it does itself.
pub(super) fn is_go_command(target: &Target<'_>) -> bool {
    target.build.main_package() == Some("cmd/go")
}

/// Whether a program traces other processes, or its own threads: debuggers, strace, and LeakSanitizer at a program's
/// end. It could not trace those that are traced already.
fn traces_others(image: &GoImage) -> bool {
    let Ok(binary) = cgoprof_symbols::Binary::parse(&image.data) else { return false };
    let traces = |name: &str| {
        name == "ptrace"
            || name.ends_with(".PtraceAttach")
            || name.starts_with("__lsan_")
            || name.starts_with("__asan_")
    };
    binary.imports().iter().any(|name| traces(name)) || binary.functions().iter().any(|symbol| traces(symbol.name))
}

/// The progress of a recording beside others.
struct Silent;

impl Progress for Silent {
    fn waiting(&self, _: Pid, _: &Path) {}
    fn joined(&self, _: Pid, _: crate::engines::EngineKind) {}
    fn symbolizing(&self, _: usize) {}
    fn symbolized(&self) {}
}
