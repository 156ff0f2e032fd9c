//! Formats in which a profile is written for other programs. The way to add one is in docs/developing.md.

mod format;
pub(crate) mod tracks;
pub(crate) mod weighted_stacks;

pub use format::{ExportError, Format};

/// Declares the files with formats, and lists their types.
macro_rules! formats {
    ($($file:ident::$format:ident,)+) => {
        $(pub mod $file;)+

        /// All formats.
        pub const FORMATS: &[&dyn Format] = &[$(&$file::$format,)+];
    };
}

formats! {
    benchfmt::Benchfmt,
    csv::Csv,
    firefox::Firefox,
    flamegraph::FlameGraph,
    folded::Folded,
    html::Html,
    markdown::Markdown,
    otlp::Otlp,
    perfetto::Perfetto,
    pprof::Pprof,
    speedscope::Speedscope,
}
