//! What is typed.

use super::super::pattern::Pattern;

/// What is being typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) text: String,
    /// What was searched for before.
    pub(crate) before: Option<Pattern>,
}

/// Something typed into the prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Typed {
    Letter(char),
    Erase,
    Clear,
    Enter,
    GiveUp,
}
