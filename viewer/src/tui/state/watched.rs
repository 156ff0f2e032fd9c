//! A program that is watched.

use std::sync::Arc;

use cgoprof_profile::Profile;

use super::super::data::Data;
use super::super::live::{History, Rates};

/// A program that is watched.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) history: History,
    /// As they are shown.
    pub(crate) rates: Rates,
    /// Of the whole, which is to be shown next.
    pub(crate) next_rates: Rates,
    /// What came while it was frozen.
    pub(crate) newest: Option<Arc<Data>>,
    pub(crate) frozen: bool,
    /// Only the last so many seconds are shown.
    pub(crate) window: Option<u64>,
    /// Only what came since then.
    pub(crate) zero: Option<Arc<Profile>>,
    /// Whole seconds since the newest came.
    pub(crate) age: u64,
    /// It has ended, or the recording of it.
    pub(crate) ended: Option<String>,
}
