//! Formats in which a profile is written for other programs. The way to add one is in docs/developing.md.

mod format;
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
    csv::Csv,
    flamegraph::FlameGraph,
    folded::Folded,
    speedscope::Speedscope,
}
