//! `cgoprof export`: writes a profile in a format for other programs.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use cgoprof_viewer::export::FORMATS;
use clap::builder::PossibleValue;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use crate::notice::say;
use crate::profile_file;

/// Write a profile in a format for other programs
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Profile to write
    #[arg(default_value = profile_file::DEFAULT)]
    file: PathBuf,
    /// Output format
    #[arg(long, value_parser = formats().map(|name| format(&name)))]
    format: usize,
    /// File to write; - for standard output
    #[arg(short, long, default_value = profile_file::STANDARD_OUTPUT)]
    output: PathBuf,
}

/// Returns the parser for the names of all formats.
fn formats() -> PossibleValuesParser {
    PossibleValuesParser::new(FORMATS.iter().map(|format| PossibleValue::new(format.name()).help(format.about())))
}

/// Returns the index of a format in [`FORMATS`].
fn format(name: &str) -> usize {
    FORMATS.iter().position(|format| format.name() == name).unwrap_or(0)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let profile = profile_file::read(&args.file)?;
    let written = FORMATS[args.format].write(&profile).with_context(|| args.file.display().to_string())?;
    if args.output.as_os_str() == profile_file::STANDARD_OUTPUT {
        std::io::stdout().write_all(&written)?;
        return Ok(ExitCode::SUCCESS);
    }
    std::fs::write(&args.output, written).with_context(|| format!("cannot write {}", args.output.display()))?;
    say(format_args!("written {}", args.output.display()));
    Ok(ExitCode::SUCCESS)
}
