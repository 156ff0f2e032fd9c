//! `cgoprof diff` on repeats of programs of which it is known how they differ.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::ONE_AT_A_TIME;
use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::host::on_a_steady_machine;
use cgoprof_testing::recording::{User, command, succeeds};

/// Repeats of each program.
const REPEATS: usize = 10;

/// Calls, and steps that each computes.
const PROGRAMS: [(&str, [&str; 2]); 4] = [
    ("base", ["10000", "4000"]),
    ("same", ["10000", "4000"]),
    ("more-calls", ["11000", "4000"]),
    ("longer", ["10000", "4800"]),
];

/// Records all programs in turn, so that what the machine does meanwhile is done to each. Returns their folder.
fn recorded(name: &str) -> PathBuf {
    let (folder, program) = (shared_dir().join(name), go::build("family", Build::newest()));
    // Of an earlier try.
    let _ = std::fs::remove_dir_all(&folder);
    for repeat in 0..REPEATS {
        for (name, [calls, steps]) in PROGRAMS {
            let profile = folder.join(name).join(format!("{repeat}.pb.gz"));
            let mut recorder = command(User::Root);
            recorder.args(["record", "-q", "--waits", "looks", "-o"]).arg(profile).arg("--").arg(&program);
            succeeds(recorder.args([calls, "0", steps]));
        }
    }
    folder
}

fn diff(folder: &Path, now: &str, options: &[&str]) -> Output {
    let mut command: Command = command(User::Root);
    command.arg("diff").args(options).arg(folder.join("base")).arg(folder.join(now));
    command.output().expect("cgoprof runs")
}

#[test]
fn more_calls_and_longer_calls_are_found_and_repeats_of_one_program_are_the_same() {
    let _alone = ONE_AT_A_TIME.lock();
    on_a_steady_machine(|| {
        let folder = recorded("difference");
        let limits = ["--fail-above", "calls=5%", "--fail-above", "c_each=10%"];
        for (now, status, grew) in [
            ("same", 0, None),
            ("more-calls", 1, Some("calls of compute: +10.0 %")),
            ("longer", 1, Some("c_each of compute: +")),
        ] {
            let output = diff(&folder, now, &limits);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(status), "{now}: {said} {shown}");
            assert!(grew.is_none_or(|grew| said.contains(grew)), "{now}: {said}");
        }
        let json = succeeds_with_json(&folder, "longer");
        let row = json["rows"].as_array().expect("rows").iter().find(|row| row["name"] == "compute").expect("a row");
        let change = row["c_each_change"].as_f64().expect("a change");
        assert!((0.15..0.25).contains(&change), "{change}");
        assert_eq!(row["calls_change"], 0.0);
    });
}

fn succeeds_with_json(folder: &Path, now: &str) -> Value {
    let output = diff(folder, now, &["--format", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
