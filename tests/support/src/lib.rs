//! What the tests and benchmarks of the binary share: Go programs, recordings of them, terminals, and comparisons.

pub mod beside;
pub mod go;
pub mod host;
pub mod recording;
pub mod tmux;
pub mod tolerance;
