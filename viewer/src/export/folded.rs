//! Folded stacks, a line each, as flame graph tools read them.

use std::io::Write;

use cgoprof_profile::Profile;

use super::format::{ExportError, Format};
use super::weighted_stacks::weighted_stacks;
use crate::value::Value;

/// Lines like `main.main;runtime.cgocall;work 1000`: the outermost function first, then nanoseconds, or crossings where
/// nothing was timed.
pub struct Folded;

impl Format for Folded {
    fn name(&self) -> &'static str {
        "folded"
    }

    fn about(&self) -> &'static str {
        "A stack a line with its time, for flamegraph.pl, inferno, speedscope and other flame graph tools"
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        let mut lines = Vec::new();
        for stack in weighted_stacks(profile, Value::default_of(profile)) {
            lines.push((stack.folded(), stack.size));
        }
        lines.sort();
        for same in lines.chunk_by(|one, other| one.0 == other.0) {
            let size = same.iter().fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
            writeln!(output, "{} {size}", same[0].0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Cell, Estimate, Function, FunctionId, Kind, Line, Location, LocationId, Stats};

    use super::*;

    #[test]
    fn a_stack_is_one_line() {
        let function = |name: &str, kind| Function { name: name.into(), kind, ..Function::default() };
        let line =
            |index| Location { lines: vec![Line { function: FunctionId(index), line: 1 }], ..Location::default() };
        let time = |sum| Estimate { sum, ..Estimate::default() };
        let stats = Stats { calls: 1, timed: 1, c: time(100.0), exit: time(900.0), ..Stats::default() };
        let cell = |truncated, locked| Cell {
            stack: vec![LocationId(0), LocationId(1), LocationId(2)],
            stats: stats.clone(),
            truncated,
            locked,
            ..Cell::default()
        };
        let mut profile = Profile {
            functions: vec![
                function("f;g\u{1b}", Kind::C),
                function("runtime.cgocall", Kind::Border),
                function("main.main", Kind::Go),
            ],
            locations: (0..3).map(line).collect(),
            cells: vec![cell(false, false)],
            ..Profile::default()
        };
        profile.recording.knows.counts = true;
        let folded = |profile: &Profile| {
            let mut lines = Vec::new();
            Folded.write(profile, &mut lines).expect("lines");
            String::from_utf8(lines).expect("text")
        };
        let lines = "main.main;runtime.cgocall 900\nmain.main;runtime.cgocall;f:g\u{fffd} 100\n";
        assert_eq!(folded(&profile), lines);
        profile.cells[0].truncated = true;
        assert!(folded(&profile).starts_with("[truncated];main.main;runtime.cgocall 900\n"));
    }
}
