//! Flame graphs: Go frames, the border, the C function.

use std::io::Write;

use cgoprof_profile::{Kind, Profile};
use inferno::flamegraph::color::{Color, PaletteMap};
use inferno::flamegraph::{Direction, Options, from_lines};
use regex::Regex;

use super::format::{ExportError, Format};
use super::weighted_stacks::{PREEMPTED, WeightedStack, weighted_stacks};
use crate::analysis::{Frame, Position};
use crate::programs::programs;
use crate::units::{printable, time};
use crate::value::Value;

/// Why there is no flame graph.
#[derive(Debug, thiserror::Error)]
pub enum FlamegraphError {
    /// Every width is zero.
    #[error("the recording has nothing of this value: --value shows another")]
    Empty,
    /// No stack matches the filter.
    #[error("no stack with this value has a function that matches {0}")]
    NoMatch(String),
    /// Threads are asked for with another value.
    #[error("crossings of threads are known with their number and their time in C: --value calls or c")]
    NotOfThreads,
    /// Crossings are not known by thread.
    #[error("the recording does not tell which threads crossed: sums and samples alone do not")]
    NoThreads,
    /// More than any recording holds.
    #[error("the recording is damaged: its values are beyond measure")]
    Damaged,
    /// The drawing failed.
    #[error("cannot draw: {0}")]
    Draw(std::io::Error),
}

/// The flame graph of [`Value::default_of`].
pub struct FlameGraph;

impl Format for FlameGraph {
    fn name(&self) -> &'static str {
        "svg"
    }

    fn about(&self) -> &'static str {
        "Flame graph as cgoprof flamegraph draws it without options"
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        let drawing = Drawing { value: Value::default_of(profile), ..Drawing::default() };
        let drawn = drawing.draw(profile).map_err(|error| ExportError::Draw(error.into()))?;
        Ok(output.write_all(&drawn)?)
    }
}

/// What is drawn, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drawing<'a> {
    /// What widths stand for.
    pub value: Value,
    /// C functions first, then their callers.
    pub inverted: bool,
    /// Frames are lines of functions, not functions.
    pub by_line: bool,
    /// Stacks are a thread and a C function.
    pub by_thread: bool,
    /// Only stacks that begin with these names of functions, from where the graph grows on.
    pub below: &'a [&'a str],
    /// Title; none for the program and the value.
    pub title: Option<&'a str>,
    /// Share of the whole width, in percent, below which a frame is left out; none for 0.01.
    pub min_width: Option<f64>,
    /// Only stacks with a function that matches.
    pub filter: Option<&'a Regex>,
}

impl Drawing<'_> {
    /// Draws the flame graph as an SVG that can be searched and zoomed.
    ///
    /// # Errors
    /// See [`FlamegraphError`].
    pub fn draw(&self, profile: &Profile) -> Result<Vec<u8>, FlamegraphError> {
        let (lines, sum) = if self.by_thread { self.of_threads(profile)? } else { self.folded(profile) };
        if lines.is_empty() {
            let no_match = |filter: &Regex| FlamegraphError::NoMatch(filter.to_string());
            return Err(self.filter.map_or(FlamegraphError::Empty, no_match));
        }
        if sum > MOST {
            return Err(FlamegraphError::Damaged);
        }
        let mut colors = PaletteMap::default();
        let frames = lines.iter().filter_map(|line| line.rsplit_once(' ')).flat_map(|(stack, _)| stack.split(';'));
        for frame in frames {
            colors.insert(frame, color(frame));
        }
        let mut options = Options::default();
        let part = self.below.last().map_or_else(String::new, |name| format!(", below {name}"));
        let matching = self.filter.map_or_else(String::new, |filter| format!(", stacks that match {filter}"));
        let threads = if self.by_thread { ", by thread" } else { "" };
        let title = || format!("{}: {}{threads}{part}{matching}", programs(profile), self.value.title());
        options.title = self.title.map_or_else(title, printable);
        options.min_width = self.min_width.unwrap_or(options.min_width);
        options.subtitle = Some(LEGEND.to_owned());
        options.count_name = if self.value == Value::Calls { "crossings".into() } else { "ns".into() };
        // Inferno's own palettes judge by the name: they take `x.part.0`, a C function, for Java.
        options.palette_map = Some(&mut colors);
        let recording = &profile.recording;
        let run = time(recording.duration_ns as f64);
        let (engine, timing) = (printable(&recording.engine), printable(&recording.timing));
        options.notes = format!("{run} of run, engine {engine}, timing {timing}");
        if self.inverted {
            options.direction = Direction::Inverted;
            options.reverse_stack_order = true;
        }
        let mut svg = Vec::new();
        from_lines(&mut options, lines.iter().map(String::as_str), &mut svg).map_err(FlamegraphError::Draw)?;
        Ok(svg)
    }

    /// One line for each stack, outermost frame first, with the annotations by which inferno colours frames; and the sum of
    /// their widths.
    fn folded(&self, profile: &Profile) -> (Vec<String>, f64) {
        let (mut lines, mut sum) = (Vec::new(), 0.0);
        for stack in weighted_stacks(profile, self.value) {
            let WeightedStack { frames, size, .. } = &stack;
            let names = frames.iter().rev().map(|frame| printable(frame.position.function));
            let matches = |filter: &Regex| frames.iter().any(|frame| filter.is_match(frame.position.function));
            if !self.filter.is_none_or(matches) {
                continue;
            }
            let outside = stack.outermost().skip(usize::from(stack.program.is_some()));
            if !self.is_below(&outside.chain(names).collect::<Vec<_>>()) {
                continue;
            }
            sum += *size as f64;
            let frames = frames.iter().rev().map(|frame| self.annotated(frame));
            let outermost = stack.outermost().map(|name| format!("{}{GO}", name.replace(';', ":")));
            let frames: Vec<String> = outermost.chain(frames).collect();
            lines.push(format!("{} {size}", frames.join(";")));
        }
        lines.sort();
        (lines, sum)
    }

    /// The same of threads: a thread, then a C function.
    fn of_threads(&self, profile: &Profile) -> Result<(Vec<String>, f64), FlamegraphError> {
        if profile.threads.iter().all(|thread| thread.made.is_empty()) {
            return Err(FlamegraphError::NoThreads);
        }
        let (mut lines, mut sum) = (Vec::new(), 0.0);
        for thread in &profile.threads {
            let m = thread.m.map_or_else(String::new, |m| format!("M{m} "));
            let name = format!("{m}{} ({})", printable(&thread.name), thread.tid).replace(';', ":");
            for made in &thread.made {
                let function = &profile.functions[made.function.0].name;
                let size = match self.value {
                    Value::Calls => made.calls as f64,
                    Value::C => made.c_ns.round(),
                    _ => return Err(FlamegraphError::NotOfThreads),
                };
                let matches = |filter: &Regex| filter.is_match(function) || filter.is_match(&name);
                if size > 0.0 && self.filter.is_none_or(matches) {
                    sum += size;
                    lines.push(format!("{name}{GO};{} {size:.0}", printable(function).replace(';', ":")));
                }
            }
        }
        lines.sort();
        Ok((lines, sum))
    }

    fn is_below(&self, names: &[String]) -> bool {
        let begins = |mut names: &mut dyn Iterator<Item = &String>| {
            self.below.iter().all(|&name| (&mut names).next().is_some_and(|own| own == name))
        };
        if self.inverted { begins(&mut names.iter().rev()) } else { begins(&mut names.iter()) }
    }

    /// A frame with the annotation by which inferno colours it.
    fn annotated(&self, frame: &Frame<'_>) -> String {
        let Position { function, file, line } = frame.position;
        let file = file.rsplit('/').next().unwrap_or_default();
        let mut name = printable(function);
        if self.by_line && line > 0 && !file.is_empty() {
            name = format!("{name} {}:{line}", printable(file));
        }
        let name = name.replace(';', ":");
        match frame.kind {
            Kind::Go => format!("{name}{GO}"),
            Kind::Border => format!("{name}{BORDER}"),
            Kind::C => name,
            Kind::Kernel if frame.position.function == PREEMPTED.position.function => format!("{name}{LOST}"),
            Kind::Kernel => format!("{name}{KERNEL}"),
        }
    }
}

const LEGEND: &str = "green: Go | orange: the border | red: C | yellow: C++ | blue: waiting | grey: preempted | \
                      click to zoom, Ctrl-F to search";

/// Largest sum of all widths: almost three years of a hundred processors, in nanoseconds.
const MOST: f64 = 9e18;

/// The colour of a frame by the annotation of its kind, in a shade of its own.
fn color(annotated: &str) -> Color {
    // FNV-1a, the same in every release.
    let hash = annotated.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let shade = (hash >> 8 & 63) as u8;
    let [r, g, b] = if annotated.ends_with(GO) {
        [60 + shade, 190 + shade, 60 + shade]
    } else if annotated.ends_with(BORDER) {
        [190 + shade, 110 + shade, 0]
    } else if annotated.ends_with(LOST) {
        [130 + shade; 3]
    } else if annotated.ends_with(KERNEL) {
        [60 + shade, 130 + shade, 190 + shade]
    } else if annotated.contains("::") {
        [175 + shade, 175 + shade, 50 + shade / 2]
    } else {
        [190 + shade, 60 + shade, 60 + shade]
    };
    Color { r, g, b }
}

/// Annotations that inferno doesn't show.
const GO: &str = "_[j]";
const BORDER: &str = "_[k]";
const KERNEL: &str = "_[i]";
const LOST: &str = "_[w]";

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Cell, Estimate, Function, FunctionId, Line, Location, LocationId, Stats};

    use super::*;

    /// One C function that takes 100 ns, and 900 more to come back.
    fn waiting(name: &str) -> Profile {
        let function = |name: &str, kind| Function { name: name.into(), kind, ..Function::default() };
        let line =
            |index| Location { lines: vec![Line { function: FunctionId(index), line: 1 }], ..Location::default() };
        let time = |sum| Estimate { sum, ..Estimate::default() };
        let stats = Stats { calls: 1, timed: 1, c: time(100.0), exit: time(900.0), ..Stats::default() };
        let stack = vec![LocationId(0), LocationId(1), LocationId(2)];
        Profile {
            functions: vec![
                function(name, Kind::C),
                function("runtime.cgocall", Kind::Border),
                function("main.main", Kind::Go),
            ],
            locations: (0..3).map(line).collect(),
            cells: vec![Cell { function: FunctionId(0), stack, stats, ..Cell::default() }],
            ..Profile::default()
        }
    }

    /// Once it was drawn as the C function's own time.
    #[test]
    fn the_wait_for_a_p_is_the_borders() {
        let check = |value, expected: &[&str]| {
            let drawing = Drawing { value, ..Drawing::default() };
            assert_eq!(drawing.folded(&waiting("work")).0, expected, "{value:?}");
        };
        let (border, c) = ("main.main_[j];runtime.cgocall_[k] 900", "main.main_[j];runtime.cgocall_[k];work 100");
        check(Value::Total, &[border, c]);
        check(Value::C, &[c]);
        check(Value::ExitWait, &[border]);
        check(Value::Calls, &["main.main_[j];runtime.cgocall_[k];work 1"]);
    }

    /// Once it was drawn as what C did.
    #[test]
    fn preempted_time_is_drawn_apart_unless_callbacks_may_have_had_it() {
        let mut profile = waiting("work");
        profile.cells[0].stats.preempted = 30.0;
        let folded = |profile: &Profile, value| Drawing { value, ..Drawing::default() }.folded(profile).0;
        let preempted = "main.main_[j];runtime.cgocall_[k];work;[preempted]_[w] 30";
        let ran = "main.main_[j];runtime.cgocall_[k];work 70";
        assert_eq!(folded(&profile, Value::C), [ran, preempted]);
        assert_eq!(folded(&profile, Value::Preempted), [preempted]);
        profile.cells[0].stats.callbacks = 1;
        assert_eq!(folded(&profile, Value::C), ["main.main_[j];runtime.cgocall_[k];work 100"]);
    }

    #[test]
    fn a_filter_keeps_stacks_with_a_function_that_matches() {
        let (profile, no) = (waiting("work"), Regex::new("play").expect("an expression"));
        for (expression, lines) in [("main", 2), ("^work$", 1), ("play", 0)] {
            let filter = Regex::new(expression).expect("an expression");
            let drawing = Drawing { filter: Some(&filter), ..Drawing::default() };
            assert_eq!(drawing.folded(&profile).0.len(), lines, "{expression}");
        }
        let drawing = Drawing { filter: Some(&no), ..Drawing::default() };
        assert!(matches!(drawing.draw(&profile), Err(FlamegraphError::NoMatch(_))));
        let titled = Drawing { title: Some("a <b>"), min_width: Some(20.0), ..Drawing::default() };
        let svg = String::from_utf8(titled.draw(&profile).expect("a drawing")).expect("text");
        assert!(svg.contains("a &lt;b&gt;") && !svg.contains("<title>work"), "{svg}");
    }

    #[test]
    fn frames_are_lines_if_that_is_wanted() {
        let mut profile = waiting("work");
        profile.functions[0].file = "/src/work;2.c".to_owned();
        let drawing = Drawing { value: Value::C, by_line: true, ..Drawing::default() };
        assert_eq!(drawing.folded(&profile).0, ["main.main_[j];runtime.cgocall_[k];work work:2.c:1 100"]);
    }

    #[test]
    fn frames_are_coloured_by_their_kind_and_not_by_their_names() {
        let hue = |annotated: &str| {
            let Color { r, g, b } = color(annotated);
            if g > r && g > b {
                "green"
            } else if r == g && g == b {
                "grey"
            } else if b > r {
                "blue"
            } else if b == 0 {
                "orange"
            } else if r == g {
                "yellow"
            } else {
                "red"
            }
        };
        for name in ["work", "x.part.0", "y.constprop.0", "Upper", "a/b"] {
            assert_eq!(hue(name), "red", "{name}");
            assert_eq!(hue(&format!("{name}{GO}")), "green", "{name}");
            assert_eq!(hue(&format!("{name}{BORDER}")), "orange", "{name}");
            assert_eq!(hue(&format!("{name}{KERNEL}")), "blue", "{name}");
            assert_eq!(hue(&format!("{name}{LOST}")), "grey", "{name}");
        }
        assert_eq!(hue("ns::method"), "yellow");
        let svg = Drawing::default().draw(&waiting("x.part.0")).expect("a drawing");
        let svg = String::from_utf8(svg).expect("text");
        let Color { r, g, b } = color("x.part.0");
        assert!(svg.contains(&format!("rgb({r},{g},{b})")), "{svg}");
        assert!(!svg.contains("Go   orange"), "spaces of a legend collapse");
    }
}
