//! `cgoprof man`: manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::Cli;
use crate::notice::say;

/// Write the manual pages: cgoprof(1), and one for each subcommand
#[derive(clap::Args)]
#[command(after_help = "Example:
  cgoprof man ~/.local/share/man/man1 && man cgoprof-record")]
pub(crate) struct Args {
    /// Folder to write to; it is made if it is missing
    folder: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let written = std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &args.folder));
    written.with_context(|| format!("cannot write to {}", args.folder.display()))?;
    say(format_args!("written to {}", args.folder.display()));
    Ok(ExitCode::SUCCESS)
}
