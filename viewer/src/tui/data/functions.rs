//! C functions with their sums.

use cgoprof_profile::{FunctionId, Profile, Stats, Via};

use super::measured::Measured;
use crate::analysis::{self, Cpu};
use crate::scheduler;
use crate::units::printable;

/// A C function, reached in one way.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: FunctionId,
    pub(crate) via: Via,
    /// Safe to show, with the way it is reached and its library.
    pub(crate) name: String,
    pub(crate) package: String,
    /// See `Function::identity`.
    pub(crate) identity: (String, String),
    pub(crate) stats: Stats,
    pub(crate) cpu: Option<Cpu>,
    pub(crate) locked_calls: u64,
    /// Threads that called it, if that is known.
    pub(crate) threads: Option<u64>,
}

impl Row {
    /// The standard error of its total as a share of that, or of its processor time where that is all that is known; none
    /// where it is too small to be worth showing.
    pub(crate) fn relative_error(&self) -> Option<f64> {
        if self.stats.timed > 0 {
            return Measured::from(self.stats.total()).relative_error();
        }
        let cpu = self.cpu.filter(|cpu| cpu.nanos > 0.0)?;
        Some(cpu.standard_error / cpu.nanos)
    }
}

/// The largest total first.
pub(crate) fn rows(profile: &Profile) -> Vec<Row> {
    let spread = scheduler::spread(profile);
    let rows = analysis::by_function(profile).into_iter().map(|row| {
        let way = match row.via {
            Via::Cgocall => "",
            Via::Runtime => " [runtime's own]",
            Via::Direct => " [direct]",
        };
        Row {
            id: row.id,
            via: row.via,
            name: printable(&row.function.name) + way,
            package: printable(&row.function.package),
            identity: (row.function.identity().0.to_owned(), row.function.identity().1.to_owned()),
            stats: row.stats,
            cpu: row.cpu,
            locked_calls: row.locked_calls,
            threads: spread.get(&(row.id, row.via)).map(|spread| spread.threads),
        }
    });
    rows.collect()
}
