//! What could be done.

use std::borrow::Cow;

use cgoprof_profile::Profile;

use super::listed::Listing;
use crate::tables::advice::{AdviceRow, none};
use crate::tui::data::Data;
use crate::units::printable;

impl Listing for AdviceRow {
    fn all(data: &Data) -> &[AdviceRow] {
        data.advice()
    }

    fn name<'a>(&'a self, _: &'a Profile) -> Cow<'a, str> {
        Cow::Owned(printable(&format!("{} {}", self.function, self.kind)))
    }

    fn key(&self, _: &Profile) -> String {
        let (_, file, line) = self.site.clone().unwrap_or_default();
        format!("{} {} {file}:{line}", self.function, self.kind)
    }

    fn share(&self, data: &Data) -> f64 {
        self.saving.map_or(0.0, |saving| saving.nanos) / data.totals.total.max(1.0)
    }

    fn empty(data: &Data) -> String {
        none(&data.profile.recording).into()
    }
}
