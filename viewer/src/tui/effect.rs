//! What the terminal's side is to do.

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Puts a text on the clipboard.
    Copy(String),
    /// Writes a file beside those that are there.
    Write(NewFile),
    /// Writes the recording of a program that is watched.
    Save,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Name without what makes it unique.
    pub stem: String,
    /// After the dot.
    pub extension: &'static str,
    /// What is in it.
    pub contents: Vec<u8>,
}
