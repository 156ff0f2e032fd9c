//! C functions: their columns, with rates when the recording goes on, and differences where there is a base.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::LazyLock;

use cgoprof_profile::Stats;

use super::listed::is_used;
use super::sheet::{Head, Sheet, Tint};
use crate::measured::Measured;
use crate::tables::functions::FunctionRow;
use crate::tables::{Align, Column, Part, Row, SortKey};
use crate::tui::data::Data;
use crate::tui::data::change::Change;
use crate::tui::live::Rates;
use crate::units::{count, some_count};

/// The functions of a profile.
pub(crate) struct Functions<'a> {
    pub(crate) data: &'a Data,
    pub(crate) rates: Option<&'a Rates>,
    pub(crate) base: Option<&'a Data>,
    /// Those that only the base has, with nothing in them.
    pub(crate) gone: &'a [FunctionRow],
}

/// A column of the screen.
enum Shown {
    /// That all reports have.
    Shared(&'static Column<FunctionRow>),
    Own(Own),
}

/// A column that only the screen has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    /// Calls a second.
    Rate,
    /// The same as it was, as a line of small bars.
    Spark,
    CallsChange,
    TotalChange,
    EachChange,
}

static COLUMNS: LazyLock<Vec<Shown>> = LazyLock::new(|| {
    use Own::{CallsChange, EachChange, Rate, Spark, TotalChange};
    let own: &[(&str, &[Own])] = &[("error", &[TotalChange, EachChange]), ("calls", &[CallsChange, Rate, Spark])];
    let placed = FunctionRow::columns().iter().filter(|column| column.place().is_some());
    let columns = placed.flat_map(|column| {
        let after = own.iter().filter(|(key, _)| *key == column.key()).flat_map(|(_, own)| *own);
        std::iter::once(Shown::Shared(column)).chain(after.map(|&own| Shown::Own(own)))
    });
    columns.collect()
});

static HEADS: LazyLock<Vec<Head>> = LazyLock::new(|| {
    let head = |column: &Shown| match column {
        Shown::Own(own) => own.head(),
        Shown::Shared(column) => {
            let (width, rank) = column.place().map_or((0, u8::MAX), |place| (place.width, place.rank));
            Head { text: column.head(), align: column.align(), width, rank }
        }
    };
    COLUMNS.iter().map(head).collect()
});

/// Returns the place of a column by its key.
pub(crate) fn column(key: &str) -> Option<usize> {
    COLUMNS.iter().position(|column| matches!(column, Shown::Shared(column) if column.key() == key))
}

impl Own {
    fn head(self) -> Head {
        let (text, width, rank) = match self {
            Own::CallsChange => ("\u{394} CALLS", 8, 4),
            Own::Rate => ("CALLS/S", 11, 6),
            Own::Spark => ("LAST SECONDS", 12, 4),
            Own::TotalChange => ("\u{394} TOTAL", 8, 2),
            Own::EachChange => ("\u{394} EACH", 8, 3),
        };
        Head { text, align: Align::Right, width, rank }
    }
}

impl Functions<'_> {
    fn row(&self, row: usize) -> &FunctionRow {
        self.data.functions.get(row).unwrap_or_else(|| &self.gone[row - self.data.functions.len()])
    }

    /// What has changed since the base.
    fn change(&self, row: usize, of: fn(&Stats) -> Measured) -> Change {
        let row = self.row(row);
        let before = self.base.and_then(|base| base.same_function(row));
        Change::between(before.map(|before| of(&before.stats)), of(&row.stats))
    }

    fn changed(&self, row: usize, own: Own) -> Option<Change> {
        match own {
            Own::CallsChange => Some(self.change(row, |stats| Measured::count(stats.calls))),
            Own::TotalChange => Some(self.change(row, |stats| Measured::from(stats.total()))),
            Own::EachChange => Some(self.change(row, |stats| Measured::from(stats.total()).each(stats.calls))),
            Own::Rate | Own::Spark => None,
        }
    }

    /// More than the base is bad, less is good; of sums only where both are of whole runs.
    fn change_tint(&self, change: Change, own: Own) -> Tint {
        match change.direction() {
            _ if own != Own::EachChange && self.rates.is_some() => Tint::Faint,
            Ordering::Greater => Tint::Bad,
            Ordering::Less => Tint::Good,
            Ordering::Equal => Tint::Faint,
        }
    }

    /// Calls a second: now, or over the whole recording.
    fn rate(&self, row: usize) -> Option<f64> {
        let FunctionRow { id, via, stats, .. } = self.row(row);
        match self.rates {
            Some(rates) => Some(rates.rate(*id, *via)),
            None => {
                let seconds = self.data.totals.duration / 1e9;
                (seconds > 0.0).then(|| stats.calls as f64 / seconds)
            }
        }
    }

    fn own_text(&self, row: usize, own: Own) -> String {
        let rate = self.rate(row).unwrap_or(0.0);
        match own {
            Own::Rate if rate > 0.0 && rate < 9.95 => format!("{rate:.1}"),
            Own::Rate => some_count(rate.round() as u64),
            Own::Spark => {
                let FunctionRow { id, via, .. } = self.row(row);
                self.rates.map_or_else(String::new, |rates| rates.sparkline(*id, *via, 12))
            }
            own => self.changed(row, own).map_or_else(String::new, |change| change.text()),
        }
    }

    /// The row's share of everything: of calls or of time.
    fn share(&self, row: usize, key: &str) -> f64 {
        let (FunctionRow { stats, cpu, .. }, totals) = (self.row(row), &self.data.totals);
        match key {
            _ if !self.data.profile.recording.counted() => cpu.unwrap_or_default().nanos / totals.cpu.max(1.0),
            "calls" => stats.calls as f64 / totals.crossings.max(1) as f64,
            _ => stats.total_self() / totals.total.max(1.0),
        }
    }
}

impl Sheet for Functions<'_> {
    fn heads(&self) -> &[Head] {
        &HEADS
    }

    fn rows(&self) -> usize {
        self.data.functions.len() + self.gone.len()
    }

    fn text(&self, row: usize, column: usize) -> String {
        match &COLUMNS[column] {
            Shown::Shared(column) => column.drawn(self.row(row), &self.data.profile),
            Shown::Own(own) => self.own_text(row, *own),
        }
    }

    fn sorted(&self, row: usize, column: usize) -> SortKey {
        match &COLUMNS[column] {
            Shown::Shared(column) => column.cell(self.row(row), &self.data.profile).sort_key(),
            // Of what was not timed no change is known.
            Shown::Own(Own::TotalChange | Own::EachChange) if self.row(row).stats.timed == 0 => {
                SortKey::Number(f64::NEG_INFINITY)
            }
            Shown::Own(own) => {
                let change = self.changed(row, *own).map(|change| change.share());
                SortKey::Number(change.or_else(|| self.rate(row)).unwrap_or(0.0))
            }
        }
    }

    fn name(&self, row: usize) -> Cow<'_, str> {
        Cow::Borrowed(&self.row(row).name)
    }

    fn key(&self, row: usize) -> String {
        let row = self.row(row);
        format!("{} {}", row.name, row.package)
    }

    fn tint(&self, row: usize, column: usize) -> Tint {
        match &COLUMNS[column] {
            Shown::Shared(column) => Tint::of(column.colour(), || self.share(row, column.key())),
            Shown::Own(Own::Rate) => Tint::Heat(self.share(row, "calls")),
            Shown::Own(Own::Spark) => Tint::Part(Part::Go),
            Shown::Own(own) => self.changed(row, *own).map_or(Tint::Plain, |change| self.change_tint(change, *own)),
        }
    }

    fn is_used(&self, column: usize) -> bool {
        match &COLUMNS[column] {
            Shown::Shared(column) => is_used(column, &self.data.functions, &self.data.profile),
            Shown::Own(Own::Spark) => self.rates.is_some(),
            Shown::Own(Own::Rate) => self.data.profile.recording.counted(),
            Shown::Own(Own::CallsChange | Own::TotalChange | Own::EachChange) => self.base.is_some(),
        }
    }

    fn is_drawn(&self, column: usize) -> bool {
        matches!(COLUMNS[column], Shown::Own(Own::Spark))
    }

    fn rank(&self, column: usize) -> u8 {
        match COLUMNS[column] {
            // Of a recording it is no more than calls by the time they took.
            Shown::Own(Own::Rate) if self.rates.is_some() => 2,
            _ => HEADS[column].rank,
        }
    }

    fn empty(&self) -> String {
        if self.data.span().is_some() {
            "no slow crossings in this span of time".into()
        } else if self.data.profile.recording.counted() {
            "no crossings".into()
        } else {
            format!(
                "no samples in C; {} crossings by the runtime's own count",
                count(self.data.profile.recording.num_cgo_call.unwrap_or(0))
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tui::sample_data;

    /// Once the only numbers of the sample engine were drawn faint.
    #[test]
    fn the_largest_function_is_coloured_by_its_share() {
        for (name, profile) in sample_data::recorded() {
            let data = Data::new(Arc::new(profile));
            let key = match (data.profile.recording.counted(), data.totals.timed > 0) {
                (false, _) => "cpu_in_c",
                (true, true) => "total",
                (true, false) => "calls",
            };
            let sheet = Functions { data: &data, rates: None, base: None, gone: &[] };
            let tint = sheet.tint(0, column(key).expect(key));
            assert!(matches!(tint, Tint::Heat(share) if share > 0.05 && share <= 1.0), "{name}: {tint:?}");
        }
    }
}
