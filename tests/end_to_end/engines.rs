//! The engines beside the trampolines: uprobes must count the same, samples must say what they are.

use serde_json::Value;

use crate::cgoprof::{User, check_counts, record};
use crate::go::{self, Build};

const SCENARIOS: [(&str, &str); 13] = [
    ("hot", "5000"),
    ("sites", "200"),
    ("durations", "20"),
    ("blocking", "2"),
    ("tail", "2000"),
    ("nested", "50"),
    ("panics", "100"),
    ("stacks", "10"),
    ("errno", "200"),
    ("strings", "200"),
    ("locked", "200"),
    ("foreign", "20"),
    ("threads", "5000"),
];

/// Calls by C function, way and stack: what two engines must agree on.
fn counts(report: &Value) -> Vec<String> {
    let rows = report["functions"].as_array().expect("functions");
    // What the runtime itself calls depends on when it starts threads.
    let mut counts: Vec<String> = rows
        .iter()
        .filter(|row| row["via"] != "runtime")
        .map(|row| {
            let [name, via, calls, callbacks] = ["name", "via", "calls", "callbacks"].map(|field| &row[field]);
            format!("{name} {via} {calls} {callbacks} {} {}", row["abandoned"], row["locked_calls"])
        })
        .collect();
    counts.sort();
    counts
}

/// Calls by stack: names and lines, C function first.
fn stacks(report: &Value) -> Vec<String> {
    let rows = report["stacks"].as_array().expect("stacks");
    let mut stacks: Vec<String> = rows
        .iter()
        .filter(|row| row["via"] != "runtime" && row["frames"][1]["name"] == "runtime.cgocall")
        .map(|row| {
            let frames = row["frames"].as_array().expect("frames");
            let frames: Vec<String> =
                frames.iter().map(|frame| format!("{}:{}", frame["name"], frame["line"])).collect();
            format!("{} {}", row["calls"], frames.join(" "))
        })
        .collect();
    stacks.sort();
    stacks
}

fn check_release(release: &'static str) {
    if !go::is_covered(release) {
        return;
    }
    for args in [&[][..], &["-buildmode=pie", "-ldflags=-s -w"]] {
        let build = Build { release, args };
        let program = go::build("crossings", build);
        for (scenario, size) in SCENARIOS {
            let what = format!("{scenario} of {build:?}");
            let probed = record(User::Root, &["--engine", "uprobe"], &program, &[scenario, size]);
            check_counts(&what, &probed);
            assert_eq!(probed.report["recording"]["engine"], "uprobe", "{what}");
            assert_eq!(probed.report["recording"]["lost"]["samples"], 0, "{what}");
            let hooked = record(User::Root, &["--engine", "trampoline"], &program, &[scenario, size]);
            assert_eq!(counts(&probed.report), counts(&hooked.report), "{what}");
            assert_eq!(stacks(&probed.report), stacks(&hooked.report), "{what}");
        }
    }
}

#[test]
fn uprobes_of_go_1_19_count_as_trampolines_do() {
    check_release("1.19");
}

#[test]
fn uprobes_of_go_1_21_count_as_trampolines_do() {
    check_release("1.21.13");
}

#[test]
fn uprobes_of_go_1_22_count_as_trampolines_do() {
    check_release("1.22.10");
}

#[test]
fn uprobes_of_go_1_23_count_as_trampolines_do() {
    check_release("1.23.9");
}

#[test]
fn uprobes_of_go_1_24_count_as_trampolines_do() {
    check_release("1.24.11");
}

#[test]
fn uprobes_of_go_1_25_count_as_trampolines_do() {
    check_release("1.25.5");
}

#[test]
fn uprobes_of_go_1_26_count_as_trampolines_do() {
    check_release("1.26.6");
}

#[test]
fn uprobes_of_go_1_27_count_as_trampolines_do() {
    check_release("1.27.3");
}
