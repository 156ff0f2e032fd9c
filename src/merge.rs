//! `cgoprof merge`: adds profiles up.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use cgoprof_profile::Encoder;
use cgoprof_profile::merge::Merger;
use cgoprof_viewer::units::count;

use crate::notice::say;
use crate::{profile_file, written_file};

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

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let paths = args.files.iter().map(|path| profile_file::all_in(path)).collect::<anyhow::Result<Vec<_>>>()?.concat();
    let mut merger = Merger::default();
    for path in &paths {
        if written_file::is_same(path, &args.output) {
            bail!("{} would be added to itself: name a file for the sum that is none of the profiles", path.display());
        }
        merger.add(&profile_file::read(path)?).with_context(|| path.display().to_string())?;
    }
    let bytes = Encoder::default().member(&merger.finish());
    if args.output.as_os_str() == profile_file::STANDARD_OUTPUT {
        std::io::stdout().write_all(&bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    written_file::write(&args.output, written_file::PRIVATE, |output| Ok(output.write_all(&bytes)?))?;
    let plural = if paths.len() == 1 { "" } else { "s" };
    say(format_args!("written {}, the sum of {} profile{plural}", args.output.display(), count(paths.len() as u64)));
    Ok(ExitCode::SUCCESS)
}
