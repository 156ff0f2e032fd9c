//! `cgoprof report`: a profile as a table or as JSON.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use cgoprof_viewer::report::{By, json, text};
use clap::ValueEnum;

use crate::profile_file;

/// Show a profile as a table or as JSON
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Profile to show
    #[arg(default_value = profile_file::DEFAULT)]
    file: PathBuf,
    /// What the rows are
    #[arg(long, value_enum, default_value_t = ByArg::Function)]
    by: ByArg,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Most rows shown
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum ByArg {
    /// C functions
    Function,
    /// Lines of Go that call C
    Site,
    /// Whole stacks
    Stack,
    /// Threads: what they did, who made them and why
    Thread,
    /// Goroutines: migrations between threads, LockOSThread
    Goroutine,
    /// Go functions that C calls
    Callback,
    /// What could be done, with the evidence
    Advice,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A table
    Text,
    /// Everything, as docs/report-json.md describes
    Json,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let profile = profile_file::read(&args.file)?;
    let by = match args.by {
        ByArg::Function => By::Function,
        ByArg::Site => By::Site,
        ByArg::Stack => By::Stack,
        ByArg::Thread => By::Thread,
        ByArg::Goroutine => By::Goroutine,
        ByArg::Callback => By::Callback,
        ByArg::Advice => By::Advice,
    };
    let report = match args.format {
        Format::Text => text::write(&profile, by, args.limit),
        Format::Json => json::write(&profile)? + "\n",
    };
    std::io::stdout().write_all(report.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
