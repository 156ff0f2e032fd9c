//! `cgoprof ctl`: commands to a recording that runs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use cgoprof_collector::record::control::{Command, Controllable, recordings, send};
use cgoprof_collector::record::output_name::with_process;
use cgoprof_viewer::units::count;
use nix::unistd::Pid;

use crate::notice::say;
use crate::{profile_file, written_file};

/// Pause, resume or take a snapshot of a recording that runs
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof record -p 4711 &
  cgoprof ctl 4711 pause                  # detaches: the program runs as fast as without cgoprof
  cgoprof ctl 4711 resume
  cgoprof ctl 4711 snapshot -o now.pb.gz  # what was recorded so far")]
pub(crate) struct Args {
    /// Process id of a recorded program, or of a recorder; then all its recordings are meant
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Detach from the program and keep what was recorded; what the program does meanwhile is not recorded
    Pause,
    /// Attach to the program again, or for the first time before --start-after has passed
    Resume,
    /// Write a profile of what was recorded so far; the recording goes on
    Snapshot {
        /// File for the profile; - is standard output
        #[arg(short, long, default_value = profile_file::DEFAULT)]
        output: PathBuf,
    },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let pid = Pid::from_raw(args.pid);
    let found = recordings(pid);
    if found.is_empty() {
        bail!("process {pid} is neither recorded nor a recorder (cgoprof record) of this network namespace");
    }
    let is_one = found.len() == 1;
    for recording in &found {
        let command = match args.what {
            What::Pause => Command::Pause,
            What::Resume => Command::Resume,
            What::Snapshot { .. } => Command::Snapshot,
        };
        let content = send(recording, command);
        let content = content.with_context(|| format!("the recording of process {}", recording.program))?;
        if let What::Snapshot { output } = &args.what {
            write(recording, output, &content, is_one)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a snapshot, under a name with the process if it is not the only one.
fn write(recording: &Controllable, output: &Path, content: &[u8], is_one: bool) -> anyhow::Result<()> {
    if output.as_os_str() == profile_file::STANDARD_OUTPUT {
        if !is_one {
            bail!("standard output takes one profile, and several programs are recorded; name a file with -o");
        }
        return Ok(std::io::stdout().write_all(content)?);
    }
    let path = if is_one { output.to_owned() } else { with_process(output, recording.program) };
    written_file::write(&path, written_file::PRIVATE, |file| Ok(file.write_all(content)?))?;
    say(format_args!("written {} ({} bytes)", path.display(), count(content.len() as u64)));
    Ok(())
}
