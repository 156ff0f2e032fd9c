//! What differs between two recordings, or between repeats of two programs.

pub mod compare;
pub mod flamegraph;
pub mod key;
pub mod measure;
pub mod quantity;
pub mod rows;
pub mod table;
