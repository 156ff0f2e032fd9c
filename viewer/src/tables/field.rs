//! What fields of the JSON report hold beside numbers and names.

use cgoprof_profile::{Distribution, Kind};
use serde::Serialize;
use serde_json::Value;

use crate::analysis;
use crate::scheduler::BirthRow;

/// A field of a JSON object.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Field<'a> {
    /// A string, a number, a truth value or null.
    Scalar(Value),
    /// An object of times.
    Times(Spread),
    /// A stack.
    Frames(Vec<Frame<'a>>),
    /// An object, or null.
    Birth(Option<Birth<'a>>),
}

/// How times are spread.
#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    min_ns: Option<f64>,
    p50_ns: Option<f64>,
    p90_ns: Option<f64>,
    p99_ns: Option<f64>,
    max_ns: Option<f64>,
}

/// A frame of a stack.
#[derive(Clone, Debug, Serialize)]
pub struct Frame<'a> {
    kind: &'static str,
    name: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    inlined: bool,
}

/// A thread that the runtime made.
#[derive(Clone, Debug, Serialize)]
pub struct Birth<'a> {
    at_ns: u64,
    tid: Option<u64>,
    why: &'static str,
    in_c: u64,
    holders: Vec<Holder<'a>>,
}

/// How many threads were in a C function.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Holder<'a> {
    function: &'a str,
    threads: u64,
}

impl Spread {
    pub(crate) fn new(times: &Distribution) -> Self {
        Spread {
            min_ns: times.extremes.map(|(min, _)| min),
            p50_ns: times.quantile(0.5),
            p90_ns: times.quantile(0.9),
            p99_ns: times.quantile(0.99),
            max_ns: times.extremes.map(|(_, max)| max),
        }
    }

    /// Returns its numbers with their names.
    pub(crate) fn parts(&self) -> [(&'static str, Option<f64>); 5] {
        let Spread { min_ns, p50_ns, p90_ns, p99_ns, max_ns } = *self;
        [("min_ns", min_ns), ("p50_ns", p50_ns), ("p90_ns", p90_ns), ("p99_ns", p99_ns), ("max_ns", max_ns)]
    }
}

impl<'a> Birth<'a> {
    pub(crate) fn new(row: BirthRow<'a>) -> Self {
        Birth {
            at_ns: row.birth.at_ns,
            tid: row.birth.tid,
            why: row.why.text(),
            in_c: row.birth.in_c,
            holders: Holder::all(row.holders),
        }
    }
}

impl<'a> Holder<'a> {
    pub(crate) fn all(holders: Vec<(&'a str, u64)>) -> Vec<Self> {
        holders.into_iter().map(|(function, threads)| Holder { function, threads }).collect()
    }
}

impl<'a> Frame<'a> {
    pub(crate) fn new(frame: &analysis::Frame<'a>) -> Self {
        Frame {
            kind: match frame.kind {
                Kind::Go => "go",
                Kind::Border => "border",
                Kind::C => "c",
                Kind::Kernel => "kernel",
            },
            name: frame.position.function,
            file: known(frame.position.file),
            line: (frame.position.line > 0).then_some(frame.position.line),
            inlined: frame.inlined,
        }
    }
}

/// A text, null where it is empty.
pub(crate) fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
