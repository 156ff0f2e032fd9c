//! Stacks with their sizes, as flame graphs draw them.

use cgoprof_profile::{Kind, Profile};

use crate::analysis::{self, Frame, Position};
use crate::programs;
use crate::units::printable;
use crate::value::{Parts, Value};

/// A stack, and how much of a value it has.
pub(crate) struct WeightedStack<'a> {
    /// The program, where a recording has several processes.
    pub(crate) program: Option<String>,
    /// The innermost first.
    pub(crate) frames: Vec<Frame<'a>>,
    /// Whether the stack goes on beyond its frames.
    pub(crate) truncated: bool,
    /// Crossings, or nanoseconds.
    pub(crate) size: u64,
}

impl WeightedStack<'_> {
    /// Returns the names of the frames outside of its functions, the outermost first: the program, and what stands for frames
    /// beyond the stack's.
    pub(crate) fn outermost(&self) -> impl Iterator<Item = String> {
        self.program.clone().into_iter().chain(self.truncated.then(|| TRUNCATED.to_owned()))
    }

    /// Returns the names of its frames for a line of folded stacks: the outermost first, and without semicolons, which end a name.
    pub(crate) fn folded(&self) -> String {
        let names = self.frames.iter().rev().map(|frame| printable(frame.position.function));
        self.outermost().chain(names).map(|name| name.replace(';', ":")).collect::<Vec<_>>().join(";")
    }
}

/// The frame of a thread that had lost its processor.
pub(crate) const PREEMPTED: Frame<'_> =
    Frame { position: Position { function: "[preempted]", file: "", line: 0 }, kind: Kind::Kernel, inlined: false };

/// Name of the frame that stands for those beyond a stack's.
const TRUNCATED: &str = "[truncated]";

/// Returns all stacks that have any of a value.
pub(crate) fn weighted_stacks(profile: &Profile, value: Value) -> Vec<WeightedStack<'_>> {
    if profile.processes.is_empty() {
        return of_one_process(profile, value);
    }
    let with_program = |process| {
        of_one_process(process, value)
            .into_iter()
            .map(|stack| WeightedStack { program: Some(programs::program(process)), ..stack })
    };
    profile.processes.iter().flat_map(|process| with_program(process)).collect()
}

/// Returns those of one process.
fn of_one_process<'a>(profile: &'a Profile, value: Value) -> Vec<WeightedStack<'a>> {
    let mut stacks = Vec::new();
    if value == Value::Cpu {
        for row in analysis::by_sample(profile) {
            add(&mut stacks, &[], &row.frames, row.truncated, row.cpu.nanos);
        }
        return stacks;
    }
    for row in analysis::by_stack(profile) {
        let Parts { running, waiting, preempted, function, border } = value.of(&row.stats);
        let mut add =
            |inner: &[Frame<'a>], outer: &[Frame<'a>], size| add(&mut stacks, inner, outer, row.truncated, size);
        let samples: f64 = row.inside.iter().map(|&(_, samples)| samples as f64).sum();
        for (inner, count) in &row.inside {
            add(inner, &row.frames, running * *count as f64 / samples);
        }
        let waits: f64 = row.waits.iter().map(|(_, nanos)| nanos).sum();
        for (inner, nanos) in &row.waits {
            add(inner, &row.frames, waiting * nanos / waits);
        }
        add(&[PREEMPTED], &row.frames, preempted);
        add(&[], &row.frames, if samples == 0.0 { running + function } else { function });
        let outside_c = row.frames.iter().position(|frame| frame.kind != Kind::C).unwrap_or(0);
        add(&[], &row.frames[outside_c..], border);
    }
    stacks
}

fn add<'a>(stacks: &mut Vec<WeightedStack<'a>>, inner: &[Frame<'a>], outer: &[Frame<'a>], truncated: bool, size: f64) {
    let size = size.max(0.0).round() as u64;
    if size > 0 {
        stacks.push(WeightedStack { program: None, frames: [inner, outer].concat(), truncated, size });
    }
}
