//! What could be done about a program's crossings: each piece of advice with its evidence. Pure.
//!
//! Nothing is said below the thresholds, which docs/advice.md states: none is a good answer.

mod blocking;
mod border;
mod finding;
mod memory;
mod origin;
mod scheduling;

use cgoprof_profile::Profile;

pub use finding::{Advice, Kind, Saving};

/// All advice, that which most likely saves most first.
pub fn advice(profile: &Profile) -> Vec<Advice<'_>> {
    if !profile.recording.counted() {
        return Vec::new();
    }
    let mut all = Vec::new();
    border::advise(profile, &mut all);
    scheduling::advise(profile, &mut all);
    memory::advise(profile, &mut all);
    blocking::advise(profile, &mut all);
    all.sort_by(|one, other| {
        let least = |advice: &Advice<'_>| advice.saving.map_or(0.0, Saving::at_least);
        let by_saving = least(other).total_cmp(&least(one));
        by_saving.then(one.kind.cmp(&other.kind)).then(one.function.cmp(other.function)).then(one.site.cmp(&other.site))
    });
    all
}
