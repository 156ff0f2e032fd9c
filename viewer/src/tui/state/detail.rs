//! One C function: all that is known of it.

use std::collections::HashMap;

use cgoprof_profile::{FunctionId, Stats, Via};

use super::super::data::Data;
use super::super::screen::Screen;
use super::scroll::Scroll;
use super::sources::{self, Cached, Files, Source};
use crate::analysis::{self, Frame};
use crate::tables::advice::AdviceRow;
use crate::tables::functions::FunctionRow;
use crate::tables::sites::SiteRow;
use crate::units::printable;

/// The screen, and the function that it is about.
pub(crate) struct DetailView {
    pub(crate) shown: Option<Detail>,
    pub(crate) about: Option<(FunctionId, Via)>,
    pub(crate) scroll: Scroll,
    /// The screen from where it was opened.
    pub(crate) opened_from: Screen,
    files: Cached,
}

impl DetailView {
    pub(crate) fn new(files: Box<dyn Files + Send>) -> DetailView {
        DetailView {
            shown: None,
            about: None,
            scroll: Scroll::default(),
            opened_from: Screen::default(),
            files: Cached::new(files),
        }
    }

    /// Tells of another function, from its first line on.
    pub(crate) fn set_about(&mut self, about: Option<(FunctionId, Via)>) {
        if self.about != about {
            self.show_from(0);
        }
        self.about = about;
    }

    /// Has a line seen first.
    pub(crate) fn show_from(&mut self, line: usize) {
        (self.scroll.first, self.scroll.selected) = (line, line);
    }

    /// Looks up what there is to tell.
    pub(crate) fn load(&mut self, data: &Data) {
        self.shown = self.about.and_then(|(function, via)| Detail::new(data, function, via, &self.files));
    }
}

/// What the screen shows.
#[derive(Clone, Debug)]
pub(crate) struct Detail {
    pub(crate) row: FunctionRow,
    /// The largest total first.
    pub(crate) sites: Vec<SiteRow>,
    pub(crate) stacks: Vec<StackLines>,
    /// More stacks than are listed.
    pub(crate) more_stacks: usize,
    /// The most time in C first.
    pub(crate) threads: Vec<Caller>,
    pub(crate) advice: Vec<AdviceRow>,
    /// Lines around sites, with the crossings made from them.
    pub(crate) sources: Vec<Source>,
    /// Lines of C around those in which most processor time was spent.
    pub(crate) in_c: Vec<Source>,
}

/// A thread that called it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) tid: u64,
    pub(crate) name: String,
    pub(crate) calls: u64,
    /// Those made by a goroutine locked to it.
    pub(crate) locked: u64,
    pub(crate) c_ns: f64,
}

/// A stack with its sums.
#[derive(Clone, Debug)]
pub(crate) struct StackLines {
    pub(crate) stats: Stats,
    /// Frames, innermost first.
    pub(crate) frames: Vec<String>,
}

/// Stacks that are listed.
const MOST_STACKS: usize = 20;

impl Detail {
    pub(crate) fn new(data: &Data, function: FunctionId, via: Via, files: &Cached) -> Option<Detail> {
        let row = data.functions.iter().find(|row| row.id == function && row.via == via)?.clone();
        let sites: Vec<SiteRow> = data.sites().of(function).filter(|site| site.via == via).cloned().collect();
        let (stacks, more_stacks) = stacks(data, function, via);
        let profile = &data.profile;
        let threads = profile.threads.iter().flat_map(|thread| {
            let own = thread.made.iter().filter(|made| made.function == function && made.via == via);
            own.map(|made| Caller {
                tid: thread.tid,
                name: printable(&thread.name),
                calls: made.calls,
                locked: made.locked,
                c_ns: made.c_ns,
            })
        });
        let mut threads: Vec<_> = threads.collect();
        threads.sort_by(|one, other| other.c_ns.total_cmp(&one.c_ns).then(other.calls.cmp(&one.calls)));
        let name = &profile.functions[function.0].name;
        let advice = data.advice().iter().filter(|advice| advice.function == *name).cloned().collect();
        let sources = sources::around_sites(&sites, data, files);
        let in_c = sources::hottest_in_c(data, function, via, files);
        Some(Detail { row, sites, stacks, more_stacks, threads, advice, sources, in_c })
    }
}

fn stacks(data: &Data, function: FunctionId, via: Via) -> (Vec<StackLines>, usize) {
    let mut sums: HashMap<&[cgoprof_profile::LocationId], (Stats, bool)> = HashMap::new();
    for cell in data.profile.cells.iter().filter(|cell| cell.function == function && cell.via == via) {
        let sum = sums.entry(&cell.stack).or_default();
        sum.0.add(&cell.stats);
        sum.1 |= cell.truncated;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|(stack, one), (other_stack, other)| {
        let (one, other) = (&one.0, &other.0);
        let by_total = other.total().sum.total_cmp(&one.total().sum);
        by_total.then(other.calls.cmp(&one.calls)).then(stack.cmp(other_stack))
    });
    let more = sums.len().saturating_sub(MOST_STACKS);
    let lines = sums.into_iter().take(MOST_STACKS).map(|(stack, (stats, truncated))| {
        let mut frames: Vec<String> = analysis::frames(&data.profile, stack).iter().skip(1).map(frame_line).collect();
        if truncated {
            frames.push("[truncated]".into());
        }
        StackLines { stats, frames }
    });
    (lines.collect(), more)
}

/// `main.work  work.go:12`.
pub(crate) fn frame_line(frame: &Frame<'_>) -> String {
    let position = frame.position;
    let inlined = if frame.inlined { " (inlined)" } else { "" };
    let file = position.file.rsplit('/').next().unwrap_or_default();
    let place = match (file, position.line) {
        ("", _) => String::new(),
        (file, 0) => format!("  {file}"),
        (file, line) => format!("  {file}:{line}"),
    };
    printable(&format!("{}{inlined}{place}", position.function))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tui::sample_data;

    /// One text in place of every file.
    struct Text(usize);

    impl Files for Text {
        fn lines(&self, _: &str) -> Option<Vec<String>> {
            (self.0 > 0).then(|| (1..=self.0).map(|number| format!("\tline {number}\u{1b}[2J")).collect())
        }
    }

    fn text(lines: usize) -> Cached {
        Cached::new(Box::new(Text(lines)))
    }

    #[test]
    fn every_function_has_its_details() {
        for (name, profile) in sample_data::recorded() {
            let data = Data::new(Arc::new(profile));
            for row in &data.functions {
                let detail = Detail::new(&data, row.id, row.via, &text(100_000)).unwrap();
                let by_site: u64 = detail.sites.iter().map(|site| site.stats.calls).sum();
                assert_eq!(by_site, row.stats.calls, "{name} {}", row.name);
                if !data.profile.recording.counted() {
                    continue;
                }
                for source in &detail.sources {
                    assert!(source.lines.iter().any(|line| !line.measured.is_empty()), "{name}");
                    assert!(source.lines.iter().all(|line| !line.text.contains('\u{1b}')), "{name}");
                }
            }
        }
    }

    #[test]
    fn sources_that_are_not_there_are_left_out() {
        let data = Data::new(Arc::new(sample_data::named("sqlite")));
        let row = &data.functions[0];
        assert!(Detail::new(&data, row.id, row.via, &text(0)).unwrap().sources.is_empty());
        assert!(Detail::new(&data, row.id, row.via, &text(1)).unwrap().sources.is_empty());
    }
}
