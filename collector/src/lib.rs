//! From a process to a profile: what is in the binary, how it is patched, and what the recorder does meanwhile.

mod arch;
mod assemble;
mod assemble_samples;
mod assemble_scheduler;
mod cell_id;
pub mod clock;
pub mod detach;
pub mod doctor;
#[doc(hidden)]
pub mod fuzzing;
pub mod goruntime;
pub mod inspection;
mod loaded;
mod offcpu;
pub mod output;
mod perf;
mod plugins;
pub mod process;
pub mod record;
mod sample;
mod sampling;
mod slow_event;
mod snapshot;
mod steal;
mod symbolize;

mod threads;
mod ticker;
mod timeline;
mod timing_stats;
pub mod trampoline;
mod unwind;
mod uprobe;

pub use detach::detach;
pub use record::{Options, Outcome, RecordError, record, watch};
