//! From a process to a profile: what is in the binary, how it is patched, and what the recorder does meanwhile.

mod arch;
mod assemble;
pub mod clock;
mod correlate;
mod counts;
pub mod detach;
pub mod doctor;
pub mod engines;
#[doc(hidden)]
pub mod fuzzing;
pub mod goruntime;
pub mod inspection;
mod loaded;
mod perf;
pub mod process;
pub mod record;
mod symbolize;

mod unwind;

pub use detach::detach;
pub use record::{Options, Outcome, RecordError, record, watch};
