//! `cgoprof diff`: compares recordings.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use cgoprof_profile::Profile;
use cgoprof_viewer::diff::compare::{Diff, Side};
use cgoprof_viewer::diff::key::By;
use cgoprof_viewer::diff::measure::Measure;
use cgoprof_viewer::diff::{flamegraph, table};
use cgoprof_viewer::page::{self, Comparison};
use cgoprof_viewer::report::tabular::Form;
use cgoprof_viewer::units::{percent as share, printable};
use cgoprof_viewer::value::Value;
use clap::ValueEnum;

use crate::notice::say;
use crate::table_options::TableOptions;
use crate::{pager, profile_file};

/// Compare two profiles, or the repeats in two folders
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof diff old.pb.gz new.pb.gz
  cgoprof diff --fail-above calls=5% --fail-above overhead=10% old/ new/
  cgoprof diff --format svg old/ new/ > difference.svg")]
pub(crate) struct Args {
    /// Profile to compare with, or a folder with repeats of it
    base: PathBuf,
    /// Profile to compare, or a folder with repeats of it
    now: PathBuf,
    /// Group rows by [default: function]
    #[arg(long, value_enum)]
    by: Option<ByArg>,
    /// Compare sums of the whole run, or of one second of it
    #[arg(long, value_enum, default_value_t = Per::Run)]
    per: Per,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    table: TableOptions,
    /// Exit with status 1 if a measure grew by more than this, and not by noise: calls, total, c, overhead, blocked, each,
    /// c_each, overhead_each
    #[arg(long, value_name = "MEASURE=PERCENT", value_parser = limit)]
    fail_above: Vec<(Measure, f64)>,
    /// Minimum share of all that a row needs for --fail-above, in percent
    #[arg(long, value_name = "PERCENT", default_value = "1", value_parser = percent, requires = "fail_above")]
    least: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum ByArg {
    /// C functions
    Function,
    /// C functions, and the Go functions that call them
    Site,
    /// Stacks of Go functions
    Stack,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Per {
    /// The whole run
    Run,
    /// A second of the run
    Second,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    Text,
    /// All rows and measures; docs/report-json.md
    Json,
    /// The table as comma-separated values, times in nanoseconds
    Csv,
    /// The table for a document or a comment
    Markdown,
    /// A flame graph of what differs
    Svg,
    /// A page for a browser, in one file; cgoprof web OLD NEW shows it
    Html,
}

/// Exit status where a measure grew by more than --fail-above permits.
const GREW: u8 = 1;
fn limit(text: &str) -> Result<(Measure, f64), String> {
    let known = || Measure::ALL.map(Measure::name).join(", ");
    let (name, share) = text.split_once('=').ok_or("a measure and a share are needed: calls=5%")?;
    let measure = Measure::ALL.into_iter().find(|measure| measure.name() == name);
    Ok((measure.ok_or_else(|| format!("no such measure: {}", known()))?, percent(share)?))
}

/// Parses a share in percent.
fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim_end().parse::<f64>() {
        Ok(percent) if percent >= 0.0 && percent.is_finite() => Ok(percent / 100.0),
        _ => Err("a number of percent is needed: 5%".into()),
    }
}

impl Args {
    /// Returns why options would have no effect, if they would have none.
    pub(crate) fn refused(&self) -> Option<&'static str> {
        let chooses = self.table.choose();
        match self.format {
            Format::Json | Format::Svg | Format::Html if chooses => {
                Some("--limit, --sort, --columns and --filter are for tables: JSON, SVG and HTML contain all")
            }
            Format::Svg if self.by.is_some() => Some("--by groups rows, and SVG draws stacks"),
            Format::Json | Format::Svg | Format::Html | Format::Csv | Format::Markdown if self.table.no_pager => {
                Some(pager::ONLY_TEXT)
            }
            _ => None,
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (before, after) = (repeats(&args.base)?, repeats(&args.now)?);
    check(&before, &after)?;
    let side = |repeats| Side { repeats, per_second: args.per == Per::Second };
    let (base, now) = (side(before.as_slice()), side(after.as_slice()));
    let by = match args.by.unwrap_or(ByArg::Function) {
        ByArg::Function => By::Function,
        ByArg::Site => By::Site,
        ByArg::Stack => By::Stack,
    };
    let diff = Diff::between(base, now, by);
    for (measure, _) in &args.fail_above {
        if let (None, _) | (_, None) = diff.totals.quantity(*measure) {
            bail!("{} was not measured in all of the profiles, so --fail-above can't judge it", measure.name());
        }
    }
    let view = args.table.view(args.format == Format::Csv);
    let written = match args.format {
        Format::Text => pager::print(&table::text(&diff, base, now, &view)?, !args.table.no_pager),
        Format::Json => std::io::stdout().write_all((table::json(&diff, base, now)? + "\n").as_bytes()),
        Format::Csv => std::io::stdout().write_all(&table::rows(&diff, &view, Form::Csv)?),
        Format::Markdown => std::io::stdout().write_all(&table::rows(&diff, &view, Form::Markdown)?),
        Format::Svg => std::io::stdout().write_all(&flamegraph::draw(base, now, drawn(&before, &after))?),
        Format::Html => {
            let comparison = Comparison { diff: &diff, base, now };
            let mut output = BufWriter::new(std::io::stdout().lock());
            page::write(&after[0], Some(comparison), &mut output).and_then(|()| output.flush())
        }
    };
    // A reader that has had enough changes nothing about what grew.
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    let mut grew = false;
    for &(measure, limit) in &args.fail_above {
        for row in diff.above(measure, limit, args.least) {
            grew = true;
            let callers = row.key.callers.iter().map(|caller| format!(" < {}", printable(caller))).collect::<String>();
            let name = if row.is_all { "all crossings".to_owned() } else { printable(&row.key.function) };
            let (change, measure) = (row.change(measure).text(), measure.name());
            say(format_args!("{measure} of {name}{callers}: {change}, and --fail-above permits +{}", share(limit)));
        }
    }
    Ok(if grew { ExitCode::from(GREW) } else { ExitCode::SUCCESS })
}

/// Refuses profiles that can't be compared.
pub(crate) fn check(before: &[Profile], after: &[Profile]) -> anyhow::Result<()> {
    if before.iter().chain(after).any(|profile| !profile.recording.counted()) {
        bail!("engine sample counts no crossings, which are compared: record with another engine");
    }
    Ok(())
}

/// Returns the value that is drawn: one that all profiles know.
fn drawn(before: &[Profile], after: &[Profile]) -> Value {
    let mut values = before.iter().chain(after).map(Value::default_of);
    if values.all(|value| value == Value::Total) { Value::Total } else { Value::Calls }
}

/// Reads a profile, or all profiles of a folder: at least one.
pub(crate) fn repeats(path: &Path) -> anyhow::Result<Vec<Profile>> {
    let shown = path.display();
    let paths = profile_file::all_in(path)?;
    let profiles = paths.iter().map(|path| profile_file::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut programs: Vec<&str> = profiles.iter().map(|profile| profile.target.program()).collect();
    programs.sort_unstable();
    programs.dedup();
    match programs.as_slice() {
        [_] => Ok(profiles),
        several => bail!(
            "{shown} holds profiles of {}: a folder is for repeats of one program",
            printable(&several.join(", "))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_a_measure_and_a_share() {
        assert_eq!(limit("calls=5%"), Ok((Measure::Calls, 0.05)));
        assert_eq!(limit("c_each=12.5"), Ok((Measure::CEach, 0.125)));
        for wrong in ["calls", "calls=", "calls=-5%", "calls=x", "crossings=5%", "calls=inf"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
