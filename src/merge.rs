//! `cgoprof merge`: adds profiles up.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use cgoprof_profile::merge::{MergeError, Merger};
use cgoprof_profile::{Encoder, Profile, processes};
use cgoprof_viewer::units::count;

use crate::notice::say;
use crate::{profile_file, written_file};

/// Add profiles up, of several runs or processes
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof merge -o all.pb.gz host1.pb.gz host2.pb.gz
  cgoprof merge -o week.pb.gz profiles/
  cgoprof merge --processes -o tests.pb.gz parts/

Without --processes, the sum has crossings, samples, waits, callbacks and locks, by function and stack. Threads, goroutines and the timeline are left out.")]
pub(crate) struct Args {
    /// Profiles, or folders with profiles
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// File for the sum; - is standard output
    #[arg(short, long, value_parser = profile_file::output)]
    output: PathBuf,
    /// Keep processes separate, with threads, goroutines and timelines; loads all profiles into memory
    #[arg(long)]
    processes: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let paths = args.files.iter().map(|path| profile_file::all_in(path)).collect::<anyhow::Result<Vec<_>>>()?.concat();
    if let Some(path) = paths.iter().find(|path| written_file::is_same(path, &args.output)) {
        bail!("{} would be added to itself: name a file for the sum that is none of the profiles", path.display());
    }
    let merged = if args.processes { combined(&paths)? } else { sum(&paths)? };
    let bytes = Encoder::default().member(&merged);
    if args.output.as_os_str() == profile_file::STANDARD_OUTPUT {
        std::io::stdout().write_all(&bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    written_file::write(&args.output, written_file::PRIVATE, |output| Ok(output.write_all(&bytes)?))?;
    let plural = if paths.len() == 1 { "" } else { "s" };
    let what = match merged.processes.len() {
        0 if args.processes => "with 1 process".to_owned(),
        0 => format!("the sum of {} profile{plural}", count(paths.len() as u64)),
        many => format!("with {} processes", count(many as u64)),
    };
    say(format_args!("written {}, {what}", args.output.display()));
    Ok(ExitCode::SUCCESS)
}

/// Adds profiles up, one after the other.
fn sum(paths: &[PathBuf]) -> anyhow::Result<Profile> {
    let mut merger = Merger::default();
    for path in paths {
        merger.add(&profile_file::read(path)?).with_context(|| path.display().to_string())?;
    }
    Ok(merger.finish())
}

/// Returns all processes of profiles in one.
fn combined(paths: &[PathBuf]) -> anyhow::Result<Profile> {
    let mut all = Vec::new();
    for path in paths {
        let profile = profile_file::read(path)?;
        match profile.processes.len() {
            0 if profile.recording.recordings > 0 => {
                bail!("{} is a sum of recordings, which does not tell processes apart", path.display())
            }
            0 => all.push(Arc::new(profile)),
            _ => all.extend(profile.processes),
        }
    }
    processes::combine(all).map_err(|error| match error {
        MergeError::Differs(why) => anyhow::anyhow!("these profiles can't be combined: {why}"),
        MergeError::TooMany => error.into(),
    })
}
