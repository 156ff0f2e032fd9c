//! Every bench program's counts, for every Go release and way of building.

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, check_counts, record};
use cgoprof_testing::tolerance::{Compared, Tolerance, check_close};

const SCENARIOS: [(&str, &str); 13] = [
    ("hot", "50000"),
    ("sites", "2000"),
    ("durations", "40"),
    ("blocking", "2"),
    ("tail", "20000"),
    ("nested", "200"),
    ("panics", "200"),
    ("stacks", "20"),
    ("errno", "500"),
    ("strings", "500"),
    ("locked", "500"),
    ("foreign", "50"),
    ("threads", "50000"),
];

const WAYS: [&[&str]; 4] = [&[], &["-ldflags=-s -w"], &["-buildmode=pie"], &["-buildmode=pie", "-ldflags=-s -w"]];

fn check(build: Build, user: User) {
    let program = go::build("crossings", build);
    for (scenario, size) in SCENARIOS {
        let recorded = record(user, &[], &program, &[scenario, size]);
        check_counts(&format!("{scenario} of {build:?} as {user:?}"), &recorded);
    }
}

fn check_release(release: &'static str) {
    for args in WAYS {
        for user in [User::Root, User::Nobody] {
            check(Build { release, args }, user);
        }
    }
}

#[test]
fn hundreds_of_threads_have_stacks_and_times() {
    for release in ["1.22.10", "1.26.6"].into_iter().filter(|&release| go::is_covered(release)) {
        let program = go::build("crossings", Build::of(release));
        check_close(|| {
            let recorded = record(User::Nobody, &[], &program, &["crowd", "600"]);
            check_counts(&format!("crowd of {release}"), &recorded);
            let notes = recorded.report["recording"]["notes"].to_string();
            assert!(!notes.contains("beyond the table"), "{release}: {notes}");
            let functions = recorded.report["functions"].as_array().expect("functions");
            let pause = functions.iter().find(|function| function["name"] == "pause_for").expect("pause_for");
            let (found, truth) = (pause["c_ns"].as_f64(), recorded.truth["spent_ns"]["pause_for"].as_f64());
            vec![Compared::new(release, found.expect("c_ns"), truth.expect("spent_ns"), Tolerance::Relative(0.03))]
        });
    }
}

#[test]
fn crossings_counted_without_their_stack_are_their_functions() {
    let program = go::build("crossings", Build::newest());
    let recorded = record(User::Nobody, &["--timing", "none"], &program, &["forest", "15"]);
    let rows = recorded.report["functions"].as_array().expect("functions");
    let add: Vec<_> =
        rows.iter().filter(|row| row["name"].as_str().is_some_and(|name| name.starts_with("add"))).collect();
    assert_eq!(add.len(), 1, "{add:#?}");
    assert_eq!((&add[0]["name"], &add[0]["package"]), (&"add".into(), &"main".into()));
    assert_eq!(add[0]["calls"], recorded.truth["calls"]["add"]);
    assert!(recorded.report["recording"]["lost"]["folded_stacks"].as_u64() > Some(1000));
    let notes = recorded.report["recording"]["notes"].to_string();
    assert!(notes.contains("counted without their whole stack"), "{notes}");
}

cgoprof_testing::each_release!(check_release);

#[test]
fn race_trimpath_and_static() {
    for release in ["1.19", "1.21.13", "1.26.6", "1.27.3"].into_iter().filter(|release| go::is_covered(release)) {
        for args in [&["-race"][..], &["-trimpath"], &["-ldflags=-extldflags=-static"]] {
            check(Build { release, args }, User::Nobody);
        }
    }
}

#[test]
fn every_timing_counts_the_same() {
    let program = go::build("crossings", Build::newest());
    for timing in ["every", "auto", "none"] {
        for (scenario, size) in SCENARIOS {
            let recorded = record(User::Nobody, &["--timing", timing], &program, &[scenario, size]);
            check_counts(&format!("{scenario} with --timing {timing}"), &recorded);
            let timed = recorded.report["totals"]["timed"].as_u64();
            let total = &recorded.report["totals"]["total_ns"];
            match timing {
                "every" => assert!(total.as_f64() > Some(0.0), "{scenario}: {total}"),
                "none" => assert!(timed == Some(0) && total.is_null(), "{scenario}: {timed:?} {total}"),
                _ => assert!(timed > Some(0), "{scenario}"),
            }
        }
    }
}

#[test]
fn a_small_stack_depth_truncates_and_says_so() {
    let program = go::build("crossings", Build::newest());
    let recorded = record(User::Root, &["--stack-depth", "5"], &program, &["hot", "1000"]);
    let deep = record(User::Root, &["--stack-depth", "256"], &program, &["stacks", "3"]);
    let stack = |report: &serde_json::Value, name: &str| {
        let rows = report["stacks"].as_array().expect("stacks").clone();
        rows.into_iter().find(|row| row["function"] == name).expect("the function's stack")
    };
    assert_eq!(stack(&recorded.report, "nop")["truncated"], false);
    let nop = stack(&deep.report, "nop");
    assert_eq!(nop["truncated"], true);
    // C, the border and 256 frames; nothing here is inlined.
    assert_eq!(nop["frames"].as_array().expect("frames").len(), 258);
}
