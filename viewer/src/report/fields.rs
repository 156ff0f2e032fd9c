//! Parts that several objects of the JSON report have.

use cgoprof_profile::{Distribution, Kind};
use serde::Serialize;

use crate::analysis;

/// How times are spread.
#[derive(Serialize)]
pub(super) struct Spread {
    min_ns: Option<f64>,
    p50_ns: Option<f64>,
    p90_ns: Option<f64>,
    p99_ns: Option<f64>,
    max_ns: Option<f64>,
}

/// A frame of a stack.
#[derive(Serialize)]
pub(super) struct Frame<'a> {
    kind: &'static str,
    name: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    inlined: bool,
}

impl Spread {
    pub(super) fn new(times: &Distribution) -> Self {
        Spread {
            min_ns: times.extremes.map(|(min, _)| min),
            p50_ns: times.quantile(0.5),
            p90_ns: times.quantile(0.9),
            p99_ns: times.quantile(0.99),
            max_ns: times.extremes.map(|(_, max)| max),
        }
    }
}

impl<'a> Frame<'a> {
    pub(super) fn new(frame: &analysis::Frame<'a>) -> Self {
        Frame {
            kind: match frame.kind {
                Kind::Go => "go",
                Kind::Border => "border",
                Kind::C => "c",
            },
            name: frame.position.function,
            file: known(frame.position.file),
            line: (frame.position.line > 0).then_some(frame.position.line),
            inlined: frame.inlined,
        }
    }
}

/// A text, null where it is empty.
pub(super) fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
