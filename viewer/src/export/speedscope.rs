//! Stacks for speedscope (https://github.com/jlfwong/speedscope/wiki/Importing-from-custom-sources).

use std::collections::HashMap;
use std::io::Write;

use cgoprof_profile::Profile;
use serde_json::{Value as Json, json};

use super::format::{ExportError, Format};
use super::weighted_stacks::weighted_stacks;
use crate::analysis::Frame;
use crate::programs::programs;
use crate::units::printable;
use crate::value::Value;

/// One profile for each value that the recording has: time, time in C, crossings, and so on.
pub struct Speedscope;

impl Format for Speedscope {
    fn name(&self) -> &'static str {
        "speedscope"
    }

    fn about(&self) -> &'static str {
        "Stacks for speedscope.app, a profile for each value (time, time in C, crossings, ...)"
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        let mut frames = Frames::default();
        let profiles = Value::default_first(profile).filter_map(|value| sampled(profile, value, &mut frames));
        let profiles: Vec<Json> = profiles.collect();
        let document = json!({
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": concat!("cgoprof ", env!("CARGO_PKG_VERSION")),
            "name": programs(profile),
            "activeProfileIndex": 0,
            "shared": { "frames": frames.shared },
            "profiles": profiles,
        });
        Ok(serde_json::to_writer(output, &document)?)
    }
}

/// The frames of all profiles, each once.
#[derive(Default)]
struct Frames {
    numbers: HashMap<(String, String, u32), usize>,
    shared: Vec<Json>,
}

impl Frames {
    fn number(&mut self, name: String, file: &str, line: u32) -> usize {
        let key = (name, printable(file), line);
        *self.numbers.entry(key).or_insert_with_key(|(name, file, line)| {
            let mut frame = json!({ "name": name });
            if !file.is_empty() {
                frame["file"] = json!(file);
                if *line > 0 {
                    frame["line"] = json!(line);
                }
            }
            self.shared.push(frame);
            self.shared.len() - 1
        })
    }

    fn of(&mut self, frame: &Frame<'_>) -> usize {
        let position = frame.position;
        self.number(printable(position.function), position.file, position.line)
    }
}

/// Returns the profile of a value; none if the recording has nothing of it.
fn sampled(profile: &Profile, value: Value, frames: &mut Frames) -> Option<Json> {
    let (mut samples, mut weights, mut sum) = (Vec::new(), Vec::new(), 0u64);
    for stack in weighted_stacks(profile, value) {
        let outermost: Vec<usize> = stack.outermost().map(|name| frames.number(name, "", 0)).collect();
        let rest: Vec<usize> = stack.frames.iter().rev().map(|frame| frames.of(frame)).collect();
        samples.push(outermost.into_iter().chain(rest).collect::<Vec<_>>());
        weights.push(stack.size);
        sum = sum.saturating_add(stack.size);
    }
    let unit = if value == Value::Calls { "none" } else { "nanoseconds" };
    (sum > 0).then(|| {
        json!({
            "type": "sampled", "name": value.title(), "unit": unit, "startValue": 0, "endValue": sum,
            "samples": samples, "weights": weights,
        })
    })
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Cell, Estimate, Function, FunctionId, Kind, Line, Location, LocationId, Stats};

    use super::*;

    #[test]
    fn frames_are_shared_and_sums_are_those_of_the_value() {
        let function = |name: &str, kind| Function { name: name.into(), kind, ..Function::default() };
        let line =
            |index| Location { lines: vec![Line { function: FunctionId(index), line: 7 }], ..Location::default() };
        let time = |sum| Estimate { sum, ..Estimate::default() };
        let stats = Stats { calls: 3, timed: 3, c: time(100.0), exit: time(900.0), ..Stats::default() };
        let stack = vec![LocationId(0), LocationId(1), LocationId(2)];
        let mut profile = Profile {
            functions: vec![
                Function { file: "/src/f.c".into(), ..function("f", Kind::C) },
                function("runtime.cgocall", Kind::Border),
                function("main.main", Kind::Go),
            ],
            locations: (0..3).map(line).collect(),
            cells: vec![Cell { stack, stats, truncated: true, ..Cell::default() }],
            ..Profile::default()
        };
        profile.recording.knows.counts = true;
        let mut written = Vec::new();
        Speedscope.write(&profile, &mut written).expect("JSON");
        let written: Json = serde_json::from_slice(&written).expect("JSON");
        let frames = written["shared"]["frames"].as_array().expect("frames");
        assert_eq!(frames.len(), 4);
        assert_eq!(frames[3], json!({ "name": "f", "file": "/src/f.c", "line": 7 }));
        let total = &written["profiles"][0];
        assert_eq!((&total["endValue"], &total["unit"]), (&json!(1000), &json!("nanoseconds")));
        assert_eq!(total["samples"], json!([[0, 1, 2, 3], [0, 1, 2]]));
        assert_eq!(total["weights"], json!([100, 900]));
        let calls = written["profiles"].as_array().expect("profiles").iter().find(|one| one["unit"] == "none");
        assert_eq!(calls.expect("crossings")["endValue"], 3);
    }
}
