//! The value of one cell of a table, in the forms that reports need.

use std::borrow::Cow;

use cgoprof_profile::Distribution;
use cgoprof_profile::metrics::Reading;
use serde_json::{Value, json};

use super::field::{Birth, Field, Frame, Spread};
use crate::analysis;
use crate::measured::Measured;
use crate::scheduler::BirthRow;
use crate::units::{count, percent, printable, time, with_error};

/// A value. `None` is what a recording does not know.
#[derive(Clone, Debug)]
pub enum Cell<'a> {
    /// A name or a sentence.
    Text(Cow<'a, str>),
    /// One that there may not be.
    OptionalText(Option<Cow<'a, str>>),
    /// A number that tells apart, as that of a thread.
    Number(Option<u64>),
    /// How many.
    Count(Option<u64>),
    /// Yes or no.
    Flag(Option<bool>),
    /// A share of one.
    Share(Option<f64>),
    /// Nanoseconds.
    Nanos(Option<f64>),
    /// Nanoseconds since the recording's start.
    Moment(Option<u64>),
    /// The same of an end, which may be yet to come.
    End(Option<u64>),
    /// Nanoseconds with an error.
    Estimate(Option<Measured>),
    /// The same of which a part is not known.
    AtLeast(Option<Measured>),
    /// How times are spread, in JSON and CSV; elsewhere the median.
    Times(&'a Distribution),
    /// A relative change: in words, what it is sorted by, and as a share in JSON and CSV.
    Change {
        /// As people read it.
        text: String,
        /// What is sorted by.
        rank: f64,
        /// 0.1 for a tenth more; none where it is not known.
        share: Option<f64>,
    },
    /// A stack, in JSON only.
    Frames(Vec<analysis::Frame<'a>>),
    /// Why a thread was made, in JSON only.
    Birth(Option<Box<BirthRow<'a>>>),
}

/// By what rows are sorted.
#[derive(Clone, Debug, PartialEq)]
pub enum SortKey {
    /// A number; what is not known is the least.
    Number(f64),
    /// A name.
    Name(String),
}

impl<'a> Cell<'a> {
    /// A name that may be borrowed.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
        Cell::Text(text.into())
    }

    /// A name that there may not be.
    pub fn optional_text(text: Option<impl Into<Cow<'a, str>>>) -> Cell<'a> {
        Cell::OptionalText(text.map(Into::into))
    }

    /// Returns the cell of the same kind that knows nothing.
    pub(crate) fn unknown(self) -> Cell<'a> {
        const NONE: &Distribution = &Distribution { extremes: None, buckets: Vec::new() };
        match self {
            Cell::Text(_) | Cell::OptionalText(_) => Cell::OptionalText(None),
            Cell::Number(_) => Cell::Number(None),
            Cell::Count(_) => Cell::Count(None),
            Cell::Flag(_) => Cell::Flag(None),
            Cell::Share(_) => Cell::Share(None),
            Cell::Nanos(_) => Cell::Nanos(None),
            Cell::Moment(_) => Cell::Moment(None),
            Cell::End(_) => Cell::End(None),
            Cell::Estimate(_) | Cell::AtLeast(_) => Cell::Estimate(None),
            Cell::Times(_) => Cell::Times(NONE),
            Cell::Change { .. } => Cell::Change { text: String::new(), rank: f64::NEG_INFINITY, share: None },
            Cell::Frames(_) => Cell::Frames(Vec::new()),
            Cell::Birth(_) => Cell::Birth(None),
        }
    }

    /// Returns the value as people read it, safe to show; empty where it is not known.
    pub fn shown(&self) -> String {
        let nanos = |nanos: Option<f64>| nanos.map_or_else(String::new, time);
        match self {
            Cell::Text(text) => printable(text),
            Cell::OptionalText(text) => text.as_deref().map_or_else(String::new, printable),
            Cell::Number(number) => number.map_or_else(String::new, |number| number.to_string()),
            Cell::Count(number) => number.map_or_else(String::new, count),
            Cell::Flag(flag) => flag.map_or_else(String::new, |flag| flag.to_string()),
            Cell::Share(share) => share.map_or_else(String::new, percent),
            Cell::Nanos(time) => nanos(*time),
            Cell::Moment(at) | Cell::End(at) => nanos(at.map(|at| at as f64)),
            Cell::Estimate(time) => nanos(time.map(|time| time.value)),
            Cell::AtLeast(least) => least.map_or_else(String::new, |least| format!("\u{2265}{}", time(least.value))),
            Cell::Times(times) => nanos(times.quantile(0.5)),
            Cell::Change { text, .. } => text.clone(),
            Cell::Frames(_) | Cell::Birth(_) => String::new(),
        }
    }

    /// Returns the same, an estimate with its error.
    pub fn shown_with_error(&self) -> String {
        match self {
            Cell::Estimate(Some(time)) => with_error(time.value, time.error),
            cell => cell.shown(),
        }
    }

    /// Whether it is none at all: nothing is known, or the number is 0 or less.
    pub fn is_zero(&self) -> bool {
        match self {
            Cell::Text(text) => text.is_empty(),
            Cell::OptionalText(text) => text.as_deref().is_none_or(str::is_empty),
            Cell::Change { text, .. } => text.is_empty(),
            number => matches!(number.sort_key(), SortKey::Number(number) if number <= 0.0),
        }
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        match self {
            Cell::Text(text) => text.is_empty(),
            Cell::OptionalText(text) => text.as_deref().is_none_or(str::is_empty),
            Cell::End(at) => at.is_none(),
            number => number.sort_key() == SortKey::Number(f64::NEG_INFINITY),
        }
    }

    /// Returns by what rows are sorted.
    pub fn sort_key(&self) -> SortKey {
        let number = |number: Option<f64>| SortKey::Number(number.unwrap_or(f64::NEG_INFINITY));
        match self {
            Cell::Text(_) | Cell::OptionalText(_) => SortKey::Name(self.shown()),
            Cell::End(at) => SortKey::Number(at.map_or(f64::INFINITY, |at| at as f64)),
            Cell::Number(count) | Cell::Count(count) | Cell::Moment(count) => number(count.map(|count| count as f64)),
            Cell::Flag(flag) => number(flag.map(|flag| f64::from(u8::from(flag)))),
            Cell::Share(share) | Cell::Nanos(share) => number(*share),
            Cell::Change { rank, .. } => SortKey::Number(*rank),
            Cell::Estimate(time) | Cell::AtLeast(time) => number(time.map(|time| time.value)),
            Cell::Times(times) => number(times.quantile(0.5)),
            Cell::Frames(_) | Cell::Birth(_) => number(None),
        }
    }

    /// Returns the fields of a JSON object that a column of this key has. Times have their unit in the name, estimates a
    /// second field for the standard error.
    pub fn fields(self, key: &str) -> Vec<(String, Field<'a>)> {
        let field = |name: String, value: Value| (name, Field::Scalar(value));
        match self {
            Cell::Text(text) => vec![field(key.into(), json!(text))],
            Cell::OptionalText(text) => vec![field(key.into(), json!(text))],
            Cell::Number(number) | Cell::Count(number) => vec![field(key.into(), json!(number))],
            Cell::Flag(flag) => vec![field(key.into(), json!(flag))],
            Cell::Share(share) | Cell::Change { share, .. } => vec![field(key.into(), json!(share))],
            Cell::Nanos(nanos) => vec![field(format!("{key}_ns"), json!(nanos))],
            Cell::Moment(nanos) | Cell::End(nanos) => vec![field(format!("{key}_ns"), json!(nanos))],
            Cell::Estimate(time) | Cell::AtLeast(time) => vec![
                field(format!("{key}_ns"), json!(time.map(|time| time.value))),
                field(format!("{key}_se_ns"), json!(time.map(|time| time.error))),
            ],
            Cell::Times(times) => vec![(key.into(), Field::Times(Spread::new(times)))],
            Cell::Frames(frames) => vec![(key.into(), Field::Frames(frames.iter().map(Frame::new).collect()))],
            Cell::Birth(birth) => vec![(key.into(), Field::Birth(birth.map(|birth| Birth::new(*birth))))],
        }
    }
}

impl<'a> From<Reading<'a>> for Cell<'a> {
    fn from(reading: Reading<'a>) -> Cell<'a> {
        match reading {
            Reading::Count(count) => Cell::Count(Some(count)),
            Reading::Nanos(nanos) => Cell::Nanos(Some(nanos)),
            Reading::Estimate(sum) => Cell::Estimate(Some(sum.into())),
            Reading::Times(times) => Cell::Times(times),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cell, as people read it, its JSON, and whether it is none.
    #[test]
    fn a_cell_of_any_kind_has_its_forms() {
        let check = |cell: Cell<'_>, shown: &str, fields: &[(&str, Value)], is_zero: bool, is_unknown: bool| {
            assert_eq!(
                (cell.shown().as_str(), cell.is_zero(), cell.is_unknown()),
                (shown, is_zero, is_unknown),
                "{cell:?}"
            );
            let found = cell.clone().fields("k").into_iter();
            let found: Vec<_> = found.map(|(name, field)| (name, serde_json::to_value(field).unwrap())).collect();
            let expected: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            assert_eq!(found, expected, "{cell:?}");
        };
        let measured = Measured { value: 1500.0, error: 15.0 };
        check(Cell::text("a\u{1b}b"), "a\u{fffd}b", &[("k", json!("a\u{1b}b"))], false, false);
        check(Cell::text(""), "", &[("k", json!(""))], true, true);
        check(Cell::optional_text(None::<&str>), "", &[("k", Value::Null)], true, true);
        check(Cell::optional_text(Some("a")), "a", &[("k", json!("a"))], false, false);
        check(Cell::End(None), "", &[("k_ns", Value::Null)], false, true);
        check(Cell::End(Some(1500)), "1.50 us", &[("k_ns", json!(1500))], false, false);
        check(Cell::Number(Some(12345)), "12345", &[("k", json!(12345))], false, false);
        check(Cell::Count(Some(12345)), "12,345", &[("k", json!(12345))], false, false);
        check(Cell::Count(Some(0)), "0", &[("k", json!(0))], true, false);
        check(Cell::Count(None), "", &[("k", Value::Null)], true, true);
        check(Cell::Flag(Some(true)), "true", &[("k", json!(true))], false, false);
        check(Cell::Share(Some(0.5)), "50.0 %", &[("k", json!(0.5))], false, false);
        check(Cell::Nanos(Some(1500.0)), "1.50 us", &[("k_ns", json!(1500.0))], false, false);
        check(Cell::Moment(Some(0)), "0.00 ns", &[("k_ns", json!(0))], true, false);
        let both = [("k_ns", json!(1500.0)), ("k_se_ns", json!(15.0))];
        check(Cell::Estimate(Some(measured)), "1.50 us", &both, false, false);
        check(Cell::AtLeast(Some(measured)), "\u{2265}1.50 us", &both, false, false);
        let neither = [("k_ns", Value::Null), ("k_se_ns", Value::Null)];
        check(Cell::AtLeast(Some(measured)).unknown(), "", &neither, true, true);
        assert_eq!(Cell::Estimate(Some(measured)).shown_with_error(), "1.50 us \u{b1}1.0 %");
    }
}
