//! `cgoprof flamegraph`: draws a profile as an SVG.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use cgoprof_viewer::export::flamegraph::Drawing;
use cgoprof_viewer::report::view;
use cgoprof_viewer::value::Value;
use clap::ValueEnum;

use crate::notice::say;
use crate::{profile_file, written_file};

/// Draw a profile as a flame graph (SVG)
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Profile to draw
    #[arg(default_value = profile_file::DEFAULT)]
    file: PathBuf,
    #[command(flatten)]
    process_filter: profile_file::ProcessFilter,
    /// File to write; - for standard output
    #[arg(short, long, default_value = "cgoprof.svg", value_parser = profile_file::output)]
    output: PathBuf,
    /// Value that the width of a frame shows [default: total; calls if nothing was timed, cpu if there are only samples]
    #[arg(long, value_enum)]
    value: Option<ValueArg>,
    /// Group by C function first, then by its callers
    #[arg(long)]
    inverted: bool,
    /// Make frames of lines of code, not of functions
    #[arg(long)]
    lines: bool,
    /// Group by thread, then by C function; values are calls and c [default: c]
    #[arg(long, conflicts_with = "lines")]
    by_thread: bool,
    /// Title of the drawing [default: the program and the value]
    #[arg(long)]
    title: Option<String>,
    /// Minimum width of a frame, in percent of the whole [default: 0.01]
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    min_width: Option<f64>,
    /// Regular expression that a function of a stack must match
    #[arg(long, value_name = "REGEX", value_parser = view::expression)]
    filter: Option<view::Regex>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=100.0).contains(&share) => Ok(share),
        _ => Err("a number from 0 to 100 is needed".into()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum ValueArg {
    /// Number of crossings
    Calls,
    /// Time of crossings, getting to C and back included
    Total,
    /// Time in C
    C,
    /// Time getting to C and back
    Overhead,
    /// EXIT: from the return of C until Go runs again
    ExitWait,
    /// Processor time in Go and C
    Cpu,
    /// Time in C in which threads waited
    Blocked,
    /// Time in C in which threads could have run, but had lost their processors
    Preempted,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let profile = args.process_filter.read(&args.file)?;
    let value = match args.value {
        None if args.by_thread && profile.recording.timing != "none" => Value::C,
        None => Value::default_of(&profile),
        Some(ValueArg::Calls) => Value::Calls,
        Some(ValueArg::Total) => Value::Total,
        Some(ValueArg::C) => Value::C,
        Some(ValueArg::Overhead) => Value::Overhead,
        Some(ValueArg::ExitWait) => Value::ExitWait,
        Some(ValueArg::Cpu) => Value::Cpu,
        Some(ValueArg::Blocked) => Value::Blocked,
        Some(ValueArg::Preempted) => Value::Preempted,
    };
    let drawing = Drawing {
        value,
        inverted: args.inverted,
        by_line: args.lines,
        by_thread: args.by_thread,
        title: args.title.as_deref(),
        min_width: args.min_width,
        filter: args.filter.as_ref(),
        below: &[],
    };
    let svg = drawing.draw(&profile).with_context(|| args.file.display().to_string())?;
    if args.output.as_os_str() == profile_file::STANDARD_OUTPUT {
        std::io::stdout().write_all(&svg)?;
        return Ok(ExitCode::SUCCESS);
    }
    written_file::write(&args.output, written_file::USUAL, |output| Ok(output.write_all(&svg)?))?;
    say(format_args!("written {}; open it in a browser", args.output.display()));
    Ok(ExitCode::SUCCESS)
}
