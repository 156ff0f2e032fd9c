//! The trampoline engine: hooks in the target's own memory, counting into tables that we share.

mod blob;
pub mod calibrate;
pub mod inject;
mod left;
pub mod policy;
pub mod tables;

pub use calibrate::{Calibration, calibrate};
pub(crate) use inject::inject;
pub use inject::{InjectError, Injected, Settings};
pub use policy::Timing;
pub use tables::Tables;

pub use crate::process::remote::RemoteError;
