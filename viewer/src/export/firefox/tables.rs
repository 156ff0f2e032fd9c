//! A thread of a processed profile with its tables, in columns as the format has them.

use cgoprof_profile::Kind;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::analysis::Frame;
use crate::numbered::Numbered;
use crate::units::printable;

/// Names and colours of frames, by [`Kind::number`].
pub(super) const CATEGORIES: [(&str, &str); 4] = [("Go", "green"), ("Border", "purple"), ("C", "orange"), ("Kernel", "grey")];

/// Returns the place of a kind in [`CATEGORIES`].
pub(super) fn category(kind: Kind) -> usize {
    kind.number() as usize
}

/// A thread that is being filled.
#[derive(Default)]
pub(super) struct Tables {
    strings: Numbered<String>,
    functions: Numbered<(String, String)>,
    frames: Numbered<(usize, usize, u32)>,
    stacks: Numbered<(Option<usize>, usize)>,
    samples: Samples,
    markers: Markers,
}

fn column<K>(things: &[K], of: impl Fn(&K) -> Json) -> Vec<Json> {
    things.iter().map(of).collect()
}

#[derive(Default)]
struct Samples {
    stacks: Vec<Option<usize>>,
    weights: Vec<f64>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Markers {
    length: usize,
    category: Vec<usize>,
    data: Vec<Json>,
    start_time: Vec<f64>,
    end_time: Vec<Option<f64>>,
    name: Vec<usize>,
    phase: Vec<u8>,
}

/// A thread's own facts.
pub(super) struct Head<'a> {
    pub(super) name: &'a str,
    pub(super) process: &'a str,
    pub(super) pid: u32,
    pub(super) tid: Json,
    pub(super) is_main: bool,
    /// Meaning of the samples' weights: `tracing-ms` or `samples`.
    pub(super) weight: &'static str,
    /// Start and end, in milliseconds since the recording's start.
    pub(super) life: (f64, Option<f64>),
}

impl Tables {
    /// Returns the number of a stack, whose innermost frame is first; none without frames.
    pub(super) fn stack(&mut self, frames: &[Frame<'_>], outermost: impl Iterator<Item = String>) -> Option<usize> {
        let outermost = outermost.map(|name| (name, String::new(), 0, Kind::Go));
        let frames = frames.iter().rev().map(|frame| {
            let position = frame.position;
            (printable(position.function), printable(position.file), position.line, frame.kind)
        });
        outermost.chain(frames).fold(None, |outer, (name, file, line, kind)| {
            let function = self.functions.number((name, file));
            let frame = self.frames.number((function, category(kind), line));
            Some(self.stacks.number((outer, frame)))
        })
    }

    pub(super) fn sample(&mut self, stack: Option<usize>, weight: f64) {
        self.samples.stacks.push(stack);
        self.samples.weights.push(weight);
    }

    /// Adds an interval, in milliseconds; a moment if it has no end.
    pub(super) fn marker(&mut self, name: String, kind: Kind, from: f64, to: Option<f64>, data: Json) {
        /// A moment.
        const INSTANT: u8 = 0;
        /// From a start to an end.
        const INTERVAL: u8 = 1;
        let name = self.strings.number(name);
        let markers = &mut self.markers;
        markers.length += 1;
        markers.category.push(category(kind));
        markers.data.push(data);
        markers.start_time.push(from);
        markers.end_time.push(to);
        markers.name.push(name);
        markers.phase.push(if to.is_some() { INTERVAL } else { INSTANT });
    }

    pub(super) fn into_thread(mut self, head: &Head<'_>) -> Json {
        let (mut names, mut files) = (Vec::new(), Vec::new());
        for (name, file) in self.functions.all() {
            names.push(self.strings.number(name.clone()));
            files.push((!file.is_empty()).then(|| self.strings.number(file.clone())));
        }
        let functions = names.len();
        let frames = self.frames.all().len();
        let none = |length: usize| vec![Json::Null; length];
        json!({
            "name": head.name, "isMainThread": head.is_main, "processType": "default", "processName": head.process,
            "processStartupTime": 0, "processShutdownTime": null,
            "registerTime": head.life.0, "unregisterTime": head.life.1,
            "pausedRanges": [], "pid": head.pid.to_string(), "tid": head.tid, "showMarkersInTimeline": true,
            "frameTable": {
                "length": frames, "address": vec![-1; frames], "inlineDepth": vec![0; frames],
                "category": column(self.frames.all(), |frame| json!(frame.1)), "subcategory": vec![0; frames],
                "func": column(self.frames.all(), |frame| json!(frame.0)), "nativeSymbol": none(frames),
                "innerWindowID": vec![0; frames],
                "line": column(self.frames.all(), |frame| if frame.2 == 0 { Json::Null } else { json!(frame.2) }),
                "column": none(frames),
            },
            "funcTable": {
                "length": functions, "name": names, "isJS": vec![false; functions],
                "relevantForJS": vec![false; functions], "resource": vec![-1; functions], "fileName": files,
                "lineNumber": none(functions), "columnNumber": none(functions),
            },
            "stackTable": {
                "length": self.stacks.all().len(), "prefix": column(self.stacks.all(), |stack| json!(stack.0)),
                "frame": column(self.stacks.all(), |stack| json!(stack.1)),
            },
            "samples": {
                "length": self.samples.stacks.len(), "weightType": head.weight, "stack": self.samples.stacks,
                "weight": self.samples.weights, "time": vec![0; self.samples.stacks.len()],
            },
            "markers": self.markers,
            "nativeSymbols": { "length": 0, "address": [], "functionSize": [], "libIndex": [], "name": [] },
            "resourceTable": { "length": 0, "lib": [], "name": [], "host": [], "type": [] },
            "stringArray": self.strings.all(),
        })
    }
}
