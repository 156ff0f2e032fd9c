//! `cgoprof record`: runs a program and writes its profile.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cgoprof_collector::goruntime::TargetError;
use cgoprof_collector::process::launch::LaunchError;
use cgoprof_collector::record::output_name::OutputName;
use cgoprof_collector::record::{
    EngineKind, Options, Outcome, Problem, Progress, RecordError, SharedFile, Subject, Subscriber,
};
use cgoprof_profile::{Profile, Via};
use cgoprof_viewer::analysis;
use cgoprof_viewer::cpu_split::CpuSplit;
use cgoprof_viewer::oversubscription;
use cgoprof_viewer::units::{calls, count, percent, printable, time, with_error};
use nix::unistd::Pid;

use crate::notice::say;
use crate::watched::{How, Whom};
use crate::{TOOL_ERROR, profile_file, push};

/// Record the Go/C crossings of a program
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof record ./app --its --args
  cgoprof record -p 4711 --duration 30s
  cgoprof record -o test.pb.gz -- ./x.test -test.run TestQuery")]
pub(crate) struct Args {
    /// File for the profile, or a folder for one; %p is the process id, %n the program's name, %h the host, %t the time; - is standard output
    #[arg(short, long, default_value = profile_file::DEFAULT, value_parser = output_name)]
    output: OutputName,
    /// Do not print a summary
    #[arg(short, long)]
    quiet: bool,
    /// Exit with status 125 if the program itself can't be recorded, instead of running it unrecorded
    #[arg(long, conflicts_with_all = ["no_follow", "start_after"])]
    require: bool,
    /// Record the command's own program only, not those that it starts or becomes
    #[arg(long, conflicts_with_all = ["pid", "wait", "start_after"])]
    no_follow: bool,
    /// Write one file per process, even if their names are the same
    #[arg(long, conflicts_with_all = ["pid", "wait", "no_follow", "require", "start_after"])]
    per_process: bool,
    /// Begin after this time (10s); the program runs unrecorded until then, and what it starts is not recorded
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    start_after: Option<Duration>,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    push: push::Args,
}

/// Parses the name of a profile.
fn output_name(argument: &str) -> Result<OutputName, String> {
    profile_file::output(argument)?;
    OutputName::parse(argument.as_ref()).map_err(|error| error.to_string())
}

impl Args {
    /// Returns why options would have no effect, if they would have none.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        self.how.refused()
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let pusher = args.push.pusher()?;
    let subscriber = pusher.clone().map(|pusher| pusher as Arc<dyn Subscriber>);
    let options = Options {
        output: Some(args.output.clone()),
        require: args.require,
        follow: !args.no_follow && args.start_after.is_none(),
        per_process: args.per_process,
        start_after: args.start_after,
        control: true,
        subscriber,
        ..args.how.options(args.whom.subject(args.quiet))
    };
    let recorded = record(&options, args.quiet);
    if let Some(pusher) = pusher {
        pusher.finish(args.quiet);
    }
    recorded.map_err(|error| match error.downcast_ref::<RecordError>() {
        Some(RecordError::Output(..)) => anyhow::anyhow!("{error}; choose another file with -o"),
        _ => error,
    })
}

/// Records, prints the summary, and returns the program's own exit status.
pub(crate) fn record(options: &Options, quiet: bool) -> anyhow::Result<ExitCode> {
    let shown = Shown { quiet, ..Shown::default() };
    let outcome = cgoprof_collector::record(options, &shown)?;
    let program = match &options.subject {
        Subject::Command(command) => command[0].to_string_lossy().into_owned(),
        Subject::Process(pid) => format!("process {pid}"),
    };
    if let Some(problem) = &outcome.problem {
        if outcome.profile.is_some() {
            say(problem);
            return Ok(ExitCode::from(if outcome.status == 0 { TOOL_ERROR } else { outcome.status }));
        }
        let others = match outcome.followed {
            None => "",
            Some(0) => "; nor was a program that it started",
            Some(_) if shown.has_failed.get() && outcome.status == 0 => return Ok(ExitCode::from(TOOL_ERROR)),
            Some(_) => return Ok(ExitCode::from(outcome.status)),
        };
        let way_out = way_out(problem, &options.subject);
        say(format_args!("{program} ran without being recorded: {problem}{others}{way_out}"));
    }
    if let (Some(profile), false) = (&outcome.profile, quiet) {
        if outcome.followed.is_some() {
            say(format_args!("{} ({}):", printable(&program), profile.target.pid));
        }
        summary(profile, outcome.file.as_deref());
    }
    let has_failed = shown.has_failed.get() && outcome.status == 0;
    Ok(ExitCode::from(if has_failed { TOOL_ERROR } else { outcome.status }))
}

/// Returns the way out for a program that was not recorded.
fn way_out(problem: &Problem, subject: &Subject) -> String {
    let Subject::Command(command) = subject else { return String::new() };
    match problem {
        Problem::Target(TargetError::NotGo) => {
            let name = Path::new(&command[0]).file_name().unwrap_or_default().to_string_lossy();
            format!("; if it loads a Go library: cgoprof record --wait {}, or record -p PID", printable(&name))
        }
        Problem::Engine(..) | Problem::NoEngine(_) => "; --require makes that an error".into(),
        _ => String::new(),
    }
}

/// Returns the exit status for an error of this subcommand; none for another error.
pub(crate) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    match error.downcast_ref::<RecordError>()? {
        RecordError::Launch(LaunchError::NotFound(_)) => Some(127),
        RecordError::Launch(LaunchError::NotExecutable(..)) => Some(126),
        _ => None,
    }
}

fn summary(profile: &Profile, file: Option<&Path>) {
    let (crossings, _) = analysis::totals(profile);
    let run = profile.recording.duration_ns as f64;
    let counted = format!("{} crossings in {}", count(crossings.calls), time(run));
    if !profile.recording.counted() {
        sampled_summary(profile);
    } else if crossings.timed > 0 {
        let (c, overhead) = (crossings.c_self(), crossings.overhead());
        let c = with_error(c, crossings.c.standard_error());
        let overhead = with_error(overhead.sum, overhead.standard_error());
        let doing = if profile.recording.phases_timed() { "getting to C and back" } else { "waiting for a P" };
        say(format_args!("{counted}, {c} of them in C, {overhead} {doing}"));
    } else {
        say(counted);
    }
    if let Some(split) = CpuSplit::of(profile) {
        say(split.line());
    }
    if let Some(line) = oversubscription::line(profile).filter(|_| oversubscription::is_oversubscribed(profile)) {
        say(line);
    }
    let counted = analysis::by_function(profile).into_iter().filter(|row| row.via != Via::Runtime);
    for row in counted.filter(|row| row.stats.timed > 0).take(3) {
        let total = row.stats.total();
        let (calls, name) = (calls(row.stats.calls), printable(&row.function.name));
        let (shown, share) = (with_error(total.sum, total.standard_error()), percent(total.sum / run));
        let way = if row.via == Via::Direct { "  [direct]" } else { "" };
        say(format_args!("  {shown:>17}  {share:>7} of the run  {calls}  {name}{way}"));
    }
    for note in &profile.recording.notes {
        say(note);
    }
    if let Some(file) = file {
        say_written(file, "");
    }
}

/// Maximum number of programs with a summary.
const MOST_SUMMARIES: u32 = 20;

/// Says that a profile is written, and how to see it.
fn say_written(file: &Path, with_what: &str) {
    if file.as_os_str() != profile_file::STANDARD_OUTPUT {
        let file = file.display();
        say(format_args!("written {file}{with_what}; see it with: cgoprof tui {file}, or cgoprof report {file}"));
    }
}

fn sampled_summary(profile: &Profile) {
    let run = profile.recording.duration_ns as f64;
    let samples: u64 = profile.samples.iter().map(|stack| stack.samples).sum();
    say(format_args!("{} samples in {}", count(samples), time(run)));
    for row in analysis::by_function(profile).iter().take(3) {
        let cpu = row.cpu.unwrap_or_default().nanos;
        say(format_args!(
            "  {:>9}  {:>7} of the run  in {}",
            time(cpu),
            percent(cpu / run),
            printable(&row.function.name)
        ));
    }
}

/// Prints the events of a recording. Shows a spinner if the lookup of symbols takes long enough to be noticed.
#[derive(Default)]
struct Shown {
    quiet: bool,
    /// Whether a recording of those that a command started has failed.
    has_failed: std::cell::Cell<bool>,
    /// Number of programs with a summary so far.
    summaries: std::cell::Cell<u32>,
    /// Whether it was said that a file takes one profile only.
    takes_one: std::cell::Cell<bool>,
    bar: std::cell::OnceCell<indicatif::ProgressBar>,
}

impl Progress for Shown {
    fn waiting(&self, pid: Pid, program: &Path) {
        if !self.quiet {
            let program = printable(&program.display().to_string());
            say(format_args!(
                "process {pid} ({program}) has no Go code yet: waiting until it loads some; Ctrl-C ends that"
            ));
        }
    }

    fn joined(&self, pid: Pid, engine: EngineKind) {
        if !self.quiet {
            say(format_args!(
                "recording process {pid} with engine {engine}; Ctrl-C ends the recording, not the program"
            ));
        }
    }

    fn not_recorded(&self, problem: &Problem) {
        say(format_args!("the program runs without being recorded: {problem}"));
    }

    fn recorded(&self, program: &Path, pid: Pid, recorded: Result<Outcome, RecordError>) {
        let shown = format!("{} ({pid})", printable(&program.display().to_string()));
        match recorded {
            Ok(outcome) => {
                if let Some(problem) = &outcome.problem {
                    self.has_failed.set(true);
                    say(format_args!("{shown}: {problem}"));
                } else if let (Some(profile), false) = (&outcome.profile, self.quiet) {
                    let summaries = self.summaries.get() + 1;
                    self.summaries.set(summaries);
                    if summaries <= MOST_SUMMARIES {
                        say(format_args!("{shown}:"));
                        summary(profile, outcome.file.as_deref());
                    } else if summaries == MOST_SUMMARIES + 1 {
                        say("more programs are recorded: their summaries are left out");
                    }
                    if summaries > MOST_SUMMARIES {
                        outcome.file.iter().for_each(|file| say_written(file, ""));
                    }
                }
            }
            Err(error) => {
                self.has_failed.set(true);
                say(format_args!("{shown}: {error}"));
            }
        }
    }

    fn written(&self, written: &SharedFile, problem: Option<&Problem>) {
        if let Some(problem) = problem {
            self.has_failed.set(true);
            say(problem);
        } else if !self.quiet {
            let processes = match written.processes {
                1 => String::new(),
                many => format!(" with {} processes", count(many as u64)),
            };
            say_written(&written.file, &processes);
        }
    }

    fn passed_over(&self, program: &Path, pid: Pid, problem: &Problem) {
        let shown = printable(&program.display().to_string());
        if matches!(problem, Problem::Write(..)) {
            self.has_failed.set(true);
        }
        if matches!(problem, Problem::OneProfile(_)) && self.takes_one.replace(true) {
            return;
        }
        say(format_args!("{shown} ({pid}) runs without being recorded: {problem}"));
    }

    fn symbolizing(&self, stacks: usize) {
        if stacks < 1000 {
            return;
        }
        let bar = self.bar.get_or_init(indicatif::ProgressBar::new_spinner);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.set_message(format!("cgoprof: looking up symbols of {} stacks", count(stacks as u64)));
    }

    fn symbolized(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
