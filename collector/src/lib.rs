//! From a process to a profile: what is in the binary, how it is patched, and what the recorder does meanwhile.

mod assemble;
pub mod output;
pub mod process;
pub mod record;
mod symbolize;
pub mod target;
mod ticker;
pub mod trampoline;

pub use record::{Options, Outcome, RecordError, record};
