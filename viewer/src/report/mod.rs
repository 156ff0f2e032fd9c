//! Reports: text for people, JSON for programs.

mod blocked_text;
mod counters;
mod fit;
mod frames_text;
pub mod json;
pub(crate) mod rows;
mod scheduler_json;
mod scheduler_text;
mod slowest_json;
mod slowest_text;
pub(crate) mod table;
pub mod tabular;
pub mod text;
pub mod view;

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
    /// Processes.
    Process,
    /// Where C waited.
    Blocked,
    /// Single crossings, the slowest first.
    Slowest,
    /// C as samples saw it.
    Inside(Group),
    /// Go functions that C calls.
    Callback,
    /// What could be done.
    Advice,
}

impl By {
    /// All of them.
    pub const ALL: [By; 14] = [
        By::Function,
        By::Site,
        By::Stack,
        By::Thread,
        By::Goroutine,
        By::Package,
        By::Process,
        By::Blocked,
        By::Slowest,
        By::Inside(Group::Function),
        By::Inside(Group::Line),
        By::Inside(Group::Library),
        By::Callback,
        By::Advice,
    ];
}
