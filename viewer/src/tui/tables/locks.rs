//! Places where goroutines lock themselves to their threads.

use std::borrow::Cow;

use cgoprof_profile::{Lock, Profile};

use super::listed::Listing;
use crate::tables::locks::site;
use crate::tui::data::Data;
use crate::units::printable;

impl Listing for Lock {
    fn all(data: &Data) -> &[Lock] {
        &data.profile.locks
    }

    fn name<'a>(&'a self, profile: &'a Profile) -> Cow<'a, str> {
        let name = site(self, profile).map(|at| printable(&format!("{} {}:{}", at.function, at.file, at.line)));
        Cow::Owned(name.unwrap_or_default())
    }

    fn key(&self, _: &Profile) -> String {
        format!("{:?}", self.stack)
    }

    fn empty(data: &Data) -> String {
        match data.profile.recording.scheduler.locks {
            true => "no goroutine locked itself to its thread (runtime.LockOSThread)".into(),
            false => "locks were not followed: engine trampoline does that".into(),
        }
    }
}
