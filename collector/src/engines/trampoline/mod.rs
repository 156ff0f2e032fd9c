//! The trampoline engine: hooks in the target's own memory, counting into tables that we share.

mod blob;
pub mod calibrate;
mod candidate;
pub mod ceiling;
mod engine;
mod hook_frames;
pub mod inject;
mod join;
mod left;
pub(crate) mod lying_tables;
pub(crate) mod module;
pub(crate) mod plugins;
pub mod policy;
mod presence;
mod returns;
mod self_check;
mod shared;
mod source;
mod standing;
mod table_set;
pub mod tables;
pub(crate) mod tables_image;
pub(crate) mod ticker;
mod undo;

pub use crate::counts::calibration::Calibration;
pub use calibrate::calibrate;
pub(crate) use candidate::candidate;
pub use inject::{HookSettings, InjectError, Placed};
pub use join::JoinError;
pub(crate) use policy::{Budget, Outliers};
pub use policy::{MAX_OVERHEAD, Timing};
pub(crate) use table_set::TableSet;
pub use tables::Tables;

pub use crate::process::remote::RemoteError;
pub use undo::UndoError;
pub(crate) use undo::{recorders, undo_all, undo_mine};
