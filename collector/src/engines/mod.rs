//! The engines, which count crossings, and how each gets to work on a program.

mod attach;
mod error;
mod kind;
pub(crate) mod notes;
mod own_count;
pub(crate) mod sample;
pub mod trampoline;
pub(crate) mod uprobe;
mod work;

use attach::observed_bias;
pub(crate) use attach::{
    AttachPoint, Attached, Candidate, RunningEngine, Settings, Subject, allow_many_files, candidate,
};
pub use error::EngineError;
pub use kind::EngineKind;
pub(crate) use trampoline::{Arrival, ArrivalKind, Gate};
pub use trampoline::{MAX_OVERHEAD, Timing};
pub(crate) use work::{AddError, AddedModule, Capabilities, DetachError, Detached, Engine, ReportedModule};
