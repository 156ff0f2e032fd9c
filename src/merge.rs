//! `cgoprof merge`: adds profiles up.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use cgoprof_profile::Encoder;
use cgoprof_profile::merge::Merger;

use crate::notice::say;
use crate::profile_file;

/// Add profiles up, of several runs or processes
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof merge -o all.pb.gz host1.pb.gz host2.pb.gz
  cgoprof merge -o week.pb.gz profiles/

The sum has crossings, samples, waits, callbacks and locks, by function and stack. Threads, goroutines and the timeline are left out.")]
pub(crate) struct Args {
    /// Profiles, or folders with profiles
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// File for the sum; - is standard output
    #[arg(short, long, value_parser = profile_file::output)]
    output: PathBuf,
}

/// The profile may have names that only its user may see.
const MODE: u32 = 0o600;

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut merger = Merger::default();
    let mut merged = 0;
    for path in args.files.iter().map(|path| profile_file::all_in(path)).collect::<anyhow::Result<Vec<_>>>()?.concat() {
        merger.add(&profile_file::read(&path)?).with_context(|| path.display().to_string())?;
        merged += 1;
    }
    let bytes = Encoder::default().member(&merger.finish());
    if args.output.as_os_str() == profile_file::STANDARD_OUTPUT {
        std::io::stdout().write_all(&bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let written = || format!("cannot write {}", args.output.display());
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(MODE).open(&args.output);
    file.and_then(|mut file| file.write_all(&bytes)).with_context(written)?;
    say(format_args!("written {}, the sum of {merged} profiles", args.output.display()));
    Ok(ExitCode::SUCCESS)
}
