//! What the tables of a profile are: functions, sites, stacks, threads, goroutines, locks, callbacks, advice.
//!
//! Each table's rows and columns are declared once, in a file of its own. The text report, JSON, CSV and the screen all
//! go through these columns; a column says in which of them it is shown. The way to add one is in docs/developing.md.

pub mod advice;
pub mod callbacks;
mod cell;
mod column;
pub mod crossings;
mod field;
pub mod functions;
pub mod goroutines;
pub mod locks;
mod part;
pub mod sites;
pub mod stacks;
pub mod threads;

pub use cell::{Cell, SortKey};
pub use column::{Align, Column, Place, Tone};
pub use field::Field;
pub(crate) use field::{Birth, Frame, Holder, known};
pub use part::Part;

/// A row of a table that has the same columns for all profiles.
pub trait Row: Sized + 'static {
    /// Returns the columns, in the order in which they are shown.
    fn columns() -> &'static [Column<Self>];
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use cgoprof_profile::{Goroutine, Lock, Profile};

    use super::*;

    fn check<R: Row>(row: &R, profile: &Profile) {
        let mut names = HashSet::new();
        for column in R::columns() {
            let fields = column.fields(row, profile);
            let is_shown = !fields.is_empty() || column.place().is_some() || !column.head().is_empty();
            assert!(is_shown, "{} is nowhere", column.key());
            for (name, _) in fields {
                assert!(names.insert(name.clone()), "two fields {name}");
            }
        }
    }

    #[test]
    fn columns_have_names_of_their_own() {
        let mut profile = Profile::default();
        profile.functions.push(Default::default());
        profile.callbacks.push(Default::default());
        profile.threads.push(Default::default());
        check(&functions::FunctionRow::default(), &profile);
        check(&threads::rows(&profile)[0], &profile);
        check(&callbacks::rows(&profile)[0], &profile);
        check(&Goroutine::default(), &profile);
        check(&Lock::default(), &profile);
    }
}
