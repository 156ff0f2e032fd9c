//! The page of a profile, as a file.

use std::io::Write;

use cgoprof_profile::Profile;

use super::format::{ExportError, Format};
use crate::page;

/// One HTML file without a network: tables, flame graphs, timeline, histograms, advice.
pub struct Html;

impl Format for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn about(&self) -> &'static str {
        "Page for a browser in one file, as cgoprof web shows it"
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        Ok(page::write(profile, None, output)?)
    }
}
