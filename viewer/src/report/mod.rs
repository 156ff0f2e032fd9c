//! Reports: text for people, JSON for programs.

mod counters;
pub mod json;
mod rows;
mod scheduler_json;
mod scheduler_text;
mod table;
pub mod text;

use crate::tables::inside::Group;

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
    /// Threads, who made them and why.
    Thread,
    /// Goroutines, and those that lock themselves to threads.
    Goroutine,
    /// Go packages.
    Package,
    /// C as samples saw it.
    Inside(Group),
    /// Go functions that C calls.
    Callback,
    /// What could be done.
    Advice,
}
