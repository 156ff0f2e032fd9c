//! Lines of source files around those that matter.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use cgoprof_profile::{FunctionId, Via};

use super::super::data::Data;
use crate::analysis::Cpu;
use crate::tables::inside::{self, Group};
use crate::tables::sites::SiteRow;
use crate::units::{count, printable, time};

/// Where source files come from.
pub trait Files {
    /// The lines of a file, if it is there.
    fn lines(&self, path: &str) -> Option<Vec<String>>;
}

/// Files that are read once.
pub(crate) struct Cached {
    files: Box<dyn Files + Send>,
    read: RefCell<HashMap<String, Option<Arc<Vec<String>>>>>,
}

impl Cached {
    pub(crate) fn new(files: Box<dyn Files + Send>) -> Cached {
        Cached { files, read: RefCell::default() }
    }

    fn lines(&self, path: &str) -> Option<Arc<Vec<String>>> {
        let mut read = self.read.borrow_mut();
        read.entry(path.to_owned()).or_insert_with(|| self.files.lines(path).map(Arc::new)).clone()
    }
}

/// A part of a file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) lines: Vec<SourceLine>,
}

/// A line of a file.
#[derive(Clone, Debug)]
pub(crate) struct SourceLine {
    pub(crate) number: u32,
    pub(crate) text: String,
    /// What is measured of it; empty if that is nothing.
    pub(crate) measured: String,
}

/// Parts that are shown, and lines on each side.
const MOST_SOURCES: usize = 3;
const AROUND: u32 = 4;
/// Least share of a function's processor time in C with which a line is shown for its own sake.
const LEAST_SHARE: f64 = 0.01;

/// Lines around sites, with the crossings made from them to any C function.
pub(super) fn around_sites(sites: &[SiteRow], data: &Data, files: &Cached) -> Vec<Source> {
    let sites = sites.iter().filter_map(|row| row.site.as_ref()).filter(|site| site.line > 0).take(MOST_SOURCES);
    let around = sites.filter_map(|site| {
        around(files, &site.file, site.line, |number| match data.sites().calls_from(&site.file, number) {
            0 => String::new(),
            calls => count(calls),
        })
    });
    around.collect()
}

/// Lines of C around those in which the crossings of a function spent most processor time.
pub(super) fn hottest_in_c(data: &Data, function: FunctionId, via: Via, files: &Cached) -> Vec<Source> {
    let profile = &data.profile;
    let own = profile.cells.iter().filter(|cell| cell.function == function && cell.via == via);
    let cells: HashSet<u64> = own.map(|cell| cell.id).collect();
    let of_function = |cell: Option<u64>| cell.is_some_and(|id| cells.contains(&id));
    let rows = inside::rows_of(profile, Group::Line, of_function);
    let mut samples: BTreeMap<(&str, u32), u64> = BTreeMap::new();
    let all = rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.own));
    let known = || rows.iter().filter(|row| row.own > 0 && row.line > 0);
    let hot = || known().filter(|row| row.own as f64 >= all as f64 * LEAST_SHARE);
    for row in known() {
        let own = samples.entry((&row.file, row.line)).or_default();
        *own = u64::saturating_add(*own, row.own);
    }
    let measured = |file: &str, number: u32| {
        let cpu = samples.get(&(file, number)).and_then(|&own| Cpu::of(own, profile));
        cpu.map_or_else(String::new, |cpu| time(cpu.nanos))
    };
    let (mut sources, mut shown) = (Vec::new(), HashSet::new());
    for row in hot() {
        if sources.len() == MOST_SOURCES {
            break;
        }
        // A line in a part that is shown has its number there.
        if shown.contains(&(row.file.as_str(), row.line)) {
            continue;
        }
        shown.extend(
            (row.line.saturating_sub(AROUND)..=row.line.saturating_add(AROUND)).map(|line| (row.file.as_str(), line)),
        );
        sources.extend(around(files, &row.file, row.line, |number| measured(&row.file, number)));
    }
    sources
}

fn around(files: &Cached, file: &str, line: u32, measured: impl Fn(u32) -> String) -> Option<Source> {
    let text = files.lines(file)?;
    let first = line.saturating_sub(AROUND).max(1);
    let lines = (first..=line.saturating_add(AROUND)).filter_map(|number| {
        let line = text.get(number as usize - 1)?;
        let text = printable(&line.replace('\t', "    "));
        Some(SourceLine { number, text, measured: measured(number) })
    });
    let lines: Vec<_> = lines.collect();
    (!lines.is_empty()).then(|| Source { file: printable(file), lines })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cgoprof_profile::{Cell, Function, Kind, Line, Location, LocationId, Profile, SampledStack};

    use super::*;

    /// A hundred lines in place of each file of C.
    struct Text;

    impl Files for Text {
        fn lines(&self, path: &str) -> Option<Vec<String>> {
            path.ends_with(".c").then(|| (1..=100).map(|number| format!("\tline {number}\u{1b}[2J")).collect())
        }
    }

    #[test]
    fn lines_of_c_have_the_time_that_samples_of_the_function_found_there() {
        let mut profile = Profile::default();
        profile.recording.sample_period_ns = 1_000_000;
        let function = |name: &str, file: &str| Function {
            name: name.into(),
            c_name: name.into(),
            kind: Kind::C,
            file: file.into(),
            ..Function::default()
        };
        profile.functions = vec![function("work", "work.c"), function("other", "other.c"), function("gone", "gone.h")];
        let mut place = |function, line| {
            let lines = vec![Line { function: FunctionId(function), line }];
            profile.locations.push(Location { address: 1, lines, ..Location::default() });
            LocationId(profile.locations.len() - 1)
        };
        let (begin, hot, near, far) = (place(0, 10), place(0, 50), place(0, 52), place(0, 90));
        let (of_other, gone) = (place(1, 50), place(2, 7));
        for (id, function, stack) in [(1, 0, begin), (2, 1, of_other)] {
            let stack = vec![stack];
            profile.cells.push(Cell { id, function: FunctionId(function), stack, ..Cell::default() });
        }
        for (cell, stack, samples) in [
            (1, vec![hot], 7),
            (1, vec![near], 3),
            (1, vec![far], 2),
            (1, vec![gone, hot], 9),
            (2, vec![of_other], 100),
        ] {
            let inside = stack.len() - 1;
            profile.samples.push(SampledStack { cell: Some(cell), stack, inside, samples, ..SampledStack::default() });
        }
        let data = Data::new(Arc::new(profile));
        let found = hottest_in_c(&data, FunctionId(0), Via::Cgocall, &Cached::new(Box::new(Text)));
        let shown: Vec<Vec<_>> = found
            .iter()
            .map(|source| {
                let measured = source.lines.iter().filter(|line| !line.measured.is_empty());
                measured.map(|line| (line.number, line.measured.as_str())).collect()
            })
            .collect();
        // A file that is not here is left out, and a line that is shown already is not shown again.
        assert_eq!(shown, [vec![(50, "7.00 ms"), (52, "3.00 ms")], vec![(90, "2.00 ms")]]);
        assert!(found.iter().all(|source| source.file == "work.c" && source.lines.len() == 9));
        assert!(found[0].lines.iter().all(|line| !line.text.contains('\u{1b}')));
    }
}
