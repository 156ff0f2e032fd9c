//! The command line of cgoprof.

mod bench;
mod completions;
mod ctl;
mod demo;
mod detach;
mod diff;
mod doctor;
mod export;
mod flamegraph;
mod inspect;
mod man;
mod merge;
mod notice;
mod pager;
mod profile_file;
mod push;
mod record;
mod report;
mod screen;
mod settings;
mod stat;
mod table_options;
mod top;
mod tui;
mod version;
mod watched;
mod web;
mod written_file;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit status of an error of cgoprof's own, as with `env` and `timeout`.
const TOOL_ERROR: u8 = 125;

/// Where more is told than in the help.
const AFTER_HELP: &str = "Defaults of options are read from ~/.config/cgoprof/config.toml and CGOPROF_COMMAND_OPTION, as CGOPROF_RECORD_FREQ=99.";

/// Profiler for Go programs that call C.
#[derive(Parser)]
#[command(version = version::SHORT, long_version = version::long(), about, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Record(record::Args),
    Stat(stat::Args),
    Bench(bench::Args),
    Report(report::Args),
    Flamegraph(flamegraph::Args),
    Diff(diff::Args),
    Merge(merge::Args),
    Export(export::Args),
    Web(web::Args),
    Tui(tui::Args),
    Top(top::Args),
    Inspect(inspect::Args),
    Ctl(ctl::Args),
    Detach(detach::Args),
    Demo(demo::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CGOPROF_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = settings::parse().and_then(|cli| cli.command.run());
    result.unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        notice::say(format_args!("{}", with_causes(&error)));
        ExitCode::from(record::exit_code(&error).unwrap_or(TOOL_ERROR))
    })
}

impl Command {
    /// Returns why options would have no effect, if they would have none.
    fn refused(&self) -> Option<&'static str> {
        match self {
            Command::Record(args) => args.refused(),
            Command::Stat(args) => args.refused(),
            Command::Bench(args) => args.refused(),
            Command::Report(args) => args.refused(),
            Command::Diff(args) => args.refused(),
            Command::Top(args) => args.refused(),
            _ => None,
        }
    }

    fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Command::Record(args) => record::run(args),
            Command::Stat(args) => stat::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Report(args) => report::run(args),
            Command::Flamegraph(args) => flamegraph::run(args),
            Command::Diff(args) => diff::run(args),
            Command::Merge(args) => merge::run(args),
            Command::Export(args) => export::run(args),
            Command::Web(args) => web::run(args),
            Command::Tui(args) => tui::run(args),
            Command::Top(args) => top::run(args),
            Command::Inspect(args) => inspect::run(args),
            Command::Ctl(args) => ctl::run(args),
            Command::Detach(args) => detach::run(args),
            Command::Demo(args) => demo::run(args),
            Command::Doctor(args) => doctor::run(args),
            Command::Completions(args) => completions::run(args),
            Command::Man(args) => man::run(args),
        }
    }
}

/// Returns an error with its causes. A cause that the text already ends with is left out.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        said if said.ends_with(&cause) => said.to_owned(),
        said => format!("{said}: {cause}"),
    })
}

/// Whether the reader of the output has closed it.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_led_to_an_error_is_said_once() {
        let cause = || std::io::Error::other("no room");
        let check = |error: anyhow::Error, expected: &str| assert_eq!(with_causes(&error), expected);
        check(cause().into(), "no room");
        check(anyhow::Error::new(cause()).context("cannot start"), "cannot start: no room");
        check(anyhow::Error::new(cause()).context("cannot start: no room"), "cannot start: no room");
    }
}
