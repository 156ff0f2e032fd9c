//! Processes, where a recording has several.

use std::sync::LazyLock;

use cgoprof_profile::{Profile, Stats, Via};

use super::Row;
use super::cell::Cell;
use super::column::{self, Tone};
use super::crossings::{self, Crossings};
use crate::analysis::{self, Cpu};
use crate::programs;
use crate::units::printable;

type Column = column::Column<ProcessRow>;

/// A process.
#[derive(Clone, Debug, Default)]
pub struct ProcessRow {
    /// Its place in [`Profile::processes`].
    pub process: usize,
    /// Sums of its crossings that `runtime.NumCgoCall` counts.
    stats: Stats,
    /// Processor time in C.
    cpu: Option<Cpu>,
}

/// Returns the processes of a profile, the largest total first; none if it is of one process.
pub fn rows(profile: &Profile) -> Vec<ProcessRow> {
    let row = |(process, of_one): (usize, &std::sync::Arc<Profile>)| {
        let own = analysis::by_function(of_one).into_iter().filter(|row| row.via == Via::Cgocall);
        let cpu = own.fold(None, |cpu, row| Cpu::sum(cpu, row.cpu));
        ProcessRow { process, stats: analysis::totals(of_one).0, cpu }
    };
    let mut rows: Vec<ProcessRow> = profile.processes.iter().enumerate().map(row).collect();
    rows.sort_by(|one, other| {
        let order = other.stats.total().sum.total_cmp(&one.stats.total().sum);
        order.then(other.stats.calls.cmp(&one.stats.calls)).then(one.process.cmp(&other.process))
    });
    rows
}

impl Crossings for ProcessRow {
    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn cpu(&self) -> Option<Cpu> {
        self.cpu
    }

    fn via(&self) -> Via {
        Via::Cgocall
    }
}

impl Row for ProcessRow {
    fn columns() -> &'static [Column] {
        static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(columns);
        &COLUMNS
    }
}

/// The program's name and its arguments, as far as they fit into a table: there may be megabytes of them.
fn command(process: &Profile) -> String {
    const MOST: usize = 60;
    let words = std::iter::once(process.target.program()).chain(process.target.args.iter().map(String::as_str));
    let whole = words.collect::<Vec<_>>().join(" ");
    let shown: String = whole.chars().take(MOST).collect();
    let more = if shown.len() < whole.len() { "..." } else { "" };
    printable(&shown) + more
}

fn columns() -> Vec<Column> {
    fn of<'a>(row: &ProcessRow, profile: &'a Profile) -> &'a Profile {
        &profile.processes[row.process]
    }
    let own = [
        Column::number("pid", "PID", |row, profile| Cell::Number(programs::pid(profile, row.process))),
        Column::json("path", |row, profile| Cell::text(of(row, profile).target.path.as_str())),
        Column::name("command", "COMMAND", |row, profile| Cell::text(command(of(row, profile)))),
        Column::number("started", "STARTED", |row, profile| {
            let start = of(row, profile).recording.start_unix_ns;
            Cell::Moment(Some(start.saturating_sub(profile.recording.start_unix_ns)))
        })
        .with_zero()
        .tone(Tone::Faint),
        Column::number("recorded", "RECORDED", |row, profile| {
            Cell::Nanos(Some(of(row, profile).recording.duration_ns as f64))
        }),
    ];
    own.into_iter().chain(crossings::columns()).collect()
}
