//! `cgoprof report`: prints a profile as a table or as JSON.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use cgoprof_viewer::report::table::Extent;
use cgoprof_viewer::report::{By, json, text};
use cgoprof_viewer::tables::inside::Group;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, ValueEnum};

use crate::{Cli, profile_file};

/// Show a profile as a table or as JSON
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Profile to show
    #[arg(default_value = profile_file::DEFAULT)]
    file: PathBuf,
    /// Group rows by [default: function]
    #[arg(long, value_enum)]
    by: Option<ByArg>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Maximum number of rows [default: 20]
    #[arg(long)]
    limit: Option<usize>,
    /// Number of slowest crossings to list, with what each was blocked in
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["by", "limit"])]
    slowest: Option<usize>,
    /// Add P90 and MAX of C, and quantiles of the overhead: to functions, sites and packages
    #[arg(long)]
    quantiles: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ByArg {
    /// C functions
    Function,
    /// Lines of Go that call C
    Site,
    /// Stacks, C frames first
    Stack,
    /// Threads, and why the runtime made them
    Thread,
    /// Goroutines, and callers of LockOSThread
    Goroutine,
    /// Go packages that call C
    Package,
    /// Stacks that were blocked in C, with what they waited in
    Blocked,
    /// Functions inside C, by samples
    C,
    /// Lines of C, by samples
    Line,
    /// The program and its libraries, by samples in C
    Library,
    /// Go functions that C calls
    Callback,
    /// Advice, with its evidence
    Advice,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A table
    Text,
    /// All tables, without --by, --limit and --slowest; docs/report-json.md
    Json,
}

/// Default for the maximum number of rows.
const ROWS: usize = 20;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let shapes_tables = args.by.is_some() || args.limit.is_some() || args.slowest.is_some() || args.quantiles;
    if matches!(args.format, Format::Json) && shapes_tables {
        let why = "--by, --limit, --slowest and --quantiles are for tables: JSON contains all rows, by each of them";
        Cli::command().error(ErrorKind::ArgumentConflict, why).exit();
    }
    let has_quantiles = |by| matches!(by, ByArg::Function | ByArg::Site | ByArg::Package);
    if args.quantiles && (args.slowest.is_some() || !args.by.is_none_or(has_quantiles)) {
        let why = "--quantiles are columns of --by function, site and package";
        Cli::command().error(ErrorKind::ArgumentConflict, why).exit();
    }
    let profile = profile_file::read(&args.file)?;
    let limit = args.slowest.or(args.limit).unwrap_or(ROWS);
    let extent = Extent { limit, quantiles: args.quantiles };
    let by = match args.by.unwrap_or(ByArg::Function) {
        _ if args.slowest.is_some() => By::Slowest,
        ByArg::Function => By::Function,
        ByArg::Site => By::Site,
        ByArg::Stack => By::Stack,
        ByArg::Thread => By::Thread,
        ByArg::Goroutine => By::Goroutine,
        ByArg::Package => By::Package,
        ByArg::Blocked => By::Blocked,
        ByArg::C => By::Inside(Group::Function),
        ByArg::Line => By::Inside(Group::Line),
        ByArg::Library => By::Inside(Group::Library),
        ByArg::Callback => By::Callback,
        ByArg::Advice => By::Advice,
    };
    let report = match args.format {
        Format::Text => text::write(&profile, by, extent),
        Format::Json => json::write(&profile)? + "\n",
    };
    std::io::stdout().write_all(report.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
