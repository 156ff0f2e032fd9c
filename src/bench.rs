//! `cgoprof bench`: what an operation of Go benchmarks does at the border, as lines for benchstat.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use cgoprof_collector::process::launch::Streams;
use cgoprof_collector::record::{EngineKind, Options, Problem, Progress, Subject};
use cgoprof_profile::Profile;
use cgoprof_viewer::benchmark::{self, ResultLine};
use cgoprof_viewer::units::{crossings, printable};
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use nix::unistd::Pid;

use crate::Cli;
use crate::notice::say;
use crate::profile_file;
use crate::watched::How;

/// Run Go benchmarks and print their crossings per operation, for benchstat
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof bench ./...
  cgoprof bench --bench 'Query|Insert' --count 10 -o new.txt ./store && benchstat old.txt new.txt

Each benchmark runs by itself, with a fixed number of operations, so that its crossings are those of these operations:
  BenchmarkQuery-8 1000 5.000 cgo-crossings/op 2210.41 cgo-ns/op 240.37 cgo-border-ns/op")]
pub(crate) struct Args {
    /// Packages
    #[arg(default_value = ".")]
    packages: Vec<String>,
    /// Regular expression of the benchmarks to run, as go test -bench takes it
    #[arg(long, value_name = "REGEX", default_value = ".")]
    bench: String,
    /// Operations of each run
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    operations: u32,
    /// Runs of each benchmark, a line each; benchstat needs 6 at least to tell changes from noise
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// File for the lines, instead of standard output
    #[arg(short, long, default_value = profile_file::STANDARD_OUTPUT)]
    output: PathBuf,
    #[command(flatten)]
    how: How,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.how.check();
    let refused = match () {
        () if args.how.samples_only() => Some("--engine sample sees no crossings, which bench counts"),
        () if args.how.has_duration() => Some("--duration ends a recording before its benchmark has ended"),
        () => None,
    };
    if let Some(why) = refused {
        Cli::command().error(ErrorKind::ArgumentConflict, why).exit();
    }
    let mut output: Box<dyn std::io::Write> = match args.output.as_os_str() == profile_file::STANDARD_OUTPUT {
        true => Box::new(std::io::stdout()),
        false => {
            Box::new(File::create(&args.output).with_context(|| format!("cannot write {}", args.output.display()))?)
        }
    };
    let folder = tempfile::tempdir().context("no folder for temporary files")?;
    let mut lines = 0;
    for package in packages(&args.packages)? {
        let binary = folder.path().join("package.test");
        if !compile(&package, &binary)? {
            continue;
        }
        lines += Bench { args, package: &package, binary: &binary, folder: folder.path() }.run(&mut output)?;
    }
    if lines == 0 {
        bail!("no benchmark in these packages matches {}", printable(&args.bench));
    }
    Ok(ExitCode::SUCCESS)
}

/// A package: its import path and its folder.
struct Package {
    path: String,
    folder: PathBuf,
}

fn packages(patterns: &[String]) -> anyhow::Result<Vec<Package>> {
    let listed = go(Command::new("go").args(["list", "-f", "{{.ImportPath}}\t{{.Dir}}"]).args(patterns))?;
    let lines = listed.lines().filter_map(|line| line.split_once('\t'));
    Ok(lines.map(|(path, folder)| Package { path: path.to_owned(), folder: folder.into() }).collect())
}

/// Builds the test binary of a package. Returns whether it has tests.
fn compile(package: &Package, binary: &Path) -> anyhow::Result<bool> {
    let _ = std::fs::remove_file(binary);
    go(Command::new("go").args(["test", "-c", "-o"]).arg(binary).arg(&package.path))?;
    Ok(binary.exists())
}

/// Runs a go command, and returns what it prints.
fn go(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().context("cannot run go")?;
    if !output.status.success() {
        let what = command.get_args().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
        bail!("go {what}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The benchmarks of one package.
struct Bench<'a> {
    args: &'a Args,
    package: &'a Package,
    binary: &'a Path,
    folder: &'a Path,
}

impl Bench<'_> {
    /// Writes the lines of the package, and returns how many there are.
    fn run(&self, output: &mut dyn std::io::Write) -> anyhow::Result<usize> {
        std::env::set_current_dir(&self.package.folder)
            .with_context(|| format!("cannot change to {}", self.package.folder.display()))?;
        let (names, head) = self.names()?;
        let mut lines = 0;
        for name in &names {
            for _ in 0..self.args.count {
                let (profile, result) = match self.record(name)? {
                    Ok(recorded) => recorded,
                    Err(problem) => {
                        say(format_args!("{}: its benchmarks are not recorded: {problem}", self.package.path));
                        return Ok(lines);
                    }
                };
                let found = benchmark::per_operation(&profile, &result);
                if lines == 0 {
                    write!(output, "{head}")?;
                }
                lines += 1;
                writeln!(output, "{}", printable(&benchmark::line(&result, &found)))?;
                output.flush()?;
                if found.elsewhere > 0 {
                    let made = crossings(found.elsewhere);
                    say(format_args!("{}: {made} of other goroutines are not in its numbers", printable(name)));
                }
            }
        }
        Ok(lines)
    }

    /// Runs all benchmarks with one operation. Returns their names, and the lines that tell of the machine and the package.
    fn names(&self) -> anyhow::Result<(Vec<String>, String)> {
        let mut listing = Command::new(self.binary);
        listing.args(["-test.run=^$", "-test.benchtime=1x"]).arg(format!("-test.bench={}", self.args.bench));
        let run = listing.output().with_context(|| format!("cannot run the tests of {}", self.package.path))?;
        let printed = String::from_utf8_lossy(&run.stdout).into_owned();
        if !run.status.success() {
            let errors = String::from_utf8_lossy(&run.stderr);
            bail!("the benchmarks of {} fail: {}{}", self.package.path, printed.trim_end(), errors.trim_end());
        }
        let names = printed.lines().filter_map(benchmark::result_line).map(|result| result.name).collect();
        let is_head = |line: &&str| ["goos: ", "goarch: ", "pkg: ", "cpu: "].iter().any(|key| line.starts_with(key));
        Ok((names, printed.lines().filter(is_head).map(|line| format!("{line}\n")).collect()))
    }

    /// Records one run of one benchmark. Returns a problem if the test binary can't be recorded.
    fn record(&self, name: &str) -> anyhow::Result<Result<(Profile, ResultLine), Problem>> {
        let printed = self.folder.join("printed");
        let streams = Streams { input: File::open("/dev/null")?, output: File::create(&printed)? };
        let mut command: Vec<OsString> = vec![self.binary.into()];
        command.extend(["-test.run=^$".into(), format!("-test.benchtime={}x", self.args.operations).into()]);
        command.push(format!("-test.bench={}", benchmark::pattern(name)).into());
        let options = Options { streams: Some(Arc::new(streams)), ..self.args.how.options(Subject::Command(command)) };
        let outcome = cgoprof_collector::record(&options, &Silent)?;
        let text = String::from_utf8_lossy(&std::fs::read(&printed)?).into_owned();
        let result = text.lines().filter_map(benchmark::result_line).find(|result| result.name == name);
        match (outcome.profile, outcome.problem, result) {
            (None, Some(problem), _) => Ok(Err(problem)),
            (Some(profile), None, Some(result)) if outcome.status == 0 => Ok(Ok((profile, result))),
            (_, Some(problem), _) => bail!("{}: {problem}", printable(name)),
            _ => bail!("{} failed while it was recorded: {}", printable(name), printable(text.trim_end())),
        }
    }
}

/// What the recorder tells meanwhile is not shown.
struct Silent;

impl Progress for Silent {
    fn waiting(&self, _: Pid, _: &Path) {}
    fn joined(&self, _: Pid, _: EngineKind) {}
    fn symbolizing(&self, _: usize) {}
    fn symbolized(&self) {}
}
