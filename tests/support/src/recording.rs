//! Running cgoprof, and comparing what it reports with what a bench program knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::go::shared_dir;

/// Who runs cgoprof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum User {
    /// Who may do anything.
    Root,
    /// Who may do least: user and group 65534.
    Nobody,
}

/// The binary under test, where every user can execute it.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let copy = shared_dir().join("cgoprof");
        // By another process: a file this one has open for writing is open in what other tests fork, too, and cannot
        // be executed while it is.
        succeeds(Command::new("cp").arg(built()).arg(&copy));
        copy
    })
}

/// The binary that was built with the running test or benchmark.
pub fn built() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    profile.join("cgoprof")
}

/// A command line of cgoprof.
pub fn command(user: User) -> Command {
    let mut command = match user {
        User::Root => Command::new(binary()),
        User::Nobody => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary());
            command
        }
    };
    // The defaults of whoever runs the tests are not theirs.
    command.env("CGOPROF_CONFIG", "/dev/null");
    command
}

/// A new path for a profile that this user can write.
pub fn profile_path(user: User) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let dir = shared_dir().join(format!("{user:?}"));
    std::fs::create_dir_all(&dir).expect("a folder");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&dir, mode).expect("its mode");
    dir.join(format!("{}.pb.gz", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// What a recorded program printed, and its report.
pub struct Recorded {
    /// What the program knows, as it printed it.
    pub truth: Value,
    /// The report as JSON.
    pub report: Value,
    /// The profile's file.
    pub profile: PathBuf,
}

/// Records a bench program and reads its truth and its report.
pub fn record(user: User, options: &[&str], program: &Path, args: &[&str]) -> Recorded {
    let profile = profile_path(user);
    let output = command(user)
        .args(["record", "-q", "-o"])
        .arg(&profile)
        .args(options)
        .arg("--")
        .arg(program)
        .args(args)
        .output();
    let output = output.expect("cgoprof runs");
    let what = format!("{} {args:?} {options:?} as {user:?}", program.display());
    assert!(output.status.success(), "{what}: {:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
    let truth = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{what}: truth: {error}"));
    Recorded { truth, report: report(&profile), profile }
}

/// The JSON report of a profile.
pub fn report(profile: &Path) -> Value {
    let output = succeeds(command(User::Root).args(["report", "--format", "json"]).arg(profile));
    serde_json::from_slice(&output.stdout).expect("the report is JSON")
}

/// Runs a command that must succeed.
pub fn succeeds(command: &mut Command) -> Output {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// Crossings by C function, by the given way.
pub fn calls(report: &Value, via: &str) -> BTreeMap<String, u64> {
    by_function(report, via, "calls")
}

fn by_function(report: &Value, via: &str, field: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for function in report["functions"].as_array().expect("functions") {
        if function["via"] == via {
            *sums.entry(function["name"].as_str().expect("name").to_owned()).or_default() +=
                function[field].as_u64().expect("a count");
        }
    }
    sums
}

/// Calls by C function must equal the program's own count, and all of them `runtime.NumCgoCall`.
pub fn check_calls(what: &str, recorded: &Recorded) {
    let Recorded { truth, report, .. } = recorded;
    let found = calls(report, "cgocall");
    for (name, calls) in truth["calls"].as_object().into_iter().flatten() {
        assert_eq!(found.get(name).copied(), calls.as_u64(), "{what}: calls of {name}");
    }
    let sum: u64 = found.values().sum();
    assert_eq!(Some(sum), truth["num_cgo_call"].as_u64(), "{what}: NumCgoCall; {found:?}");
    assert_eq!(Some(sum), report["totals"]["crossings"].as_u64(), "{what}: total of crossings");
    assert!(!notes(report).contains("not complete"), "{what}: {}", notes(report));
}

/// The notes of a recording.
pub fn notes(report: &Value) -> String {
    report["recording"]["notes"].to_string()
}

/// Every count of the report must equal the program's own.
pub fn check_counts(what: &str, recorded: &Recorded) {
    let Recorded { truth, report, .. } = recorded;
    check_calls(what, recorded);
    assert_eq!(report["totals"]["callbacks"], truth["callbacks"], "{what}: callbacks");
    assert_eq!(report["totals"]["locked_crossings"], truth["locked"], "{what}: locked crossings");
    let abandoned: BTreeMap<String, u64> =
        by_function(report, "cgocall", "abandoned").into_iter().filter(|&(_, count)| count > 0).collect();
    assert_eq!(serde_json::json!(abandoned), truth["abandoned"], "{what}: abandoned");
    assert_eq!(report["recording"]["lost"]["folded_stacks"], 0, "{what}: folded stacks");
    check_shares(what, report);
    for (name, stacks) in truth["stacks"].as_object().expect("stacks") {
        let rows = report["stacks"].as_array().expect("stacks");
        let found = rows.iter().filter(|row| row["function"] == name.as_str()).count() as u64;
        assert_eq!(Some(found), stacks.as_u64(), "{what}: stacks of {name}");
    }
    if let Some(sites @ 1..) = truth["sites"].as_u64() {
        let rows = report["sites"].as_array().expect("sites");
        let first = rows.iter().filter(|row| truth["calls"].get(row["function"].as_str().unwrap_or("")).is_some());
        assert_eq!(first.count() as u64, sites, "{what}: sites");
    }
}

/// What threads, goroutines and callbacks have of the counts must add up to all of them.
fn check_shares(what: &str, report: &Value) {
    let sum = |rows: &str, field: &str| -> u64 {
        report[rows].as_array().expect("rows").iter().map(|row| row[field].as_u64().expect("a count")).sum()
    };
    let (totals, forgotten) = (&report["totals"], &report["goroutines_forgotten"]);
    let others = |field: &str| forgotten[field].as_u64().expect("a count");
    assert_eq!(totals["crossings"], sum("threads", "crossings"), "{what}: by thread");
    assert_eq!(totals["crossings"], sum("goroutines", "calls") + others("calls"), "{what}: by goroutine");
    assert_eq!(totals["migrations"], sum("goroutines", "migrations") + others("migrations"), "{what}: migrations");
    if !report["callbacks"].is_null() {
        assert_eq!(totals["callbacks"], sum("callbacks", "calls"), "{what}: callbacks by function");
        assert_eq!(totals["abandoned"], sum("callbacks", "abandoned"), "{what}: abandoned callbacks");
    }
}
