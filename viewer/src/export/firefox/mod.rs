//! The Firefox Profiler's processed profile, version 55
//! (https://github.com/firefox-devtools/profiler/blob/main/docs-developer/CHANGELOG-formats.md).

mod tables;

use std::io::Write;

use cgoprof_profile::{Kind, Profile, SlowCrossing};
use serde_json::{Value as Json, json};

use self::tables::{CATEGORIES, Head, Tables, category};
use super::format::{ExportError, Format};
use super::tracks::{self, Interval, Names, ThreadTracks, threads};
use super::weighted_stacks::weighted_stacks;
use crate::programs;
use crate::value::Value;

/// A thread of samples for each value that the recording has; then the program's threads, with slow crossings, waits and
/// locks as markers. Samples have no time: all are at the start.
pub struct Firefox;

impl Format for Firefox {
    fn name(&self) -> &'static str {
        "firefox"
    }

    fn about(&self) -> &'static str {
        "Stacks and timeline for profiler.firefox.com"
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        let program = programs::programs(profile);
        let values = Value::default_first(profile).filter_map(|value| of_value(profile, value, &program));
        let mut all: Vec<Json> = values.collect();
        if let Some(first) = all.first_mut() {
            first["isMainThread"] = json!(true);
        }
        let names = Names::new(profile);
        all.extend(threads(profile).iter().map(|thread| of_thread(profile, thread, &names)));
        let categories = CATEGORIES.map(|(name, color)| json!({ "name": name, "color": color, "subcategories": ["Other"] }));
        let document = json!({
            "meta": {
                "interval": 1, "startTime": millis(profile.recording.start_unix_ns), "processType": 0,
                "product": format!("{program} (cgoprof)"), "stackwalk": 1, "debug": false, "version": 24,
                "preprocessedProfileVersion": 55, "symbolicated": true, "categories": categories,
                "markerSchema": marker_schema(), "sourceCodeIsNotOnSearchfox": true, "usesOnlyOneStackType": true,
                "profilingStartTime": 0, "profilingEndTime": millis(profile.recording.duration_ns),
                "extensions": { "baseURL": [], "id": [], "length": 0, "name": [] },
            },
            "libs": [], "pages": [], "profilerOverhead": [], "counters": all_counters(profile), "threads": all,
        });
        Ok(serde_json::to_writer(output, &document)?)
    }
}

/// Times of the format are in milliseconds.
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// Returns the thread of a value; none if the recording has nothing of it.
fn of_value(profile: &Profile, value: Value, program: &str) -> Option<Json> {
    let (mut tables, mut is_empty) = (Tables::default(), true);
    for stack in weighted_stacks(profile, value) {
        let number = tables.stack(&stack.frames, stack.outermost());
        let weight = if value == Value::Calls { stack.size as f64 } else { millis(stack.size) };
        tables.sample(number, weight);
        is_empty = false;
    }
    let head = Head {
        name: value.title(),
        process: program,
        pid: profile.target.pid,
        tid: json!(value.title()),
        is_main: false,
        weight: if value == Value::Calls { "samples" } else { "tracing-ms" },
        life: (0.0, None),
    };
    (!is_empty).then(|| tables.into_thread(&head))
}

/// Returns a thread of the program, with what happened on it.
fn of_thread(profile: &Profile, thread: &ThreadTracks<'_>, names: &Names<'_>) -> Json {
    let mut tables = Tables::default();
    let end = profile.recording.duration_ns;
    fn range<T>(interval: &Interval<T>, end: u64) -> (f64, Option<f64>) {
        (millis(interval.from), Some(millis(interval.to.unwrap_or(end).max(interval.from))))
    }
    for crossing in &thread.crossings {
        let stack = tables.stack(&names.frames(crossing.what.cell), std::iter::empty());
        let (from, to) = range(crossing, end);
        tables.marker(names.function(crossing.what), Kind::C, from, to, crossing_data(crossing.what, names, stack));
    }
    for wait in &thread.waits_for_p {
        let (from, to) = range(wait, end);
        let mut data = json!({ "type": "wait for a P", "after": names.function(wait.what) });
        if let Some(goid) = tracks::goroutine(wait.what.goid) {
            data["goroutine"] = json!(goid);
        }
        tables.marker("wait for a P".into(), Kind::Border, from, to, data);
    }
    for wait in &thread.blocked {
        let (from, to) = range(wait, end);
        tables.marker(names.wait(wait.what), Kind::Kernel, from, to, json!({ "type": "blocked in C" }));
    }
    for locked in &thread.locked {
        let (from, to) = range(locked, end);
        let data = json!({ "type": "locked", "goroutine": locked.what });
        tables.marker(format!("locked to goroutine {}", locked.what), Kind::Go, from, to, data);
    }
    let process = profile.processes.get(thread.process).map_or(profile, |process| process);
    let head = Head {
        name: &thread.name,
        process: &programs::program(process),
        pid: process.target.pid,
        tid: json!(thread.tid),
        is_main: false,
        weight: "samples",
        life: (thread.created_ns.map_or(0.0, millis), thread.exited_ns.map(millis)),
    };
    tables.into_thread(&head)
}

fn crossing_data(crossing: &SlowCrossing, names: &Names<'_>, stack: Option<usize>) -> Json {
    let mut data = json!({ "type": "crossing" });
    for (key, value) in tracks::facts(crossing) {
        match key.strip_suffix("_ns") {
            Some(key) => data[key] = json!(millis(value)),
            None => data[key] = json!(value),
        }
    }
    if let Some(labels) = names.labels(crossing) {
        data["labels"] = json!(labels);
    }
    if crossing.open {
        data["open"] = json!("still in C when the recording ended");
    }
    if let Some(stack) = stack {
        data["cause"] = json!({ "stack": stack });
    }
    data
}

/// Returns what the fields of each type of marker are.
fn marker_schema() -> Json {
    let display = ["marker-chart", "marker-table", "timeline-overview"];
    let field = |key: &str, label: &str, format: &str| json!({ "key": key, "label": label, "format": format });
    let schema = |name: &str, table_label: &str, fields: Vec<Json>| {
        json!({ "name": name, "display": display, "tooltipLabel": "{marker.name}", "tableLabel": table_label,
                "chartLabel": "{marker.name}", "fields": fields })
    };
    let goroutine = || field("goroutine", "Goroutine", "integer");
    json!([
        schema(
            "crossing",
            "in C {marker.data.c}, blocked {marker.data.blocked}",
            vec![
                field("enter", "Getting to C", "duration"),
                field("c", "In C", "duration"),
                field("exit", "Getting back to Go", "duration"),
                field("blocked", "Blocked in C", "duration"),
                field("preempted", "Preempted in C", "duration"),
                goroutine(),
                field("labels", "Labels", "string"),
                field("back_on_thread", "Back on thread", "integer"),
                field("stands_for_crossings", "Crossings that it stands for", "integer"),
                field("open", "State", "string"),
            ]
        ),
        schema("wait for a P", "after {marker.data.after}", vec![field("after", "After", "string"), goroutine()]),
        schema("blocked in C", "{marker.name}", vec![]),
        schema("locked", "goroutine {marker.data.goroutine}", vec![goroutine()]),
    ])
}

/// Returns the counters of all processes.
fn all_counters(profile: &Profile) -> Vec<Json> {
    tracks::processes(profile).flat_map(|(begin, process)| counters(process, begin, !profile.processes.is_empty())).collect()
}

/// Returns the counters of threads in C, in Go and idle of a process that began so many nanoseconds after the recording. The
/// format has differences from one moment to the next.
fn counters(profile: &Profile, begin: u64, is_one_of_several: bool) -> Vec<Json> {
    let of = |(name, values): (&str, Vec<(u64, u64)>)| {
        let times: Vec<f64> = values.iter().map(|&(at, _)| millis(begin.saturating_add(at))).collect();
        let counted = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let before = std::iter::once(0).chain(values.iter().map(|&(_, value)| counted(value)));
        let counts: Vec<i64> = values.iter().zip(before).map(|(&(_, value), before)| counted(value) - before).collect();
        json!({ "name": name, "category": CATEGORIES[category(Kind::C)].0, "description": name,
                "pid": profile.target.pid.to_string(), "mainThreadIndex": 0,
                "samples": { "length": times.len(), "time": times, "count": counts } })
    };
    tracks::counters(profile, is_one_of_several).into_iter().map(of).collect()
}
