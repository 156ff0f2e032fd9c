//! What the tables of a profile are: functions, sites, stacks, processes, threads, goroutines, locks, callbacks, advice.
//!
//! Each table's rows and columns are declared once, in a file of its own. The text report, JSON, CSV and the screen go
//! through these columns; a column says in which of them it is shown. Stacks and advice have lines of their own in the
//! text report. docs/developing.md says how to add a column.

pub mod advice;
pub mod callbacks;
mod cell;
pub(crate) mod column;
pub mod crossings;
mod field;
pub mod functions;
pub mod goroutines;
pub mod inside;
pub mod locks;
pub mod packages;
mod part;
pub mod processes;
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
        check_columns(R::columns(), row, profile);
    }

    fn check_columns<R>(columns: &[Column<R>], row: &R, profile: &Profile) {
        let mut names = HashSet::new();
        for column in columns {
            let fields = column.fields(row, profile);
            let is_shown = !fields.is_empty() || column.place().is_some() || column.is_in_report();
            assert!(is_shown, "{} is nowhere", column.key());
            for (name, _) in fields {
                assert!(names.insert(name.clone()), "two fields {name}");
            }
        }
    }

    /// Names are strings in JSON also where they are empty, as they have always been.
    #[test]
    fn an_empty_name_is_no_null() {
        let mut profile = Profile::default();
        profile.functions.push(Default::default());
        profile.cells.push(Default::default());
        profile.threads.push(Default::default());
        let report: serde_json::Value = serde_json::from_str(&crate::report::json::write(&profile).unwrap()).unwrap();
        let (function, site) = (&report["functions"][0], &report["sites"][0]);
        let names = [&function["name"], &function["package"], &site["function"], &report["stacks"][0]["function"]];
        assert_eq!(names.map(|name| name.as_str()), [Some(""); 4], "{report}");
        assert_eq!(report["threads"][0]["name"], "");
        assert!(
            [&function["symbol"], &function["library"], &site["file"]].iter().all(|name| name.is_null()),
            "{report}"
        );
    }

    #[test]
    fn columns_have_names_of_their_own() {
        let mut profile = Profile::default();
        profile.functions.push(Default::default());
        profile.callbacks.push(Default::default());
        profile.threads.push(Default::default());
        profile.cells.push(Default::default());
        check(&functions::FunctionRow::default(), &profile);
        check(&threads::rows(&profile)[0], &profile);
        check(&callbacks::rows(&profile)[0], &profile);
        check(&Goroutine::default(), &profile);
        check(&Lock::default(), &profile);
        check(&sites::rows(&profile)[0], &profile);
        let of_two = Profile { processes: vec![profile.clone().into(); 2], ..profile.clone() };
        check(&processes::rows(&of_two)[0], &of_two);
        let advice = advice::AdviceRow {
            kind: "chatty",
            function: String::new(),
            site: None,
            why: String::new(),
            what: String::new(),
            saving: None,
        };
        check(&advice, &profile);
        check_columns(&stacks::columns(), &crate::analysis::by_stack(&profile)[0], &profile);
    }
}
