//! Arguments that `record` and `top` share: the program, and how it is measured.

use std::ffi::OsString;
use std::time::Duration;

use cgoprof_collector::engines::trampoline::{MAX_OVERHEAD, Timing};
use cgoprof_collector::record::{EngineKind, Options, Subject, WaitsMode};
use cgoprof_viewer::units::printable;
use clap::ValueEnum;
use nix::unistd::Pid;

use crate::notice::say;

/// The program.
#[derive(clap::Args)]
#[command(next_help_heading = "Program")]
pub(crate) struct Whom {
    /// Attach to PID; finish when it exits, after --duration, or on Ctrl-C
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..), conflicts_with = "command")]
    pid: Option<i32>,
    /// Wait for a program with this name, then attach
    #[arg(long, value_name = "NAME", conflicts_with_all = ["command", "pid"])]
    wait: Option<String>,
    /// Program to run, and its arguments
    #[arg(required_unless_present_any = ["pid", "wait"], trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// How it is measured.
#[derive(clap::Args)]
#[command(next_help_heading = "Measurement")]
pub(crate) struct How {
    /// Way to count crossings
    #[arg(long, value_enum, default_value_t = EngineArg::Auto)]
    engine: EngineArg,
    /// Which crossings are timed; all are counted
    #[arg(long, value_enum, default_value_t = TimingArg::Auto)]
    timing: TimingArg,
    /// Cost that --timing auto may add, as a share of the crossing's own unrecorded time [default: 0.1]
    #[arg(long, value_name = "SHARE", value_parser = positive)]
    max_overhead: Option<f64>,
    /// Maximum Go frames per stack
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256))]
    stack_depth: u16,
    /// Maximum memory of the hooks' tables in the program (64M, 1G) [default: an eighth of the memory available to it, at most 256M]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_memory: Option<u64>,
    /// C time from which a crossing is slow: slow ones get blocked times and a timeline (50us, 1ms)
    #[arg(long, default_value = "10us", value_parser = humantime::parse_duration)]
    slow: Duration,
    /// Samples per second of each thread's processor time
    #[arg(long, default_value_t = 199, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    freq: u32,
    /// Take no samples: no frames inside C, no CPU of functions with callbacks, waits by looks unless --waits every
    #[arg(long, conflicts_with = "freq")]
    no_samples: bool,
    /// How it is found where C waits
    #[arg(long, value_enum, default_value_t = WaitsArg::Auto)]
    waits: WaitsArg,
    /// Finish after this time (10s, 500ms); the program keeps running
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Ask the servers in DEBUGINFOD_URLS for debug information that is not here, for a minute or TIME
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1m",
          value_parser = humantime::parse_duration)]
    debuginfod: Option<Duration>,
}

#[derive(Clone, Copy, ValueEnum)]
enum EngineArg {
    /// The first one that works
    Auto,
    /// Hooks in the program: every crossing, 5 to 50 ns each
    Trampoline,
    /// Kernel breakpoints: every crossing, 4 us each; needs root
    Uprobe,
    /// Samples only: an estimate of processor time in C
    Sample,
}

#[derive(Clone, Copy, ValueEnum)]
enum TimingArg {
    /// Every crossing
    Every,
    /// As many as a standard error of 1.4 % needs, within --max-overhead
    Auto,
    /// No crossing
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum WaitsArg {
    /// From every wait, where that is permitted and there are fewer than 5,000 context switches a second; else by looks
    Auto,
    /// From every wait: 2 to 5 us for each context switch; needs root, or kernel.perf_event_paranoid=1 and
    /// kernel.kptr_restrict=0
    Every,
    /// By looks every 20 ms on average
    Looks,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 => Ok(share),
        _ => Err("a number greater than 0 is needed: 0.1 for a tenth".into()),
    }
}

/// Parses a size as `ulimit` and control groups take it: bytes, or K, M or G of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(|last: char| !last.is_ascii_digit()).len());
    let shift = match unit.trim_end_matches(['b', 'B', 'i']).to_ascii_lowercase().as_str() {
        "" => Some(0),
        "k" => Some(10),
        "m" => Some(20),
        "g" => Some(30),
        _ => None,
    };
    let size = shift.and_then(|shift| number.parse::<u64>().ok()?.checked_mul(1 << shift));
    match size {
        Some(size) if size >= 2 << 20 => Ok(size),
        Some(_) => Err("2M at least".into()),
        None => Err("a size is needed: 64M or 1G".into()),
    }
}

impl Whom {
    /// Returns the program, once it is there.
    pub(crate) fn subject(&self, quiet: bool) -> Subject {
        match (self.pid, &self.wait) {
            (Some(pid), _) => Subject::Process(Pid::from_raw(pid)),
            (None, Some(name)) => Subject::Process(wait_for(name, quiet)),
            (None, None) => Subject::Command(self.command.clone()),
        }
    }
}

fn wait_for(name: &str, quiet: bool) -> Pid {
    if !quiet {
        say(format_args!("waiting for a program called {} to start", printable(name)));
    }
    cgoprof_collector::process::wait_for_name::wait_for(name)
}

impl How {
    /// Returns why options would have no effect, if they would have none.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        if self.max_overhead.is_some() && !matches!(self.timing, TimingArg::Auto) {
            return Some("--max-overhead bounds --timing auto: every and none do not choose how often they time");
        }
        if matches!((self.waits, self.engine), (WaitsArg::Every, EngineArg::Sample)) {
            return Some("--waits every finds where crossings are blocked, and --engine sample sees no crossings");
        }
        None
    }

    /// Whether crossings are not counted, only sampled.
    pub(crate) fn samples_only(&self) -> bool {
        matches!(self.engine, EngineArg::Sample)
    }

    /// Whether the recording ends before the program.
    pub(crate) fn has_duration(&self) -> bool {
        self.duration.is_some()
    }

    /// Returns the options, without an output file.
    pub(crate) fn options(&self, subject: Subject) -> Options {
        Options {
            subject,
            engine: match self.engine {
                EngineArg::Auto => None,
                EngineArg::Trampoline => Some(EngineKind::Trampoline),
                EngineArg::Uprobe => Some(EngineKind::Uprobe),
                EngineArg::Sample => Some(EngineKind::Sample),
            },
            output: None,
            streams: None,
            timing: match self.timing {
                TimingArg::Every => Timing::Every,
                TimingArg::Auto => Timing::Auto,
                TimingArg::None => Timing::None,
            },
            max_overhead: self.max_overhead.unwrap_or(MAX_OVERHEAD),
            stack_depth: usize::from(self.stack_depth),
            slow: self.slow,
            max_memory: self.max_memory,
            frequency: if self.no_samples { 0 } else { self.freq },
            waits: match self.waits {
                WaitsArg::Auto if self.no_samples => WaitsMode::Looks,
                WaitsArg::Auto => WaitsMode::Auto,
                WaitsArg::Every => WaitsMode::Every,
                WaitsArg::Looks => WaitsMode::Looks,
            },
            duration: self.duration,
            debuginfod: self.debuginfod,
            require: false,
            follow: false,
            per_process: false,
            start_after: None,
            control: false,
            subscriber: None,
        }
    }
}
