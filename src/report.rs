//! `cgoprof report`: prints a profile as a table or as JSON.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use cgoprof_viewer::report::tabular::{self, Form};
use cgoprof_viewer::report::view::View;
use cgoprof_viewer::report::{By, json, text};
use cgoprof_viewer::tables::inside::Group;
use clap::ValueEnum;

use crate::table_options::TableOptions;
use crate::{pager, profile_file};

/// Show a profile as a table or as JSON
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof report --by site --filter sqlite3 --sort calls
  cgoprof report --columns total,calls,name,package --limit 5
  cgoprof report --by package --format markdown")]
pub(crate) struct Args {
    /// Profile to show
    #[arg(default_value = profile_file::DEFAULT)]
    file: PathBuf,
    #[command(flatten)]
    process_filter: profile_file::ProcessFilter,
    /// Group rows by [default: function]
    #[arg(long, value_enum)]
    by: Option<ByArg>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    table: TableOptions,
    /// Number of slowest crossings to list, with what each was blocked in
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["by", "limit", "sort", "columns", "filter"])]
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
    /// Processes of a file with several
    Process,
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
    /// All tables, without options that choose of them; docs/report-json.md
    Json,
    /// The table as comma-separated values, times in nanoseconds
    Csv,
    /// The table for a document or a comment
    Markdown,
}

impl Args {
    /// Returns why options would have no effect, if they would have none.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        let by = self.by.unwrap_or(ByArg::Function);
        let chooses = self.table.choose_columns();
        let shapes = self.table.choose() || self.by.is_some() || self.quantiles;
        let has_quantiles = matches!(by, ByArg::Function | ByArg::Site | ByArg::Package);
        let is_table = !matches!(by, ByArg::Stack | ByArg::Blocked) && self.slowest.is_none();
        match self.format {
            Format::Json if shapes || self.slowest.is_some() => Some(
                "--by, --limit, --sort, --columns, --filter, --slowest and --quantiles are for tables: JSON contains all \
                 rows, by each of them",
            ),
            Format::Csv | Format::Markdown if !is_table => {
                Some("--by stack, --by blocked and --slowest are no tables: use --format text or json")
            }
            Format::Json | Format::Csv | Format::Markdown if self.table.no_pager => Some(pager::ONLY_TEXT),
            Format::Csv if self.quantiles => Some("--quantiles adds columns to text: CSV has all"),
            Format::Text if chooses && (!is_table || matches!(by, ByArg::Advice)) => {
                Some("--sort and --columns are for tables, and --by stack, blocked and advice are none")
            }
            Format::Text if self.table.filter() && matches!(by, ByArg::Advice) => {
                Some("--filter is for tables and stacks; advice names them all")
            }
            _ if self.quantiles && (self.slowest.is_some() || !has_quantiles) => {
                Some("--quantiles are columns of --by function, site and package")
            }
            _ if self.quantiles && self.table.name_columns() => Some("--columns chooses quantiles too"),
            _ => None,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let profile = args.process_filter.read(&args.file)?;
    let view = args.table.view(matches!(args.format, Format::Csv));
    let view = View { limit: args.slowest.unwrap_or(view.limit), quantiles: args.quantiles, ..view };
    let by = match args.by.unwrap_or(ByArg::Function) {
        _ if args.slowest.is_some() => By::Slowest,
        ByArg::Function => By::Function,
        ByArg::Site => By::Site,
        ByArg::Stack => By::Stack,
        ByArg::Thread => By::Thread,
        ByArg::Goroutine => By::Goroutine,
        ByArg::Package => By::Package,
        ByArg::Process => By::Process,
        ByArg::Blocked => By::Blocked,
        ByArg::C => By::Inside(Group::Function),
        ByArg::Line => By::Inside(Group::Line),
        ByArg::Library => By::Inside(Group::Library),
        ByArg::Callback => By::Callback,
        ByArg::Advice => By::Advice,
    };
    let table = |form| tabular::write(&profile, by, &view, form);
    let written = match args.format {
        Format::Text => {
            pager::print(&text::write(&profile, by, &view)?, !args.table.no_pager)?;
            return Ok(ExitCode::SUCCESS);
        }
        Format::Json => (json::write(&profile)? + "\n").into_bytes(),
        Format::Csv => table(Form::Csv)?,
        Format::Markdown => table(Form::Markdown)?,
    };
    std::io::stdout().write_all(&written)?;
    Ok(ExitCode::SUCCESS)
}
