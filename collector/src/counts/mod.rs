//! The data of a recording in the making, whichever engine counts.

pub(crate) mod calibration;
pub(crate) mod cell_id;
pub(crate) mod histogram;
pub(crate) mod label_looks;
pub(crate) mod slow_event;
pub(crate) mod snapshot;
pub(crate) mod timing_stats;
