//! The trampoline engine: hooks in the program's own memory count crossings into tables that the recorder shares.

mod attach;
mod blob;
pub mod calibrate;
mod candidate;
pub mod ceiling;
mod detach;
mod engine;
mod gate;
mod hook_frames;
pub mod inject;
mod label_reader;
pub(crate) mod lying_tables;
pub(crate) mod module;
pub(crate) mod plugins;
pub mod policy;
mod registration;
mod retired_threads;
mod return_redirect;
mod self_check;
mod shared;
mod source;
mod table_set;
pub mod tables;
pub(crate) mod tables_image;
mod thread_position;
pub(crate) mod ticker;

pub use crate::counts::calibration::Calibration;
pub use attach::AttachError;
pub use calibrate::calibrate;
pub(crate) use candidate::candidate;
pub(crate) use gate::{Arrival, ArrivalKind, Gate};
pub use inject::{HookSettings, InjectError, Placed};
pub(crate) use policy::{Budget, Outliers};
pub use policy::{MAX_OVERHEAD, Timing};
pub(crate) use table_set::TableSet;
pub use tables::Tables;

pub use crate::process::remote_syscall::RemoteError;
pub use detach::UndoError;
pub(crate) use detach::{recorders, undo_all, undo_mine};
