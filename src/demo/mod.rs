//! `cgoprof demo`: builds a small cgo program, records it and shows the result.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use cgoprof_collector::engines::trampoline::{MAX_OVERHEAD, Timing};
use cgoprof_collector::process::launch::find_program;
use cgoprof_collector::record::{Options, Subject, WaitsMode};
use cgoprof_viewer::export::flamegraph::Drawing;
use cgoprof_viewer::report::view::View;
use cgoprof_viewer::report::{By, text};

use crate::notice::say;
use crate::{profile_file, record};

/// Build a small cgo program with the installed Go, record it and show the result
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder to leave the profile and the flame graph in
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

const MAIN_GO: &str = include_str!("main.go.txt");
const GO_MOD: &str = "module cgoprof.demo\n\ngo 1.19\n";

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.dir.is_dir() {
        bail!("{} is not a folder: create it, or name another with --dir", args.dir.display());
    }
    let go = find_program(&OsString::from("go"))
        .context("the demo needs Go: install it (https://go.dev/dl) or put its bin folder on PATH")?;
    let compiler = compiler(&go)?;
    if find_program(&OsString::from(&compiler)).is_err() {
        bail!("the demo needs a C compiler: {compiler} is not on PATH; install gcc or clang, or set CC");
    }
    let folder = tempfile::Builder::new().prefix("cgoprof-demo").tempdir().context("cannot make a temporary folder")?;
    std::fs::write(folder.path().join("main.go"), MAIN_GO)?;
    std::fs::write(folder.path().join("go.mod"), GO_MOD)?;
    say(format_args!("building the demo with {}", go.display()));
    let program = folder.path().join("cgoprof-demo");
    let built = Command::new(&go)
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(folder.path())
        .envs([("CGO_ENABLED", "1"), ("GOFLAGS", ""), ("GOWORK", "off"), ("GOTOOLCHAIN", "local")])
        .status()
        .with_context(|| format!("cannot run {}", go.display()))?;
    if !built.success() {
        bail!("{} could not build the demo", go.display());
    }
    let output = args.dir.join(profile_file::DEFAULT);
    let options = Options {
        subject: Subject::Command(vec![program.into_os_string()]),
        engine: None,
        output: Some(output.as_path().into()),
        streams: None,
        timing: Timing::Auto,
        max_overhead: MAX_OVERHEAD,
        stack_depth: 64,
        slow: std::time::Duration::from_micros(10),
        max_memory: None,
        frequency: 199,
        waits: WaitsMode::Auto,
        duration: None,
        debuginfod: None,
        require: true,
        follow: false,
        per_process: false,
        start_after: None,
        control: false,
        subscriber: None,
    };
    let status = record::record(&options, true)?;
    let profile = profile_file::read(&output)?;
    let mut out = std::io::stdout().lock();
    write!(out, "\n{}", text::write(&profile, By::Function, &View::rows(20))?)?;
    write!(
        out,
        "{}",
        text::write(&profile, By::Site, &View::rows(20))?.split_once("\n\n").map_or("", |(_, table)| table)
    )?;
    let svg = draw(&profile, &args.dir)?;
    writeln!(out, "written {} and {}", output.display(), svg.display())?;
    writeln!(
        out,
        "next: cgoprof report --by stack {}, or go tool pprof -http=: {}",
        output.display(),
        output.display()
    )?;
    Ok(status)
}

fn draw(profile: &cgoprof_profile::Profile, dir: &Path) -> anyhow::Result<PathBuf> {
    let svg = dir.join("cgoprof.svg");
    let drawing = Drawing::default().draw(profile)?;
    std::fs::write(&svg, drawing).with_context(|| format!("cannot write {}", svg.display()))?;
    Ok(svg)
}

/// Returns the C compiler that Go would use.
fn compiler(go: &Path) -> anyhow::Result<String> {
    let output =
        Command::new(go).args(["env", "CC"]).output().with_context(|| format!("cannot run {}", go.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().next().unwrap_or("gcc").to_owned())
}
