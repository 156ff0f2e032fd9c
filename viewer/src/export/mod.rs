//! Formats in which a profile is written for other programs. The way to add one is in docs/developing.md.

pub mod csv;
pub mod flamegraph;
mod format;

pub use format::{ExportError, Format};

/// All formats.
pub const FORMATS: &[&dyn Format] = &[&csv::Csv, &flamegraph::FlameGraph];
