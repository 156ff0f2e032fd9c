//! What lies over every screen: a prompt, the help, a message.

use super::prompt::Prompt;

/// What is typed, read or said.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// What is being typed.
    pub(crate) prompt: Option<Prompt>,
    /// The first line of the help that is seen, while it is.
    pub(crate) help: Option<usize>,
    /// Said below until the next key.
    pub(crate) message: Option<String>,
}
