//! Go plugins: each has a copy of the runtime's code, and once its crossings were missing.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::joining::{Recorder, Talking, as_user, check_as_it_was, check_round, code};
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, calls, check_counts, command, notes, profile_path, record, report};

fn host(release: &'static str) -> PathBuf {
    go::build("plugins", Build::of(release))
}

fn plugin(release: &'static str) -> PathBuf {
    go::build("plugins/plug", Build { release, args: &["-buildmode=plugin"] })
}

#[test]
fn crossings_of_plugins_are_counted_with_their_stacks() {
    for release in go::releases() {
        let plugin = plugin(release);
        let recorded = record(User::Nobody, &[], &host(release), &[plugin.to_str().expect("a path")]);
        check_counts(release, &recorded);
        let functions = recorded.report["functions"].as_array().expect("functions");
        let inside = functions.iter().find(|function| function["name"] == "inside").expect("inside");
        assert!(inside["package"].as_str().is_some_and(|package| package.ends_with("plugins/plug")), "{inside}");
        let sites = recorded.report["sites"].as_array().expect("sites");
        let site = sites.iter().find(|site| site["function"] == "inside").expect("its site");
        let text = site.to_string();
        assert!(text.contains("Run.func1") && text.contains("plug.go"), "{release}: {text}");
    }
}

#[test]
fn a_plugin_that_a_joined_program_loads_is_counted_and_by_the_next_recorder_too() {
    for release in go::corners() {
        let mut command = as_user(User::Nobody, &host(release));
        let mut program = Talking::start(command.arg(plugin(release)).arg("rounds"));
        assert_eq!(program.answer(), "ready");
        for round in ["loads it", "has it", "has it still"] {
            let recorder = Recorder::join(User::Nobody, program.pid(), &[]);
            let truth = program.ask(round);
            let report = recorder.leave();
            check_round(&format!("Go {release}, {round}"), &truth, &report);
            assert!(!notes(&report).contains("plugin"), "{release}, {round}: {}", notes(&report));
            program.ask("not recorded");
        }
        program.end();
    }
}

#[test]
fn plugins_loaded_before_a_recorder_came_are_counted() {
    for release in go::corners() {
        let mut command = as_user(User::Nobody, &host(release));
        let mut program = Talking::start(command.arg(plugin(release)).arg("rounds"));
        assert_eq!(program.answer(), "ready");
        program.ask("loads it");
        let before = code(program.pid());
        for round in ["has it", "has it still"] {
            let recorder = Recorder::join(User::Nobody, program.pid(), &[]);
            let truth = program.ask(round);
            let report = recorder.leave();
            check_round(&format!("Go {release}, {round}"), &truth, &report);
            assert!(!notes(&report).contains("plug"), "{release}, {round}: {}", notes(&report));
            check_as_it_was(&format!("Go {release}, {round}"), program.pid(), &before);
            program.ask("not recorded");
        }
        program.end();
    }
}

#[test]
fn uprobes_count_plugins_and_go_libraries_that_are_loaded_already() {
    for release in go::corners() {
        for (loaded, argument) in [(plugin(release), "rounds"), (library(release), "library")] {
            let what = format!("Go {release}, {argument}");
            let mut program = Talking::start(as_user(User::Root, &host(release)).arg(loaded).arg(argument));
            if argument == "rounds" {
                assert_eq!(program.answer(), "ready");
                program.ask("loads it");
            } else {
                program.answer();
                assert_eq!(program.answer(), "ready");
            }
            let recorder = Recorder::join(User::Root, program.pid(), &["--engine", "uprobe"]);
            let truth: Value = serde_json::from_str(&program.ask("one")).expect("a truth");
            let report = recorder.leave();
            for (name, expected) in truth["calls"].as_object().expect("calls") {
                assert_eq!(calls(&report, "cgocall").get(name).copied(), expected.as_u64(), "{what}: {name}");
            }
            assert!(!notes(&report).contains("not counted"), "{what}: {}", notes(&report));
            program.end();
        }
    }
}

/// Their hits come from the moment on when they are set.
#[test]
fn what_uprobes_missed_of_a_plugin_until_they_were_set_is_told() {
    let profile = profile_path(User::Root);
    let mut command = command(User::Root);
    command.args(["record", "--engine", "uprobe", "-q", "-o"]).arg(&profile);
    let mut program = Talking::start(command.arg(host("1.27.3")).arg(plugin("1.27.3")).arg("rounds"));
    assert_eq!(program.answer(), "ready");
    program.ask("loads it");
    std::thread::sleep(Duration::from_secs(2));
    program.ask("has it");
    program.end();
    let report = report(&profile);
    let calls = calls(&report, "cgocall");
    assert!((100_000..200_000).contains(&calls["inside"]), "{calls:?}");
    let notes = notes(&report);
    assert!(notes.contains("between its loading and the recorder's hooks or probes there are not counted"), "{notes}");
}

#[test]
fn a_plugin_that_came_too_late_to_be_probed_is_said_not_to_be_counted() {
    let plugin = plugin("1.27.3");
    let recorded = record(User::Root, &["--engine", "uprobe"], &host("1.27.3"), &[plugin.to_str().expect("a path")]);
    assert_eq!(calls(&recorded.report, "cgocall").get("outside").copied(), recorded.truth["calls"]["outside"].as_u64());
    let notes = notes(&recorded.report);
    let told = notes.contains("are not counted: the recording ended before the recorder could");
    assert!(
        told || notes.contains("between its loading and the recorder's hooks or probes there are not counted"),
        "{notes}"
    );
}

/// A library with a runtime of its own, in a Go program.
fn library(release: &'static str) -> PathBuf {
    go::build("library", Build { release, args: &["-buildmode=c-shared"] })
}

#[test]
fn a_go_library_that_a_joined_program_has_loaded_is_counted_in_the_same_profile() {
    for release in go::corners() {
        let mut command = as_user(User::Nobody, &host(release));
        let mut program = Talking::start(command.arg(library(release)).arg("library"));
        let first: Value = serde_json::from_str(&program.answer()).expect("a truth");
        assert_eq!(program.answer(), "ready");
        let before = code(program.pid());
        let recorder = Recorder::join(User::Nobody, program.pid(), &[]);
        program.ask("one");
        let last: Value = serde_json::from_str(&program.ask("two")).expect("a truth");
        let report = recorder.leave();
        let since = |key: &str| last[key].as_u64().expect("a count") - first[key].as_u64().expect("a count");
        assert_eq!(calls(&report, "cgocall").get("poke"), Some(&2000), "{release}");
        assert_eq!(calls(&report, "cgocall").get("cross_in"), Some(&2), "{release}");
        assert_eq!(report["totals"]["crossings"], since("inside") + since("num_cgo_call"), "{release}");
        assert_eq!(report["totals"]["callbacks"], 2, "{release}");
        assert!(notes(&report).contains("has a Go runtime of its own"), "{}", notes(&report));
        check_as_it_was(&format!("Go {release}"), program.pid(), &before);
        program.end();
    }
}

/// What it crossed before is told by the runtime's own count.
#[test]
fn a_go_library_that_a_program_loads_while_it_is_recorded_is_counted_from_then_on() {
    for release in go::corners() {
        let profile = profile_path(User::Nobody);
        let mut command = command(User::Nobody);
        command.args(["record", "--engine", "trampoline", "-q", "-o"]).arg(&profile);
        let mut program = Talking::start(command.arg(host(release)).arg(library(release)).arg("library"));
        program.answer();
        assert_eq!(program.answer(), "ready");
        std::thread::sleep(Duration::from_millis(500));
        for _ in 0..4 {
            program.ask("cross");
        }
        let truth: Value = serde_json::from_str(&program.ask("cross")).expect("a truth");
        program.end();
        let report = report(&profile);
        let counted = calls(&report, "cgocall")["poke"];
        let missed = truth["inside"].as_u64().expect("a count") - counted;
        assert!(counted >= 5000, "{release}: {counted}");
        let told = format!(
            "about {missed} crossings were made by {}",
            library(release).file_name().expect("a name").to_string_lossy()
        );
        assert!(missed == 0 || notes(&report).contains(&told), "{release}: {missed} missed, {}", notes(&report));
    }
}
