//! `cgoprof record`: run a program and write its profile.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cgoprof_collector::process::launch::LaunchError;
use cgoprof_collector::record::{EngineKind, Options, Progress, RecordError, Subject};
use cgoprof_collector::trampoline::Timing;
use cgoprof_profile::Profile;
use cgoprof_viewer::analysis;
use cgoprof_viewer::units::{count, percent, printable, time};
use clap::ValueEnum;
use nix::unistd::Pid;

use crate::notice::say;
use crate::{TOOL_ERROR, profile_file};

/// Run a program and record its Go/C crossings
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File to write the profile to
    #[arg(short, long, default_value = profile_file::DEFAULT)]
    output: PathBuf,
    /// How often crossings are timed; all are counted
    #[arg(long, value_enum, default_value_t = TimingArg::Auto)]
    timing: TimingArg,
    /// Most Go frames kept of a stack
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256))]
    stack_depth: u16,
    /// C time from which on a crossing is looked up in the threads' context switches (50us, 1ms)
    #[arg(long, default_value = "10us", value_parser = humantime::parse_duration)]
    slow: Duration,
    /// Samples a second of each thread's processor time
    #[arg(long, default_value_t = 199, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    freq: u32,
    /// Take no samples of what runs: no CPU times, nothing of what C does inside
    #[arg(long, conflicts_with = "freq")]
    no_samples: bool,
    /// Finish the profile after this time (10s, 500ms); the program runs on
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Print no summary
    #[arg(short, long)]
    quiet: bool,
    /// What counts crossings; auto takes the first that works
    #[arg(long, value_enum, default_value_t = EngineArg::Auto)]
    engine: EngineArg,
    /// Record a process that runs, to its end, --duration or Ctrl-C
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..), conflicts_with = "command")]
    pid: Option<i32>,
    /// Record the next program of this name that somebody starts
    #[arg(long, value_name = "NAME", conflicts_with_all = ["command", "pid"])]
    wait: Option<String>,
    /// Program and its arguments
    #[arg(required_unless_present_any = ["pid", "wait"], trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum EngineArg {
    /// The first of these that works
    Auto,
    /// Hooks in the program: every crossing, for some nanoseconds
    Trampoline,
    /// Breakpoints of the kernel: every crossing, for some microseconds, as root
    Uprobe,
    /// Samples alone: an estimate of the time in C
    Sample,
}

#[derive(Clone, Copy, ValueEnum)]
enum TimingArg {
    /// Every crossing
    Every,
    /// As often as a standard error of about 1 % needs
    Auto,
    /// Counts only
    None,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = Options {
        subject: match (args.pid, &args.wait) {
            (Some(pid), _) => Subject::Process(Pid::from_raw(pid)),
            (None, Some(name)) => Subject::Process(wait_for(name, args.quiet)),
            (None, None) => Subject::Command(args.command.clone()),
        },
        engine: match args.engine {
            EngineArg::Auto => None,
            EngineArg::Trampoline => Some(EngineKind::Trampoline),
            EngineArg::Uprobe => Some(EngineKind::Uprobe),
            EngineArg::Sample => Some(EngineKind::Sample),
        },
        output: args.output.clone(),
        timing: match args.timing {
            TimingArg::Every => Timing::Every,
            TimingArg::Auto => Timing::Auto,
            TimingArg::None => Timing::None,
        },
        stack_depth: usize::from(args.stack_depth),
        slow: args.slow,
        frequency: if args.no_samples { 0 } else { args.freq },
        duration: args.duration,
    };
    record(&options, args.quiet)
}

fn wait_for(name: &str, quiet: bool) -> Pid {
    if !quiet {
        say(format_args!("waiting for a program called {} to start", printable(name)));
    }
    cgoprof_collector::process::named::wait_for(name)
}

/// Records, prints the summary, gives the program's own exit status.
pub(crate) fn record(options: &Options, quiet: bool) -> anyhow::Result<ExitCode> {
    let outcome = cgoprof_collector::record(options, &Spinner { quiet, ..Spinner::default() })?;
    let program = match &options.subject {
        Subject::Command(command) => command[0].to_string_lossy().into_owned(),
        Subject::Process(pid) => format!("process {pid}"),
    };
    if let Some(problem) = &outcome.problem {
        if outcome.profile.is_some() {
            say(problem);
            return Ok(ExitCode::from(if outcome.status == 0 { TOOL_ERROR } else { outcome.status }));
        }
        say(format_args!("{program} ran without being recorded: {problem}"));
    }
    if let (Some(profile), false) = (&outcome.profile, quiet) {
        summary(profile, options);
    }
    for other in outcome.others.iter().filter(|_| !quiet) {
        match other {
            Ok(file) => say(format_args!("written {}, of another Go runtime in the process", file.display())),
            Err(why) => say(why),
        }
    }
    Ok(ExitCode::from(outcome.status))
}

/// The exit status that an error of this subcommand asks for, if it is one.
pub(crate) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    match error.downcast_ref::<RecordError>()? {
        RecordError::Launch(LaunchError::NotFound(_)) => Some(127),
        RecordError::Launch(LaunchError::NotExecutable(..)) => Some(126),
        _ => None,
    }
}

fn summary(profile: &Profile, options: &Options) {
    let (crossings, _) = analysis::totals(profile);
    let run = profile.recording.duration_ns as f64;
    let counted = format!("{} crossings in {}", count(crossings.calls), time(run));
    if !profile.recording.counted() {
        sampled_summary(profile);
    } else if crossings.timed > 0 {
        let (c, overhead) = (time(crossings.c_self()), time(crossings.overhead().sum));
        let doing = if profile.recording.phases_timed() { "getting there and back" } else { "waiting to get back" };
        say(format_args!("{counted}, {c} of them in C, {overhead} {doing}"));
    } else {
        say(counted);
    }
    for row in analysis::by_function(profile).iter().take(3).filter(|row| row.stats.timed > 0) {
        let total = row.stats.total().sum;
        let (calls, name) = (count(row.stats.calls), printable(&row.function.name));
        say(format_args!("  {:>9}  {:>7} of the run  {calls} calls  {name}", time(total), percent(total / run)));
    }
    for note in &profile.recording.notes {
        say(note);
    }
    let file = options.output.display();
    say(format_args!("written {file}; see it with: cgoprof report {file}"));
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

/// Says what goes on, and shows that symbols are looked up when that takes long enough to be noticed.
#[derive(Default)]
struct Spinner {
    quiet: bool,
    bar: std::cell::OnceCell<indicatif::ProgressBar>,
}

impl Progress for Spinner {
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
