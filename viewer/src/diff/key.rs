//! What makes rows of two recordings the same.

use cgoprof_profile::{Cell, Kind, Profile, Via};

use crate::analysis::{self, Frame};

/// What rows of two recordings are compared by. Lines of code are not compared: they move when a file is edited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// C functions.
    Function,
    /// C functions and the Go functions that call them.
    Site,
    /// Stacks.
    Stack,
}

/// What makes rows of two recordings the same: names and packages as they are in every recording, not as they are shown.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Key {
    /// The C function's own name.
    pub function: String,
    /// The Go package that calls it.
    pub package: String,
    /// How C is reached.
    pub via: Via,
    /// The Go function that calls, or the whole stack, innermost first.
    pub callers: Vec<String>,
}

impl Key {
    /// Returns the key of a cell's row.
    pub(super) fn of(profile: &Profile, cell: &Cell, by: By) -> Key {
        let (name, package) = profile.functions[cell.function.0].identity();
        let callers = match by {
            By::Function => Vec::new(),
            By::Site => analysis::site(profile, cell).map(|site| site.function.to_owned()).into_iter().collect(),
            By::Stack => {
                let frames = analysis::frames(profile, &cell.stack);
                let is_go = |frame: &&Frame<'_>| frame.kind == Kind::Go;
                frames.iter().filter(is_go).map(|frame| frame.position.function.to_owned()).collect()
            }
        };
        Key { function: name.to_owned(), package: package.to_owned(), via: cell.via, callers }
    }
}
