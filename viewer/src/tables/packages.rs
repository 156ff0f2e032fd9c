//! Go packages that call C.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cgoprof_profile::{Profile, Recording, Stats, Via};

use super::cell::Cell;
use super::column;
use super::crossings::{self, Crossings};
use super::{Row, functions};
use crate::analysis::Cpu;
use crate::units::printable;

type Column = column::Column<PackageRow>;

/// All crossings of one Go package.
#[derive(Clone, Debug, Default)]
pub struct PackageRow {
    /// Its import path, safe to show.
    pub package: String,
    /// How many C functions it calls.
    pub functions: u64,
    /// Sums.
    pub stats: Stats,
    /// Processor time in C.
    pub cpu: Option<Cpu>,
}

/// Returns the packages of a profile, the largest total first.
pub fn rows(profile: &Profile) -> Vec<PackageRow> {
    let mut rows: BTreeMap<String, PackageRow> = BTreeMap::new();
    // What the runtime or a library calls by itself is no package's crossing.
    for function in functions::rows(profile).into_iter().filter(|row| row.via == Via::Cgocall) {
        let package = printable(&function.package);
        let row = rows.entry(package.clone()).or_insert_with(|| PackageRow { package, ..PackageRow::default() });
        row.functions += 1;
        row.stats.add(&function.stats);
        row.cpu = Cpu::sum(row.cpu, function.cpu);
    }
    let mut rows: Vec<PackageRow> = rows.into_values().collect();
    rows.sort_by(|one, other| {
        let order = other.stats.total().sum.total_cmp(&one.stats.total().sum);
        order.then(other.stats.calls.cmp(&one.stats.calls)).then_with(|| one.package.cmp(&other.package))
    });
    rows
}

impl Crossings for PackageRow {
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

impl Row for PackageRow {
    fn columns() -> &'static [Column] {
        static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(columns);
        &COLUMNS
    }
}

fn columns() -> Vec<Column> {
    let own = [
        Column::name("package", "GO PACKAGE", |row, _| Cell::text(row.package.as_str())),
        Column::number("functions", "C FUNCTIONS", |row, _| Cell::Count(Some(row.functions))).known(Recording::counted),
    ];
    own.into_iter().chain(crossings::columns()).collect()
}
