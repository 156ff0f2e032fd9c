//! `cgoprof bench`: what an operation of Go benchmarks does at the border, as lines for benchstat.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use cgoprof_collector::process::launch::Streams;
use cgoprof_collector::record::{EngineKind, Options, Problem, Progress, Subject};
use cgoprof_viewer::benchmark::{self, PerOperation, ResultLine, Runs};
use cgoprof_viewer::units::{crossings, printable};
use nix::unistd::Pid;

use crate::notice::say;
use crate::profile_file;
use crate::watched::How;
use crate::written_file;

/// Run Go benchmarks and print their crossings per operation, for benchstat
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof bench ./...
  cgoprof bench --bench 'Query|Insert' --count 10 -o new.txt ./store && benchstat old.txt new.txt

Each benchmark runs by itself, with a fixed number of operations, so that its crossings are those of these operations:
  BenchmarkQuery-8 1000 5.000 cgo-crossings/op 2210.410 cgo-ns/op 240.370 cgo-border-ns/op")]
pub(crate) struct Args {
    /// Packages
    #[arg(default_value = ".")]
    packages: Vec<String>,
    /// Regular expression of the benchmarks to run, as go test -bench takes it
    #[arg(long, value_name = "REGEX", default_value = ".")]
    bench: String,
    /// Operations of each run
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
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

impl Args {
    /// Returns why options would have no effect, if they would have none.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        self.how.refused().or_else(|| match () {
            () if self.how.samples_only() => Some("--engine sample sees no crossings, which bench counts"),
            () if self.how.has_duration() => Some("--duration ends a recording before its benchmark has ended"),
            () => None,
        })
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.output.as_os_str() == profile_file::STANDARD_OUTPUT {
        lines(args, &mut std::io::stdout())?;
    } else {
        // The folder changes with each package.
        let path = std::path::absolute(&args.output)?;
        written_file::write(&path, written_file::USUAL, |output| lines(args, output))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the lines of all packages.
fn lines(args: &Args, output: &mut dyn std::io::Write) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no folder for temporary files")?;
    let folder = folder.path().canonicalize()?;
    // All are built before the folder changes.
    let mut built = Vec::new();
    for (index, package) in packages(&args.packages)?.into_iter().enumerate() {
        let binary = folder.join(format!("package{index}.test"));
        if compile(&package, &binary)? {
            built.push((package, binary));
        }
    }
    let mut lines = 0;
    for (package, binary) in &built {
        lines += Bench { args, package, binary, folder: &folder }.run(output)?;
    }
    if lines == 0 {
        bail!("no benchmark in these packages matches {}", printable(&args.bench));
    }
    Ok(())
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
            // The recording with more operations, of a benchmark that needs one.
            let mut more: Option<Runs> = None;
            for _ in 0..self.args.count {
                let (runs, result) = match self.record(name, self.args.operations)? {
                    Ok(recorded) => recorded,
                    Err(problem) => {
                        say(format_args!("{}: its benchmarks are not recorded: {problem}", self.package.path));
                        return Ok(lines);
                    }
                };
                if runs.are_in_the_first() && more.is_none() {
                    more = self.record(name, self.args.operations.saturating_mul(2))?.ok().map(|(runs, _)| runs);
                }
                let found = runs.per_operation(more.as_ref());
                if lines == 0 {
                    write!(output, "{head}")?;
                }
                lines += 1;
                writeln!(output, "{}", printable(&benchmark::line(&result, &found)))?;
                output.flush()?;
                left_out(name, &found);
            }
        }
        Ok(lines)
    }

    /// Runs all benchmarks with one operation. Returns their names, and the lines that tell of the machine and the package.
    fn names(&self) -> anyhow::Result<(Vec<String>, String)> {
        let mut listing = Command::new(self.binary);
        listing.args(["-test.run=^$", "-test.benchtime=1x"]).arg(format!("-test.bench={}", self.args.bench));
        let run = listing.arg(format!("-test.cpu={}", processors())).output();
        let run = run.with_context(|| format!("cannot run the tests of {}", self.package.path))?;
        let printed = String::from_utf8_lossy(&run.stdout).into_owned();
        if !run.status.success() {
            let errors = String::from_utf8_lossy(&run.stderr);
            bail!("the benchmarks of {} fail: {}{}", self.package.path, printed.trim_end(), errors.trim_end());
        }
        let (mut names, mut head) = (Vec::new(), String::new());
        for line in printed.lines() {
            if let Some(result) = benchmark::result_line(line) {
                names.push(result.name);
            } else if ["goos: ", "goarch: ", "pkg: ", "cpu: "].iter().any(|key| line.starts_with(key)) {
                head += line;
                head.push('\n');
            } else if line.starts_with("Benchmark") {
                let name = line.split_whitespace().next().unwrap_or_default();
                say(format_args!("{} is left out: it prints to standard output amid its result", printable(name)));
            }
        }
        Ok((names, head))
    }

    /// Records one run of one benchmark. Returns a problem if the test binary can't be recorded.
    fn record(&self, name: &str, operations: u32) -> anyhow::Result<Result<(Runs, ResultLine), Problem>> {
        let printed = self.folder.join("printed");
        let streams = Streams { input: File::open("/dev/null")?, output: File::create(&printed)? };
        let command = [
            "-test.run=^$".to_owned(),
            format!("-test.benchtime={operations}x"),
            format!("-test.cpu={}", processors()),
            format!("-test.bench={}", benchmark::pattern(name, processors())),
        ];
        let command = std::iter::once(self.binary.into()).chain(command.map(OsString::from)).collect();
        let options = Options { streams: Some(Arc::new(streams)), ..self.args.how.options(Subject::Command(command)) };
        let outcome = cgoprof_collector::record(&options, &Silent)?;
        let text = String::from_utf8_lossy(&std::fs::read(&printed)?).into_owned();
        let result = text.lines().filter_map(benchmark::result_line).find(|result| result.name == name);
        match (outcome.profile, outcome.problem, result) {
            (None, Some(problem), _) => Ok(Err(problem)),
            (Some(profile), None, Some(result)) if outcome.status == 0 => Ok(Ok((Runs::of(&profile, &result), result))),
            (_, Some(problem), _) => bail!("{}: {problem}", printable(name)),
            _ => bail!("{} failed while it was recorded: {}", printable(name), printable(text.trim_end())),
        }
    }
}

/// Returns the number of processors that the benchmarks use, as the Go runtime has it without `-test.cpu`.
fn processors() -> usize {
    let named = std::env::var("GOMAXPROCS").ok().and_then(|named| named.parse().ok()).filter(|&named| named > 0);
    named.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1)
}

/// Says which crossings are not in the numbers of a benchmark.
fn left_out(name: &str, found: &PerOperation) {
    let name = printable(name);
    if found.elsewhere > 0 {
        let made = crossings(found.elsewhere);
        say(format_args!("{name}: {made} of goroutines that it started are not in its numbers"));
    }
    if found.cut > 0 {
        let made = crossings(found.cut);
        say(format_args!("{name}: {made} with stacks that are cut are not in its numbers: raise --stack-depth"));
    }
}

/// Shows nothing of a recording.
struct Silent;

impl Progress for Silent {
    fn waiting(&self, _: Pid, _: &Path) {}
    fn joined(&self, _: Pid, _: EngineKind) {}
    fn symbolizing(&self, _: usize) {}
    fn symbolized(&self) {}
}
