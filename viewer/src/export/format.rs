//! What a format is.

use cgoprof_profile::Profile;

/// A format for other programs.
pub trait Format: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What it is, for the help.
    fn about(&self) -> &'static str;

    /// The profile in this format.
    ///
    /// # Errors
    /// If the profile holds nothing that the format can show, or is damaged.
    fn write(&self, profile: &Profile) -> Result<Vec<u8>, ExportError>;
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
    /// The report as JSON, which a format is made of, failed.
    #[error("cannot make the report: {0}")]
    Report(#[from] serde_json::Error),
}
