//! `cgoprof completions`: a script for a shell.

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Cli;

/// Print the script that completes cgoprof's arguments in a shell
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof completions bash > /etc/bash_completion.d/cgoprof
  cgoprof completions zsh > \"${fpath[1]}/_cgoprof\"
  cgoprof completions fish > ~/.config/fish/completions/cgoprof.fish")]
pub(crate) struct Args {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cgoprof", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
