//! A report as a document, for an issue or a pull request.

use std::io::Write;

use cgoprof_profile::Profile;

use super::format::{ExportError, Format};
use crate::advice;
use crate::programs::programs;
use crate::report::tabular::{self, Form, escaped};
use crate::report::view::View;
use crate::report::{By, text};
use crate::tables::{callbacks, functions, packages, sites};
use crate::units::printable;

/// The head of the report, advice, the tables of functions, lines, packages and callbacks, and the notes.
pub struct Markdown;

/// Rows of each table.
const ROWS: usize = 20;

impl Format for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn about(&self) -> &'static str {
        "Report as a document: totals, C functions, lines of Go, packages, callbacks, advice"
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        writeln!(output, "# Go/C crossings of {}\n", escaped(&programs(profile)))?;
        for line in text::header(profile).lines().filter(|line| !line.is_empty()) {
            writeln!(output, "- {}", escaped(line))?;
        }
        let advice = advice::advice(profile);
        if !advice.is_empty() {
            writeln!(output, "\n## Advice\n")?;
        }
        for one in advice.iter().take(ROWS) {
            let place = one.site.map_or_else(String::new, |site| format!(", called by {}", printable(site.function)));
            writeln!(output, "- **{}**: {}", one.kind.name(), escaped(&(printable(one.function) + &place)))?;
            writeln!(output, "  {}", escaped(&printable(&one.why)))?;
            writeln!(output, "  *{}*", escaped(&printable(&one.what)))?;
        }
        if advice.len() > ROWS {
            writeln!(output, "\n{} more pieces of advice are left out.", advice.len() - ROWS)?;
        }
        let sections = [
            ("C functions", By::Function, functions::rows(profile).is_empty()),
            ("Lines of Go", By::Site, sites::rows(profile).is_empty()),
            ("Go packages", By::Package, packages::rows(profile).is_empty()),
            ("Callbacks", By::Callback, callbacks::rows(profile).is_empty()),
        ];
        for (title, by, _) in sections.into_iter().filter(|&(_, _, is_empty)| !is_empty) {
            writeln!(output, "\n## {title}\n")?;
            output.write_all(&tabular::write(profile, by, &View::rows(ROWS), Form::Document)?)?;
        }
        if !profile.recording.notes.is_empty() {
            writeln!(output, "\n## Notes\n")?;
        }
        for note in &profile.recording.notes {
            writeln!(output, "- {}", escaped(&printable(note)))?;
        }
        Ok(())
    }
}
