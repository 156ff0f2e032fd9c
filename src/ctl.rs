//! `cgoprof ctl`: commands to a recording that runs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use cgoprof_collector::record::control::{Command, Controllable, recordings, send};
use cgoprof_collector::record::output_name::with_infix;
use cgoprof_viewer::units::printable;
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
        #[arg(short, long, default_value = "cgoprof-snapshot.pb.gz", value_parser = profile_file::output)]
        output: PathBuf,
    },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let pid = Pid::from_raw(args.pid);
    let found = recordings(pid);
    if found.is_empty() {
        bail!(
            "process {pid} is not recorded by `cgoprof record` of this PID and network namespace, nor such a recorder"
        );
    }
    let is_one = found.len() == 1;
    if let What::Snapshot { output } = &args.what
        && output.as_os_str() == profile_file::STANDARD_OUTPUT
        && !is_one
    {
        bail!("standard output takes one profile, and several programs are recorded; name a file with -o");
    }
    // One that can't follow does not keep the others from it.
    let failed: Vec<String> = found
        .iter()
        .filter_map(|recording| {
            let why = order(recording, &args.what, is_one).err()?;
            Some(format!("the recording of process {}: {why:#}", recording.program))
        })
        .collect();
    if failed.is_empty() { Ok(ExitCode::SUCCESS) } else { bail!("{}", failed.join("; ")) }
}

/// Sends a command to one recording.
fn order(recording: &Controllable, what: &What, is_one: bool) -> anyhow::Result<()> {
    let command = match what {
        What::Pause => Command::Pause,
        What::Resume => Command::Resume,
        What::Snapshot { .. } => Command::Snapshot,
    };
    let answer = send(recording, command)?;
    match what {
        What::Snapshot { output } => write(recording, output, &answer, is_one),
        // It is paused, with something to say about it.
        _ if !answer.is_empty() => bail!("{}", printable(&String::from_utf8_lossy(&answer))),
        _ => Ok(()),
    }
}

/// Writes a snapshot, under a name with the process if it is not the only one. The answer is a line with the recording's own
/// file, and the snapshot.
fn write(recording: &Controllable, output: &Path, answer: &[u8], is_one: bool) -> anyhow::Result<()> {
    let end = answer.iter().position(|&byte| byte == b'\n').context("its recorder is another version of cgoprof")?;
    let (own, content) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 1..]);
    if output.as_os_str() == profile_file::STANDARD_OUTPUT {
        return Ok(std::io::stdout().write_all(content)?);
    }
    let path = if is_one { output.to_owned() } else { with_infix(output, &recording.program.to_string()) };
    if written_file::is_same(&path, Path::new(&*own)) {
        bail!("{} is the file that it writes itself; choose another with -o", path.display());
    }
    written_file::write(&path, written_file::PRIVATE, |file| Ok(file.write_all(content)?))?;
    say(format_args!("written {}; see it with: cgoprof report {}", path.display(), path.display()));
    Ok(())
}
