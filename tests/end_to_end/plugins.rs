//! Go plugins: each has a copy of the runtime's code, and once its crossings were missing.

use std::path::PathBuf;

use serde_json::Value;

use crate::cgoprof::{User, calls, check_calls, check_counts, notes, record};
use crate::go::{self, Build, RELEASES};
use crate::joining::{CORNERS, Recorder, Talking, as_user, check_round};

fn host(release: &'static str) -> PathBuf {
    go::build("plugins", Build::of(release))
}

fn plugin(release: &'static str) -> PathBuf {
    go::build("plugins/plug", Build { release, args: &["-buildmode=plugin"] })
}

#[test]
fn crossings_of_plugins_are_counted_with_their_stacks() {
    for release in RELEASES.into_iter().filter(|release| go::is_covered(release)) {
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
    for release in CORNERS {
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

/// The program may be anywhere in its code then.
#[test]
fn plugins_loaded_before_a_recorder_came_are_said_not_to_be_counted() {
    let mut command = as_user(User::Nobody, &host("1.27.3"));
    let mut program = Talking::start(command.arg(plugin("1.27.3")).arg("rounds"));
    assert_eq!(program.answer(), "ready");
    program.ask("loads it");
    let recorder = Recorder::join(User::Nobody, program.pid(), &[]);
    let truth: Value = serde_json::from_str(&program.ask("has it")).expect("a truth");
    let profile = recorder.profile.clone();
    let report = recorder.leave();
    program.end();
    // Once the plugin had a second file, as if it were another Go runtime, with 0 crossings.
    let stem = profile.file_name().expect("a name").to_string_lossy().replace(".pb.gz", "-");
    let beside = std::fs::read_dir(profile.parent().expect("a folder")).expect("a folder").flatten();
    let names: Vec<_> =
        beside.map(|file| file.file_name()).filter(|name| name.to_string_lossy().starts_with(&stem)).collect();
    assert!(names.is_empty(), "{names:?}");
    assert_eq!(calls(&report, "cgocall").get("outside").copied(), truth["calls"]["outside"].as_u64());
    assert!(notes(&report).contains("it was loaded before the recorder could act"), "{}", notes(&report));
    assert!(!notes(&report).contains("a Go runtime of its own"), "{}", notes(&report));
}

/// Only hooks can lead a plugin's crossings to where they are counted.
#[test]
fn what_the_other_engines_miss_of_plugins_is_told() {
    let plugin = plugin("1.27.3");
    let recorded = record(User::Root, &["--engine", "uprobe"], &host("1.27.3"), &[plugin.to_str().expect("a path")]);
    assert_eq!(calls(&recorded.report, "cgocall").get("outside").copied(), recorded.truth["calls"]["outside"].as_u64());
    let notes = notes(&recorded.report);
    assert!(notes.contains("a Go plugin, are not counted: only the trampoline engine can"), "{notes}");
}

#[test]
fn a_go_library_with_a_runtime_of_its_own_is_said_not_to_be_counted() {
    let library = go::build("library", Build { release: "1.27.3", args: &["-buildmode=c-shared"] });
    for (user, engine) in [(User::Nobody, "trampoline"), (User::Root, "uprobe")] {
        let options = ["--engine", engine];
        let recorded = record(user, &options, &host("1.27.3"), &[library.to_str().expect("a path"), "library"]);
        check_calls(engine, &recorded);
        assert!(recorded.truth["inside"].as_u64() >= Some(1000), "{engine}");
        let notes = notes(&recorded.report);
        assert!(notes.contains("are not counted: it has a Go runtime of its own"), "{engine}: {notes}");
    }
}
