//! Goroutines that crossed.

use std::borrow::Cow;

use cgoprof_profile::{Goroutine, Profile};

use super::listed::Listing;
use crate::tables::goroutines::began_with;
use crate::tui::data::Data;
use crate::units::printable;

impl Listing for Goroutine {
    fn all(data: &Data) -> &[Goroutine] {
        &data.profile.goroutines
    }

    fn name<'a>(&'a self, profile: &'a Profile) -> Cow<'a, str> {
        Cow::Owned(format!("{} {}", self.goid, printable(began_with(self, profile).unwrap_or_default())))
    }

    fn key(&self, _: &Profile) -> String {
        format!("{} {}", self.process, self.goid)
    }

    fn share(&self, data: &Data) -> f64 {
        self.calls as f64 / data.totals.crossings.max(1) as f64
    }

    fn empty(_: &Data) -> String {
        "goroutines were not followed: engine trampoline does that".into()
    }
}
