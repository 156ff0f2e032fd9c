//! A column: its key, its head, its value, and where it is shown.

use cgoprof_profile::metrics::Metric;
use cgoprof_profile::{Profile, Recording, Stats};

use super::cell::Cell;
use super::field::Field;
use super::part::Part;

/// A column of a table whose rows are `R`. Shown in JSON, CSV and the text report unless it says otherwise.
pub struct Column<R> {
    key: &'static str,
    head: &'static str,
    align: Align,
    value: Value<R>,
    known: fn(&Recording) -> bool,
    is_in_json: bool,
    is_in_report: bool,
    /// In the text report only where quantiles are asked for.
    is_quantile: bool,
    screen: Option<Place>,
    tone: Tone,
    zero: Zero,
    /// In the report the error of an estimate stands beside it.
    has_error: bool,
}

/// Where a column's values come from.
enum Value<R> {
    Of(for<'a> fn(&'a R, &'a Profile) -> Cell<'a>),
    /// A metric of the row's sums.
    Metric(&'static Metric, fn(&R) -> &Stats),
}

/// How much of the screen a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Columns of the terminal that it needs.
    pub width: u16,
    /// Columns with the highest rank are dropped first where there is no room.
    pub rank: u8,
}

/// On which side text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

/// How the values of a column are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Not at all.
    Plain,
    /// As what matters less.
    Faint,
    /// By the row's share of everything.
    Heat,
    /// As what the value was spent in.
    Of(Part),
}

/// How 0 is shown.
#[derive(Clone, Copy)]
enum Zero {
    Everywhere,
    /// Nothing stands there on the screen.
    InReport,
    /// Nothing stands there.
    Nowhere,
}

impl<R> Column<R> {
    /// A column of numbers, with a key for JSON and a head for people.
    pub(crate) const fn number(
        key: &'static str,
        head: &'static str,
        value: for<'a> fn(&'a R, &'a Profile) -> Cell<'a>,
    ) -> Column<R> {
        Column::with(key, head, Value::Of(value))
    }

    /// A column of names.
    pub(crate) const fn name(
        key: &'static str,
        head: &'static str,
        value: for<'a> fn(&'a R, &'a Profile) -> Cell<'a>,
    ) -> Column<R> {
        Column { align: Align::Left, ..Column::with(key, head, Value::Of(value)) }
    }

    /// A column that is in JSON and CSV only.
    pub(crate) const fn json(key: &'static str, value: for<'a> fn(&'a R, &'a Profile) -> Cell<'a>) -> Column<R> {
        Column { is_in_report: false, ..Column::with(key, "", Value::Of(value)) }
    }

    /// The column of a metric, if any place shows it under its own name.
    pub(super) fn metric(metric: &'static Metric, stats: fn(&R) -> &Stats) -> Option<Column<R>> {
        let head = metric.shown.on_screen().or(metric.shown.in_text()).unwrap_or_default();
        metric.shown.in_json().then(|| Column {
            is_in_report: metric.shown.in_text().is_some(),
            zero: Zero::Nowhere,
            has_error: true,
            ..Column::with(metric.name, head, Value::Metric(metric, stats))
        })
    }

    const fn with(key: &'static str, head: &'static str, value: Value<R>) -> Column<R> {
        Column {
            key,
            head,
            align: Align::Right,
            value,
            known: |_| true,
            is_in_json: true,
            is_in_report: true,
            is_quantile: false,
            screen: None,
            tone: Tone::Plain,
            zero: Zero::InReport,
            has_error: false,
        }
    }

    /// Only recordings that this holds of know it.
    pub(super) const fn known(self, known: fn(&Recording) -> bool) -> Column<R> {
        Column { known, ..self }
    }

    /// Not in JSON or CSV.
    pub(crate) const fn not_in_json(self) -> Column<R> {
        Column { is_in_json: false, ..self }
    }

    /// Not in the text report.
    pub(crate) const fn not_in_report(self) -> Column<R> {
        Column { is_in_report: false, ..self }
    }

    /// In the text report only where quantiles are asked for.
    pub(super) const fn quantile(self) -> Column<R> {
        Column { is_quantile: true, ..self }
    }

    /// On the screen, with so many columns of the terminal and this rank.
    pub(crate) const fn on_screen(self, width: u16, rank: u8) -> Column<R> {
        Column { screen: Some(Place { width, rank }), ..self }
    }

    /// Coloured like this.
    pub(super) const fn tone(self, tone: Tone) -> Column<R> {
        Column { tone, ..self }
    }

    /// 0 says something on the screen, too.
    pub(super) const fn with_zero(self) -> Column<R> {
        Column { zero: Zero::Everywhere, ..self }
    }

    /// 0 is the usual case, and not shown.
    pub(super) const fn without_zero(self) -> Column<R> {
        Column { zero: Zero::Nowhere, ..self }
    }

    /// The report has the error beside the value.
    pub(super) const fn with_error(self) -> Column<R> {
        Column { has_error: true, ..self }
    }

    /// Key in JSON, without a unit.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Head for people.
    pub fn head(&self) -> &'static str {
        self.head
    }

    /// On which side of the column its values stand.
    pub fn align(&self) -> Align {
        self.align
    }

    /// Where it is on the screen, if it is there.
    pub fn place(&self) -> Option<Place> {
        self.screen
    }

    /// How it is coloured there.
    pub fn colour(&self) -> Tone {
        self.tone
    }

    /// Whether the text report shows it.
    pub fn is_in_report(&self) -> bool {
        self.is_in_report
    }

    /// Whether the text report shows it for a recording, with all quantiles or without.
    pub fn is_reported(&self, recording: &Recording, quantiles: bool) -> bool {
        self.is_in_report && (quantiles || !self.is_quantile) && self.is_known(recording)
    }

    /// Whether a recording knows it.
    pub fn is_known(&self, recording: &Recording) -> bool {
        (self.known)(recording)
            && match &self.value {
                Value::Of(_) => true,
                Value::Metric(metric, _) => metric.known.of(recording),
            }
    }

    /// Returns the value in a row.
    pub fn cell<'a>(&self, row: &'a R, profile: &'a Profile) -> Cell<'a> {
        let cell = match &self.value {
            Value::Of(value) => value(row, profile),
            Value::Metric(metric, stats) => (metric.of)(stats(row)).into(),
        };
        if self.is_known(&profile.recording) { cell } else { cell.unknown() }
    }

    /// Returns the value as the text report shows it.
    pub fn reported(&self, row: &R, profile: &Profile) -> String {
        match (self.cell(row, profile), self.zero, self.has_error) {
            (cell, Zero::Nowhere, _) if cell.is_zero() => String::new(),
            (cell, _, true) => cell.shown_with_error(),
            (cell, ..) => cell.shown(),
        }
    }

    /// Returns the value as the screen shows it.
    pub fn drawn(&self, row: &R, profile: &Profile) -> String {
        let cell = self.cell(row, profile);
        if self.hides(&cell) { String::new() } else { cell.shown() }
    }

    /// Whether nothing stands there on the screen.
    pub fn is_blank(&self, row: &R, profile: &Profile) -> bool {
        self.hides(&self.cell(row, profile))
    }

    fn hides(&self, cell: &Cell<'_>) -> bool {
        match self.zero {
            Zero::Everywhere => cell.is_unknown(),
            Zero::InReport | Zero::Nowhere => cell.is_zero(),
        }
    }

    /// Returns its fields in the JSON object of a row: none where it is not in JSON.
    pub fn fields<'a>(&self, row: &'a R, profile: &'a Profile) -> Vec<(String, Field<'a>)> {
        if self.is_in_json { self.cell(row, profile).fields(self.key) } else { Vec::new() }
    }
}
