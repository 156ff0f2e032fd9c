//! `cgoprof export`: writes a profile in a format for other programs.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use cgoprof_viewer::export::FORMATS;
use clap::builder::PossibleValue;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use crate::notice::say;
use crate::{profile_file, written_file};

/// Write a profile in a format for other programs
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Profile to write
    #[arg(default_value = profile_file::DEFAULT)]
    file: PathBuf,
    #[command(flatten)]
    process_filter: profile_file::ProcessFilter,
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
    let format = FORMATS[args.format];
    let is_standard_output = args.output.as_os_str() == profile_file::STANDARD_OUTPUT;
    if is_standard_output && format.is_binary() {
        profile_file::output(profile_file::STANDARD_OUTPUT).map_err(anyhow::Error::msg)?;
    }
    let profile = args.process_filter.read(&args.file)?;
    if is_standard_output {
        let mut output = BufWriter::new(std::io::stdout().lock());
        format.write(&profile, &mut output)?;
        output.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    if written_file::is_same(&args.file, &args.output) {
        bail!("{} is the profile itself: name another file with -o", args.output.display());
    }
    written_file::write(&args.output, written_file::USUAL, |output| Ok(format.write(&profile, output)?))?;
    say(format_args!("written {}", args.output.display()));
    Ok(ExitCode::SUCCESS)
}
