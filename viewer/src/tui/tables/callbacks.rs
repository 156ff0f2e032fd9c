//! Go functions that C calls.

use std::borrow::Cow;

use cgoprof_profile::Profile;

use super::listed::Listing;
use crate::tables::callbacks::{CallbackRow, total};
use crate::tui::data::Data;
use crate::units::printable;

impl Listing for CallbackRow {
    fn all(data: &Data) -> &[CallbackRow] {
        &data.callbacks().0
    }

    fn name<'a>(&'a self, profile: &'a Profile) -> Cow<'a, str> {
        Cow::Owned(printable(CallbackRow::name(self, profile)))
    }

    fn key(&self, profile: &Profile) -> String {
        format!("{} {:?}", CallbackRow::name(self, profile), self.within(profile))
    }

    fn share(&self, data: &Data) -> f64 {
        total(self.callback(&data.profile)).value / data.callbacks().1.max(1.0)
    }

    fn empty(data: &Data) -> String {
        if data.profile.recording.scheduler.callbacks {
            "C did not call Go"
        } else {
            "callbacks were not followed: engine trampoline does that"
        }
        .into()
    }
}
