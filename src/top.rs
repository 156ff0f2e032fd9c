//! `cgoprof top`: shows a running program on interactive screens.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use cgoprof_collector::process::launch::Streams;
use cgoprof_collector::record::output::Output;
use cgoprof_collector::record::{EngineKind, Options, Outcome, Progress, RecordError, Subject};
use cgoprof_profile::Profile;
use cgoprof_viewer::tui::terminal::{Host, HostEvent, show};
use cgoprof_viewer::tui::{App, Update, UpdateBuilder};
use cgoprof_viewer::units::printable;
use nix::unistd::Pid;

use crate::notice::say;
use crate::profile_file::ProcessFilter;
use crate::screen::{self, Orders, Sources};
use crate::tui::{colours, read_base};
use crate::watched::{How, Whom};
use crate::{TOOL_ERROR, profile_file};

/// Show the Go/C crossings of a running program on interactive screens
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File that the key w writes
    #[arg(short, long, default_value = profile_file::DEFAULT)]
    output: PathBuf,
    /// Profile to compare with
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    how: How,
}

/// Time between two checks whether there is something to show.
const BETWEEN_CHECKS: Duration = Duration::from_millis(10);

impl Args {
    /// Returns why options would have no effect, if they would have none.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        self.how.refused()
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let base = read_base(args.base.as_deref(), &ProcessFilter::default())?;
    let terminal = screen::open()?;
    let subject = args.whom.subject(false);
    let orders = Orders::listen()?;
    let title = match &subject {
        Subject::Command(command) => command[0].to_string_lossy().into_owned(),
        Subject::Process(pid) => format!("process {pid}"),
    };
    let (streams, written) = match &subject {
        Subject::Command(_) => {
            let (streams, path) = streams().context("the program's output can't be put aside")?;
            (Some(Arc::new(streams)), Some(path))
        }
        Subject::Process(_) => (None, None),
    };
    let launched = matches!(subject, Subject::Command(_));
    let options = Options { streams, ..args.how.options(subject) };
    let mut watching = Watching::start(options, orders, args.output.clone());
    let shown = watching.wait_for_first().map(|first| {
        let app = App::watching(title.clone(), first, colours(), Box::new(Sources));
        let mut app = match base {
            Some((name, base)) => app.with_base(name, base),
            None => app,
        };
        if let Some(path) = &written {
            app.say(format!("what the program writes goes to {}", path.display()));
        }
        show(&mut app, &mut watching, terminal)
    });
    let outcome = watching.leave();
    if let Some(path) = written {
        put_away(&path);
    }
    let outcome = outcome?;
    if let Some(problem) = &outcome.problem {
        say(format_args!("{}: {problem}", printable(&title)));
        return Ok(ExitCode::from(TOOL_ERROR));
    }
    if let (true, Some(profile)) = (outcome.goes_on && launched, &outcome.profile) {
        say(format_args!("process {} has not ended, and runs on", profile.target.pid));
    }
    shown.transpose().context("the terminal can't be used")?;
    Ok(ExitCode::SUCCESS)
}

/// Returns streams for a program that must not write onto the screens, and the file that it writes to.
fn streams() -> std::io::Result<(Streams, PathBuf)> {
    let (output, path) = tempfile::Builder::new().prefix("cgoprof-top-").suffix(".out").tempfile()?.keep()?;
    Ok((Streams { input: File::open("/dev/null")?, output }, path))
}

/// Prints where the program's output is; removes the file if it is empty.
fn put_away(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        let _ = std::fs::remove_file(path);
    } else {
        say(format_args!("what the program has written is in {}", path.display()));
    }
}

/// Updates from the recorder's thread to the screens.
#[derive(Default)]
struct Shown {
    builder: Mutex<UpdateBuilder>,
    newest: Mutex<Option<Update>>,
}

impl Shown {
    fn newest(&self) -> MutexGuard<'_, Option<Update>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self, profile: Profile) -> Update {
        self.builder.lock().unwrap_or_else(PoisonError::into_inner).ready(profile)
    }
}

impl Progress for Shown {
    fn waiting(&self, pid: Pid, program: &Path) {
        let program = printable(&program.display().to_string());
        say(format_args!(
            "process {pid} ({program}) has no Go code yet: waiting until it loads some; Ctrl-C ends that"
        ));
    }

    fn joined(&self, _: Pid, _: EngineKind) {}

    fn symbolizing(&self, _: usize) {}

    fn symbolized(&self) {}

    fn looks_on(&self) -> bool {
        true
    }

    fn so_far(&self, profile: Profile) {
        let update = self.ready(profile);
        let mut newest = self.newest();
        *newest = Some(update.instead_of(newest.take()));
    }
}

/// A program that another thread records.
struct Watching {
    shown: Arc<Shown>,
    finish: Arc<AtomicBool>,
    recorder: Option<JoinHandle<Result<Outcome, RecordError>>>,
    outcome: Option<Result<Outcome, RecordError>>,
    orders: Orders,
    output: PathBuf,
    /// Whether cgoprof started the program.
    launched: bool,
}

impl Watching {
    fn start(options: Options, orders: Orders, output: PathBuf) -> Watching {
        let (shown, finish) = (Arc::new(Shown::default()), Arc::new(AtomicBool::new(false)));
        let (to, until, mask) = (Arc::clone(&shown), Arc::clone(&finish), orders.mask_before);
        let launched = matches!(options.subject, Subject::Command(_));
        let recorder = std::thread::spawn(move || cgoprof_collector::watch(&options, &until, &mask, &*to));
        Watching { shown, finish, recorder: Some(recorder), outcome: None, orders, output, launched }
    }

    /// Waits for the first update. None if there is none, or if a signal asks to leave.
    fn wait_for_first(&mut self) -> Option<Update> {
        loop {
            if let Some(update) = self.shown.newest().take() {
                return Some(update);
            }
            if let Some(outcome) = self.ended() {
                let last = outcome.as_ref().ok().and_then(|outcome| outcome.profile.clone());
                return last.map(|profile| self.shown.ready(profile));
            }
            if self.orders.are_to_leave() {
                return None;
            }
            std::thread::sleep(BETWEEN_CHECKS);
        }
    }

    /// Returns the outcome of the recording, once it is over.
    fn ended(&mut self) -> Option<&Result<Outcome, RecordError>> {
        if self.recorder.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join();
        }
        self.outcome.as_ref()
    }

    fn join(&mut self) {
        if let Some(recorder) = self.recorder.take() {
            match recorder.join() {
                Ok(outcome) => self.outcome = Some(outcome),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    }

    /// Ends the recording, and restores the program. A program that cgoprof started is ended.
    fn leave(mut self) -> Result<Outcome, RecordError> {
        self.finish.store(true, Ordering::Release);
        self.join();
        self.outcome.take().unwrap_or(Err(RecordError::System(nix::errno::Errno::ECHILD)))
    }
}

impl Drop for Watching {
    /// Restores the program after a panic too.
    fn drop(&mut self) {
        self.finish.store(true, Ordering::Release);
        if let Some(recorder) = self.recorder.take() {
            let _ = recorder.join();
        }
    }
}

impl Host for Watching {
    fn events(&mut self) -> Vec<HostEvent> {
        let (running, launched) = (self.recorder.is_some(), self.launched);
        let mut news: Vec<HostEvent> = self.shown.newest().take().map(HostEvent::Update).into_iter().collect();
        let shown = Arc::clone(&self.shown);
        if running && let Some(outcome) = self.ended() {
            let last = outcome.as_ref().ok().and_then(|outcome| outcome.profile.clone());
            news.extend(last.map(|profile| HostEvent::Update(shown.ready(profile))));
            news.push(HostEvent::End(match outcome {
                Ok(Outcome { goes_on: true, .. }) => "the recording; the program runs on".into(),
                Ok(_) if !launched => "the program".into(),
                Ok(Outcome { status, .. }) if *status > 128 => format!("the program, by signal {}", status - 128),
                Ok(Outcome { status, .. }) => format!("the program, status {status}"),
                Err(error) => error.to_string(),
            }));
        }
        news
    }

    fn is_over(&self) -> bool {
        self.orders.are_to_leave()
    }

    fn save(&mut self, profile: &Profile) -> Result<PathBuf, String> {
        let path = (1..).map(|number| numbered(&self.output, number)).find(|path| !path.exists());
        let path = path.unwrap_or_else(|| self.output.clone());
        let output = Output::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        output.finish(profile).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

/// Returns a file's name with a number before its extensions, from number 2 on: `cgoprof-2.pb.gz`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (stem, extension) =
        name.split_once('.').map_or((name.as_str(), String::new()), |(stem, rest)| (stem, format!(".{rest}")));
    if number == 1 { path.to_owned() } else { path.with_file_name(format!("{stem}-{number}{extension}")) }
}
