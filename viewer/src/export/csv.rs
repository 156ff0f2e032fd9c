//! C functions as comma-separated values, times in nanoseconds.

use std::io::Write;

use cgoprof_profile::Profile;

use super::format::{ExportError, Format};
use crate::report::By;
use crate::report::tabular::{self, Form};
use crate::report::view::View;

/// The C functions of a profile: the columns are the fields of `functions[]` in the JSON report.
pub struct Csv;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn about(&self) -> &'static str {
        "C functions as comma-separated values, one column for each number"
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        Ok(output.write_all(&tabular::write(profile, By::Function, &View::all(), Form::Csv)?)?)
    }
}
