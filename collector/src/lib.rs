//! Makes a profile of a process: reads the binary, patches the process, and records.

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
