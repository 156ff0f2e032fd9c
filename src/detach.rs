//! `cgoprof detach`: removes the hooks of a killed recorder from a process.

use std::process::ExitCode;

use nix::unistd::Pid;

use crate::notice::say;

/// Remove what a killed recorder left in a process
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Process ID
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let detached = cgoprof_collector::detach(Pid::from_raw(args.pid))?;
    let pid = args.pid;
    for (recorder, name) in &detached.recorders {
        say(format_args!("{name} ({recorder}) was recording process {pid}: it counts nothing from now on"));
    }
    match (detached.found, detached.kept) {
        (0, _) => say(format_args!("process {pid} has nothing of cgoprof's in it")),
        (_, 0) => say(format_args!("process {pid} is as it was; it stood still for {}", detached.pause)),
        (_, kept) => say(format_args!(
            "process {pid} has its own code back; {kept} mappings stay, because a thread may return to them from C: run \
             this again later"
        )),
    }
    Ok(ExitCode::SUCCESS)
}
