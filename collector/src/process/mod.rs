//! Processes: starting one stopped at its first instruction, acting in it, and what is mapped into it.

pub(crate) mod auxv;
mod broken_pipe;
pub mod launch;
pub mod maps;
pub(crate) mod memory;
pub(crate) mod remote;
