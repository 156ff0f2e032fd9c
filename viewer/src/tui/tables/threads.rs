//! Threads: what they did, who made them and why.

use std::borrow::Cow;

use cgoprof_profile::Profile;

use super::listed::Listing;
use crate::tables::threads::ThreadRow;
use crate::tui::data::Data;
use crate::units::printable;

impl Listing for ThreadRow {
    fn all(data: &Data) -> &[ThreadRow] {
        data.threads()
    }

    fn name<'a>(&'a self, profile: &'a Profile) -> Cow<'a, str> {
        let thread = self.thread(profile);
        Cow::Owned(format!("{} {}", thread.tid, printable(&thread.name)))
    }

    fn share(&self, data: &Data) -> f64 {
        self.c_ns() / data.totals.c.max(1.0)
    }

    fn empty(data: &Data) -> String {
        if data.profile.recording.counted() {
            "threads were not watched"
        } else {
            "engine sample does not follow threads"
        }
        .into()
    }
}
