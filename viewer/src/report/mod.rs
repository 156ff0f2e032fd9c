//! Reports: text for people, JSON for programs.

pub mod json;
pub mod text;

/// What the rows of a report are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum By {
    /// C functions.
    #[default]
    Function,
    /// Lines of Go.
    Site,
    /// Stacks.
    Stack,
}
