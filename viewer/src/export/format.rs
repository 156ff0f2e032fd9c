//! What a format is.

use std::io::{self, Write};

use cgoprof_profile::Profile;

/// A format for other programs.
pub trait Format: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What it is, for the help.
    fn about(&self) -> &'static str;

    /// Whether it is for programs alone, and must not be printed on a terminal.
    fn is_binary(&self) -> bool {
        false
    }

    /// Writes the profile in this format.
    ///
    /// # Errors
    /// If the profile holds nothing that the format can show, or is damaged, or the output fails.
    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError>;
}

/// Why a profile can't be written in a format.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A picture can't be drawn.
    #[error(transparent)]
    Draw(Box<dyn std::error::Error + Send + Sync>),
    /// The table can't be made.
    #[error(transparent)]
    Table(#[from] crate::report::tabular::TabularError),
    /// The profile has nothing that the format can show.
    #[error("{0}")]
    Nothing(&'static str),
    /// The output failed.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// The JSON of a format failed, or its output did.
    #[error("cannot write: {0}")]
    Json(#[from] serde_json::Error),
}
