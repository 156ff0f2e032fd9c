//! `cgoprof stat`: runs a command and prints what it did at the border.

use std::cell::RefCell;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use cgoprof_collector::record::{EngineKind, Options, Outcome, Problem, Progress, RecordError, Subject};
use cgoprof_profile::Profile;
use cgoprof_viewer::stat;
use cgoprof_viewer::units::printable;
use nix::unistd::Pid;

use crate::TOOL_ERROR;
use crate::notice::say;
use crate::watched::{How, Whom};

/// Run a command and print what it did at the border, as `perf stat` does
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof stat ./app --its --args
  cgoprof stat -r 5 -- go test -count=1 ./...
  cgoprof stat --json -o stat.json -p 4711 --duration 10s")]
pub(crate) struct Args {
    /// Number of runs; numbers are means, with their standard error
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["pid", "wait"])]
    repeat: u32,
    /// Print JSON; docs/report-json.md
    #[arg(long)]
    json: bool,
    /// File for the numbers, instead of standard error
    #[arg(short, long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    how: How,
}

/// The exit status from which on a signal has ended a program.
const BY_SIGNAL: u8 = 128;

impl Args {
    /// Returns why options would have no effect, if they would have none.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        let samples = "--engine sample sees no crossings, which stat counts";
        self.how.refused().or_else(|| self.how.samples_only().then_some(samples))
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = Options { follow: true, ..args.how.options(args.whom.subject(true)) };
    let command: Vec<String> = match &options.subject {
        Subject::Command(command) => command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        Subject::Process(pid) => vec![format!("process {pid}")],
    };
    let (mut runs, mut status) = (Vec::new(), 0);
    for _ in 0..args.repeat {
        let found = Found::default();
        let outcome = cgoprof_collector::record(&options, &found)?;
        let mut profiles = found.profiles.into_inner();
        profiles.extend(outcome.profile);
        status = if status == 0 { outcome.status } else { status };
        if outcome.status >= BY_SIGNAL && !runs.is_empty() {
            // Ctrl-C ends the runs, and the numbers are those of the whole ones.
            break;
        }
        if profiles.is_empty() {
            let why = outcome.problem.map_or_else(String::new, |problem| format!(": {problem}"));
            say(format_args!("{} ran without being recorded{why}", printable(&command[0])));
            return Ok(ExitCode::from(if status == 0 { TOOL_ERROR } else { status }));
        }
        runs.push(profiles);
        if outcome.status >= BY_SIGNAL {
            break;
        }
    }
    let text = if args.json { stat::json(&command, &runs)? + "\n" } else { stat::text(&command.join(" "), &runs) };
    match &args.output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?,
        None => std::io::stderr().write_all(text.as_bytes())?,
    }
    Ok(ExitCode::from(status))
}

/// Collects the profiles of programs that a command starts.
#[derive(Default)]
struct Found {
    profiles: RefCell<Vec<Profile>>,
}

impl Progress for Found {
    fn waiting(&self, _: Pid, _: &Path) {}
    fn joined(&self, _: Pid, _: EngineKind) {}
    fn symbolizing(&self, _: usize) {}
    fn symbolized(&self) {}

    fn not_recorded(&self, problem: &Problem) {
        say(format_args!("the program runs without being recorded: {problem}"));
    }

    fn recorded(&self, program: &Path, pid: Pid, recorded: Result<Outcome, RecordError>) {
        match recorded {
            Ok(outcome) => self.profiles.borrow_mut().extend(outcome.profile),
            Err(error) => say(format_args!("{} ({pid}): {error}", printable(&program.display().to_string()))),
        }
    }

    fn passed_over(&self, program: &Path, pid: Pid, problem: &Problem) {
        let shown = printable(&program.display().to_string());
        say(format_args!("{shown} ({pid}) runs without being recorded: {problem}"));
    }
}
