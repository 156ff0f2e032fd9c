//! Flame graphs: Go frames, the border, the C function.

use cgoprof_profile::{Kind, Profile};
use inferno::flamegraph::color::{Color, PaletteMap};
use inferno::flamegraph::{Direction, Options, from_lines};

use super::format::{ExportError, Format};
use crate::analysis::{self, Frame};
use crate::units::{printable, time};
use crate::value::{Parts, Value};

/// Why there is no flame graph.
#[derive(Debug, thiserror::Error)]
pub enum FlamegraphError {
    /// Every width is zero.
    #[error("the recording has nothing of this value: --value shows another")]
    Empty,
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

    fn write(&self, profile: &Profile) -> Result<Vec<u8>, ExportError> {
        draw(profile, Value::default_of(profile), false).map_err(|error| ExportError::Draw(error.into()))
    }
}

/// Draws the flame graph as an SVG that can be searched and zoomed.
///
/// # Errors
/// See [`FlamegraphError`].
pub fn draw(profile: &Profile, value: Value, inverted: bool) -> Result<Vec<u8>, FlamegraphError> {
    draw_below(profile, value, inverted, &[])
}

/// The same of those stacks only that begin with these names, from where the graph grows on.
///
/// # Errors
/// See [`FlamegraphError`].
pub fn draw_below(profile: &Profile, value: Value, inverted: bool, below: &[&str]) -> Result<Vec<u8>, FlamegraphError> {
    let is_below = |names: &[String]| {
        let begins = |mut names: &mut dyn Iterator<Item = &String>| {
            below.iter().all(|&name| (&mut names).next().is_some_and(|own| own == name))
        };
        if inverted { begins(&mut names.iter().rev()) } else { begins(&mut names.iter()) }
    };
    let (lines, sum) = folded(profile, value, is_below);
    if lines.is_empty() {
        return Err(FlamegraphError::Empty);
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
    let part = below.last().map_or_else(String::new, |name| format!(", below {name}"));
    options.title = format!("{}: {}{part}", program(profile), value.title());
    options.subtitle =
        Some("green: Go | orange: the border | red: C | yellow: C++ | blue: waiting | click to zoom, Ctrl-F to search".into());
    options.count_name = if value == Value::Calls { "crossings".into() } else { "ns".into() };
    // Inferno's own palettes judge by the name: they take `x.part.0`, a C function, for Java.
    options.palette_map = Some(&mut colors);
    let recording = &profile.recording;
    let run = time(recording.duration_ns as f64);
    let (engine, timing) = (printable(&recording.engine), printable(&recording.timing));
    options.notes = format!("{run} of run, engine {engine}, timing {timing}");
    if inverted {
        options.direction = Direction::Inverted;
        options.reverse_stack_order = true;
    }
    let mut svg = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut svg).map_err(FlamegraphError::Draw)?;
    Ok(svg)
}

/// Largest sum of all widths: almost three years of a hundred processors, in nanoseconds.
const MOST: f64 = 9e18;

/// One line for each stack of which this holds, outermost frame first, with the annotations by which inferno colours
/// frames; and the sum of their widths.
fn folded(profile: &Profile, value: Value, holds: impl Fn(&[String]) -> bool) -> (Vec<String>, f64) {
    let (mut lines, mut sum) = (Vec::new(), 0.0);
    let mut add = |outer: &[Frame<'_>], truncated: bool, inner: &[Frame<'_>], width: f64| {
        let width = width.max(0.0).round() as u64;
        if width == 0 {
            return;
        }
        let cut = truncated.then(|| "[truncated]".to_owned());
        let name = |frame: &Frame<'_>| printable(frame.position.function);
        let names: Vec<String> = cut.into_iter().chain(inner.iter().chain(outer).rev().map(name)).collect();
        if !holds(&names) {
            return;
        }
        sum += width as f64;
        let mut frames: Vec<String> = inner.iter().chain(outer).rev().map(annotated).collect();
        if truncated {
            frames.insert(0, format!("[truncated]{GO}"));
        }
        lines.push(format!("{} {width}", frames.join(";")));
    };
    if value == Value::Cpu {
        for row in analysis::by_sample(profile) {
            add(&row.frames, row.truncated, &[], row.cpu.nanos);
        }
    } else {
        for row in analysis::by_stack(profile) {
            let Parts { running, waiting, function, border } = value.of(&row.stats);
            let samples: f64 = row.inside.iter().map(|&(_, samples)| samples as f64).sum();
            for (inner, count) in &row.inside {
                add(&row.frames, row.truncated, inner, running * *count as f64 / samples);
            }
            let waits: f64 = row.waits.iter().map(|(_, nanos)| nanos).sum();
            for (inner, nanos) in &row.waits {
                add(&row.frames, row.truncated, inner, waiting * nanos / waits);
            }
            add(&row.frames, row.truncated, &[], if samples == 0.0 { running + function } else { function });
            let outside_c = row.frames.iter().position(|frame| frame.kind != Kind::C).unwrap_or(0);
            add(&row.frames[outside_c..], row.truncated, &[], border);
        }
    }
    lines.sort();
    (lines, sum)
}

/// A frame with the annotation by which inferno colours it.
fn annotated(frame: &Frame<'_>) -> String {
    let name = printable(frame.position.function).replace(';', ":");
    match frame.kind {
        Kind::Go => format!("{name}{GO}"),
        Kind::Border => format!("{name}{BORDER}"),
        Kind::C => name,
        Kind::Kernel => format!("{name}{KERNEL}"),
    }
}

/// The colour of a frame by the annotation of its kind, in a shade of its own.
fn color(annotated: &str) -> Color {
    // FNV-1a, the same in every release.
    let hash = annotated.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let shade = (hash >> 8 & 63) as u8;
    let [r, g, b] = if annotated.ends_with(GO) {
        [60 + shade, 190 + shade, 60 + shade]
    } else if annotated.ends_with(BORDER) {
        [190 + shade, 110 + shade, 0]
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

fn program(profile: &Profile) -> String {
    printable(profile.target.path.rsplit('/').next().unwrap_or_default())
}

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
            assert_eq!(folded(&waiting("work"), value, |_| true).0, expected, "{value:?}");
        };
        let (border, c) = ("main.main_[j];runtime.cgocall_[k] 900", "main.main_[j];runtime.cgocall_[k];work 100");
        check(Value::Total, &[border, c]);
        check(Value::C, &[c]);
        check(Value::ExitWait, &[border]);
        check(Value::Calls, &["main.main_[j];runtime.cgocall_[k];work 1"]);
    }

    #[test]
    fn frames_are_coloured_by_their_kind_and_not_by_their_names() {
        let hue = |annotated: &str| {
            let Color { r, g, b } = color(annotated);
            if g > r {
                "green"
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
        }
        assert_eq!(hue("ns::method"), "yellow");
        let svg = draw(&waiting("x.part.0"), Value::Total, false).expect("a drawing");
        let svg = String::from_utf8(svg).expect("text");
        let Color { r, g, b } = color("x.part.0");
        assert!(svg.contains(&format!("rgb({r},{g},{b})")), "{svg}");
        assert!(!svg.contains("Go   orange"), "spaces of a legend collapse");
    }
}
