//! A pprof profile with nothing in it that other programs don't know.

use std::io::Write;

use cgoprof_profile::increment::Increment;
use cgoprof_profile::{Profile, plain};

use super::format::{ExportError, Format};

/// The samples of the profile's own file, as one gzip member, without what cgoprof keeps beside them.
pub struct Pprof;

impl Format for Pprof {
    fn name(&self) -> &'static str {
        "pprof"
    }

    fn about(&self) -> &'static str {
        "Samples alone, for programs that refuse the fields that a profile's own file has beside them"
    }

    fn is_binary(&self) -> bool {
        true
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        Ok(output.write_all(&plain(profile, &Increment::whole(profile)))?)
    }
}
