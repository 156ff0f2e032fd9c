//! Samples of processor time: what C does inside, and whose crossing it was.

use serde_json::Value;

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{Recorded, User, check_counts, record};
use cgoprof_testing::tolerance::{Compared, Tolerance, check_close};

/// The leaves of the bench program, the C function that Go calls for each and the Go function that calls it.
const LEAVES: [(&str, &str, &str); 4] = [
    ("light", "outer", "main.callOuter"),
    ("middle_work", "outer", "main.callOuter"),
    ("bottom", "outer", "main.callOuter"),
    ("heavy", "other", "main.callOther"),
];

/// Samples of a leaf, and those of them that end where they should.
#[derive(Default, Debug)]
struct Found {
    all: f64,
    right: f64,
    through_callback: f64,
}

fn find(report: &Value, leaf: &str, function: &str, caller: &str) -> Found {
    let mut found = Found::default();
    for stack in report["samples"].as_array().expect("samples") {
        let frames = stack["frames"].as_array().expect("frames");
        let names = || frames.iter().map(|frame| frame["name"].as_str().expect("name"));
        if names().next() != Some(leaf) {
            continue;
        }
        let samples = stack["samples"].as_f64().expect("samples");
        found.all += samples;
        // The first Go frame is cgo's wrapper.
        let go = names().skip_while(|&name| name != "runtime.cgocall").nth(2);
        found.right += if stack["function"] == function && go == Some(caller) { samples } else { 0.0 };
        found.through_callback += if names().any(|name| name == "through_go") { samples } else { 0.0 };
    }
    found
}

/// Of a share of all samples.
const SHARE: Tolerance = Tolerance::Absolute(0.03);
/// Of a processor time.
const CPU: Tolerance = Tolerance::Relative(0.1);

fn check(build: Build, user: User) {
    let what = format!("{build:?} as {user:?}");
    let program = go::build("inside", build);
    check_close(|| {
        let Recorded { truth, report, profile } = record(user, &["--freq", "999"], &program, &["4"]);
        let found = LEAVES.map(|(leaf, function, caller)| find(&report, leaf, function, caller));
        let sampled: f64 = found.iter().map(|found| found.all).sum();
        let worked = |leaf: &str| truth["worked_ns"][leaf].as_f64().expect("worked_ns");
        let all_worked: f64 = LEAVES.iter().map(|&(leaf, ..)| worked(leaf)).sum();
        let mut times = Vec::new();
        for ((leaf, ..), found) in LEAVES.iter().zip(&found) {
            let (share, expected) = (found.all / sampled, worked(leaf) / all_worked);
            times.push(Compared::new(format!("{what}: samples of {leaf}"), share, expected, SHARE));
        }
        let right: f64 = found.iter().map(|found| found.right).sum();
        assert!(right >= 0.99 * sampled, "{what}: {right} of {sampled} samples end at the right crossing");
        // A third of heavy's rounds are made in a callback.
        let through = found[3].through_callback / found[3].all;
        times.push(Compared::new(format!("{what}: through the callback"), through, 1.0 / 3.0, SHARE));

        let outer = worked("light") + worked("middle_work") + worked("bottom");
        for (name, expected) in [("outer", outer), ("other", worked("heavy"))] {
            let cpu = function(&report, name)["cpu_ns"].as_f64().expect("cpu_ns");
            times.push(Compared::new(format!("{what}: cpu_ns of {name}"), cpu, expected, CPU));
        }
        check_counts(&what, &Recorded { truth, report, profile });
        times
    });
}

#[test]
fn the_inside_of_c_is_seen_with_the_right_crossing_and_caller() {
    for release in go::corners() {
        check(Build::of(release), User::Nobody);
    }
}

#[test]
fn the_inside_of_c_is_seen_in_other_builds_too() {
    for args in [&["-buildmode=pie"][..], &["-race"], &["-ldflags=-extldflags=-static"]] {
        check(Build { release: "1.26.6", args }, User::Root);
    }
}

fn function<'a>(report: &'a Value, name: &str) -> &'a Value {
    let functions = report["functions"].as_array().expect("functions");
    functions.iter().find(|function| function["name"] == name).expect(name)
}

#[test]
fn what_waits_in_c_when_the_recording_ends_was_not_on_a_processor() {
    let program = go::build("crossings", Build::newest());
    let Recorded { report, .. } = record(User::Root, &["--duration", "300ms"], &program, &["crowd", "50"]);
    let pause = function(&report, "pause_for");
    let nanos = |field: &str| pause[field].as_f64().expect("a number");
    assert_eq!(pause["in_flight"], 50, "{pause}");
    assert!(report["timeline"]["crossings"].as_u64() >= Some(50), "what is still in C is on the timeline");
    assert!(nanos("c_ns") > 5e9 && nanos("cpu_ns") < 0.03 * nanos("c_ns"), "{pause}");
}

#[test]
fn a_recording_that_ends_before_its_program_knows_what_was_blocked() {
    let program = go::build("waiting", Build::newest());
    let options = ["--duration", "750ms", "--timing", "every"];
    let Recorded { report, .. } = record(User::Root, &options, &program, &["700"]);
    let nap = function(&report, "nap");
    let nanos = |field: &str| nap[field].as_f64().expect("a number");
    assert!(nanos("c_ns") > 1e8 && nanos("cpu_ns") < 0.05 * nanos("c_ns"), "{nap}");
}

#[test]
fn a_program_that_becomes_another_costs_the_recorder_nothing() {
    let mut timed = std::process::Command::new("bash");
    timed.args(["-c", "TIMEFORMAT='%U %S'; time \"$0\" \"$@\""]).arg(cgoprof_testing::recording::binary());
    timed.args(["record", "-q", "-o"]).arg(cgoprof_testing::recording::profile_path(User::Root)).arg("--");
    timed.arg(go::build("actor", Build::newest())).args(["exec", "2"]);
    let output = cgoprof_testing::recording::succeeds(&mut timed);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = text.lines().last().unwrap_or_default();
    let seconds: f64 = last.split_whitespace().map(|time| time.parse::<f64>().expect("seconds")).sum();
    assert!(seconds < 0.7, "{seconds} s of processor time beside two seconds of sleep");
}

#[test]
fn a_stripped_program_keeps_its_crossings_and_callers() {
    let build = Build { release: "1.26.6", args: &["-ldflags=-s -w"] };
    let recorded = record(User::Nobody, &["--freq", "999"], &go::build("inside", build), &["3"]);
    let mut sums = [0.0, 0.0];
    for stack in recorded.report["samples"].as_array().expect("samples") {
        if stack["frames"][0]["kind"] == "c" {
            let known = !stack["function"].is_null();
            sums[usize::from(known)] += stack["samples"].as_f64().expect("samples");
        }
    }
    assert!(sums[1] > 1000.0 && sums[0] < 0.01 * sums[1], "{sums:?}");
}

#[test]
fn no_samples_when_none_are_asked_for() {
    let program = go::build("crossings", Build::newest());
    let Recorded { report, .. } = record(User::Root, &["--no-samples"], &program, &["hot", "1000"]);
    assert!(report["samples"].is_null() && report["recording"]["sample_period_ns"].is_null());
    assert!(report["functions"][0]["blocked_ns"].is_number(), "switches are seen all the same");
}
