//! `cgoprof stat` on programs that know what they did.

use std::process::Command;

use serde_json::Value;

use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, command};

#[test]
fn runs_are_counted_exactly_and_their_status_is_told() {
    let (folder, program) = (shared_dir().join("statistics"), go::build("family", Build::newest()));
    let counts = folder.join("counts");
    std::fs::create_dir_all(&counts).expect("a folder");
    let file = folder.join("stat.json");
    let mut stat = command(User::Root);
    stat.args(["stat", "-r", "3", "--json", "-o"]).arg(&file).env("COUNTS", &counts).env("FAMILY", program);
    let output = stat.args(["--", "sh", "-c", "$FAMILY 1000; $FAMILY 20; exit 4"]).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    assert_eq!(found["programs"], serde_json::json!([2, 2, 2]));
    let counted = std::fs::read_dir(&counts).expect("counts").map(|entry| {
        std::fs::read_to_string(entry.expect("an entry").path()).expect("a count").parse::<f64>().expect("a number")
    });
    let crossings = &found["counters"]["crossings"];
    let runs = crossings["runs"].as_array().expect("runs").iter().map(|run| run.as_f64().expect("a number"));
    assert_eq!(runs.sum::<f64>(), counted.sum::<f64>());
    assert_eq!(crossings["se"], 0.0);
    let functions = found["functions"].as_array().expect("functions");
    let one = functions.iter().find(|function| function["name"] == "one").expect("a function");
    assert_eq!((&one["calls"], &one["calls_se"]), (&serde_json::json!(1020.0), &serde_json::json!(0.0)));
}

/// A second recording of one recorder finds its own signal mask.
#[test]
fn every_run_has_the_signals_of_the_first() {
    let script = "grep -e SigBlk -e SigIgn /proc/self/status";
    let bare = Command::new("sh").args(["-c", script]).output().expect("a shell").stdout;
    let output =
        command(User::Root).args(["stat", "-r", "3", "--", "sh", "-c", script]).output().expect("cgoprof runs");
    // Nothing crosses, so there is one run only; the other runs are those of a program that does.
    assert_eq!((output.status.code(), output.stdout), (Some(125), bare.clone()));
    let script = format!("{script}; {} 10", go::build("family", Build::newest()).display());
    let output =
        command(User::Root).args(["stat", "-r", "3", "--", "sh", "-c", &script]).output().expect("cgoprof runs");
    assert_eq!((output.status.code(), output.stdout), (Some(0), bare.repeat(3)));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("(3 runs)") && said.contains("crossings") && said.contains("of the run"), "{said}");
}
