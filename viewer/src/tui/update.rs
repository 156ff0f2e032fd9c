//! What a program that is watched has done so far, made ready for the screens where nobody waits for a picture.

use std::sync::Arc;

use cgoprof_profile::Profile;

use super::data::{Data, profile_diff};

/// A recording as it goes on, ready to be shown.
#[derive(Debug)]
pub struct Update {
    pub(super) data: Arc<Data>,
    /// What of it is kept to look back to, once a second.
    pub(super) moment: Option<Arc<Profile>>,
}

/// Makes updates of profiles that follow each other, on a thread of its own.
#[derive(Debug, Default)]
pub struct UpdateBuilder {
    before: Option<Arc<Data>>,
    /// Length of the recording at the last moment that was kept, in nanoseconds.
    kept: Option<u64>,
}

/// From one moment that is kept to the next, in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

impl UpdateBuilder {
    /// Makes the next one ready.
    pub fn ready(&mut self, profile: Profile) -> Update {
        let data = Arc::new(match &self.before {
            Some(before) => Data::after(before, profile),
            None => Data::new(Arc::new(profile)),
        });
        self.before = Some(Arc::clone(&data));
        let now = data.profile.recording.duration_ns;
        let due = self.kept.is_none_or(|last| last + SECOND <= now);
        self.kept = if due { Some(now) } else { self.kept };
        let moment = due.then(|| Arc::new(profile_diff::kept(&data.profile)));
        Update { data, moment }
    }
}

impl Update {
    /// In place of one before that nobody has looked at.
    pub fn instead_of(mut self, before: Option<Update>) -> Update {
        self.moment = self.moment.or(before.and_then(|before| before.moment));
        self
    }
}
