//! The trampoline engine: hooks in the target's own memory, counting into tables that we share.

mod blob;
pub mod calibrate;
pub mod ceiling;
mod hook_frames;
pub mod inject;
mod join;
mod left;
pub(crate) mod module;
pub mod policy;
mod presence;
mod returns;
mod shared;
mod standing;
mod table_set;
pub mod tables;
mod undo;

pub use calibrate::{Calibration, calibrate};
pub(crate) use inject::inject;
pub use inject::{InjectError, Placed, Settings};
pub use join::JoinError;
pub(crate) use join::{Joined, join};
pub(crate) use policy::{Budget, Outliers};
pub use policy::{MAX_OVERHEAD, Timing};
pub(crate) use table_set::TableSet;
pub(crate) use tables::CellAddresses;
pub use tables::Tables;

pub use crate::process::remote::RemoteError;
pub use undo::UndoError;
pub(crate) use undo::{Undone, recorders, undo_all, undo_mine, undo_own};
