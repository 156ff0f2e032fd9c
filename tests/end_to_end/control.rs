//! `cgoprof ctl` and `--start-after`: recordings that pause, begin later and are looked at while they run.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cgoprof_profile::decode;
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, calls, command, notes, profile_path, report, succeeds};
use serde_json::Value as Json;

use crate::push::{Scripted, crossings};
use crate::servers::until;

/// A program that makes a round of crossings when it is told to, and its recorder.
struct Rounds {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Rounds {
    fn start(mut recorder: Command) -> Rounds {
        recorder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = recorder.spawn().expect("it runs");
        let (orders, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut rounds = Rounds { child, orders, answers: BufReader::new(output).lines() };
        assert_eq!(rounds.line(), "ready");
        rounds
    }

    fn line(&mut self) -> String {
        self.answers.next().expect("a line").expect("text")
    }

    /// Returns the crossings of a round, as the program knows them.
    fn round(&mut self) -> Json {
        writeln!(self.orders).expect("it reads");
        serde_json::from_str(&self.line()).expect("JSON")
    }

    /// Lets the program end.
    fn end(self) -> Output {
        drop((self.orders, self.answers));
        self.child.wait_with_output().expect("it ends")
    }
}

fn program() -> PathBuf {
    go::build("crossings", Build::newest())
}

/// Returns the process of a recorded program: the child of its recorder.
fn recorded_by(recorder: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{recorder}/task/{recorder}/children")).expect("it runs");
    children.split_whitespace().next().expect("a child").parse().expect("a number")
}

fn ctl(user: User, pid: u32, arguments: &[&str]) -> Output {
    command(user).arg("ctl").arg(pid.to_string()).args(arguments).output().expect("cgoprof runs")
}

fn controls(user: User, pid: u32, arguments: &[&str]) {
    let output = ctl(user, pid, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Checks that a profile has the crossings of these rounds, and no other.
fn check(what: &str, profile: &Path, rounds: &[&Json]) {
    let report = report(profile);
    let found = calls(&report, "cgocall");
    for name in ["nop", "add", "call_back", "leaf"] {
        let expected: u64 = rounds.iter().filter_map(|round| round["calls"][name].as_u64()).sum();
        assert_eq!(found.get(name).copied().unwrap_or_default(), expected, "{what}: {name}");
    }
    let callbacks: u64 = rounds.iter().filter_map(|round| round["callbacks"].as_u64()).sum();
    assert_eq!(report["totals"]["callbacks"].as_u64(), Some(callbacks), "{what}");
}

/// Whether code of the hooks is in a process.
fn has_hooks(pid: u32) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    maps.lines().any(|line| line.contains("memfd:cgoprof"))
}

fn pauses(user: User, engine: &str) {
    let (profile, snapshot) = (profile_path(user), profile_path(user));
    let mut recorder = command(user);
    recorder.args(["record", "--engine", engine, "-o"]).arg(&profile).arg("--").arg(program()).args(["rounds", "1000"]);
    let mut rounds = Rounds::start(recorder);
    let recorder = rounds.child.id();
    let pid = recorded_by(recorder);
    let first = rounds.round();
    assert_eq!(has_hooks(pid), engine == "trampoline", "{user:?}");
    controls(user, pid, &["pause"]);
    assert!(!has_hooks(pid), "{user:?}");
    check("the file in a pause", &profile, &[&first]);
    let again = ctl(user, pid, &["pause"]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("it is paused already"));
    rounds.round();
    controls(user, recorder, &["resume"]);
    let (third, file) = (rounds.round(), snapshot.to_str().expect("a path"));
    if engine == "uprobe" {
        // Its counts come with the kernel's records, which are read ten times a second.
        std::thread::sleep(Duration::from_millis(500));
    }
    controls(user, pid, &["snapshot", "-o", file]);
    check("a snapshot", &snapshot, &[&first, &third]);
    let fourth = rounds.round();
    controls(user, pid, &["pause"]);
    rounds.round();
    controls(user, pid, &["resume"]);
    let sixth = rounds.round();
    let output = rounds.end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check("the finished file", &profile, &[&first, &third, &fourth, &sixth]);
    let report = report(&profile);
    assert!(notes(&report).contains("was paused 2 times"), "{}", notes(&report));
    assert!(!report["threads"].as_array().expect("threads").is_empty());
}

#[test]
fn what_a_program_does_in_a_pause_is_not_recorded() {
    pauses(User::Root, "trampoline");
    pauses(User::Nobody, "trampoline");
    pauses(User::Root, "uprobe");
}

#[test]
fn what_is_pushed_over_a_pause_is_what_the_file_has() {
    let (server, profile) = (Scripted::new(|_| Some("200 OK")), profile_path(User::Root));
    let mut recorder = command(User::Root);
    recorder.args(["record", "--push", &server.url(), "--interval", "500ms", "-o"]).arg(&profile).arg("--");
    recorder.arg(program()).args(["rounds", "1000"]);
    let mut rounds = Rounds::start(recorder);
    let pid = recorded_by(rounds.child.id());
    let first = rounds.round();
    controls(User::Root, pid, &["pause"]);
    rounds.round();
    controls(User::Root, pid, &["resume"]);
    let third = rounds.round();
    // A push, and more after it.
    std::thread::sleep(Duration::from_millis(800));
    let fourth = rounds.round();
    assert!(rounds.end().status.success());
    check("the file", &profile, &[&first, &third, &fourth]);
    let file = decode(&std::fs::read(&profile).expect("the profile")).expect("a profile");
    let calls: u64 = file.cells.iter().map(|cell| cell.stats.calls).sum();
    let requests = server.received.lock().expect("no panic");
    let folder = profile.with_extension("pushed");
    assert_eq!(crossings(&requests.iter().collect::<Vec<_>>(), &folder), calls as i64);
}

/// The duration is that of the recording, without its pauses.
#[test]
fn a_pause_does_not_use_up_the_duration() {
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.args(["record", "--duration", "3s", "-o"]).arg(&profile).arg("--").arg(program()).args(["rounds", "1000"]);
    let mut rounds = Rounds::start(recorder);
    let pid = recorded_by(rounds.child.id());
    let first = rounds.round();
    controls(User::Root, pid, &["pause"]);
    std::thread::sleep(Duration::from_secs(4));
    controls(User::Root, pid, &["resume"]);
    let second = rounds.round();
    until(Duration::from_secs(10), "the recording ends", || !has_hooks(pid));
    rounds.round();
    assert!(rounds.end().status.success());
    check("the file", &profile, &[&first, &second]);
    let duration = report(&profile)["recording"]["duration_ns"].as_f64().expect("a time");
    assert!((2.9e9..3.5e9).contains(&duration), "{duration}");
}

/// The recorder once lost all that came after a pause at which its file could not be written.
#[test]
fn a_file_that_could_not_be_written_in_a_pause_is_written_at_the_end() {
    let folder = profile_path(User::Root).with_extension("gone");
    let profile = folder.join("profile.pb.gz");
    let mut recorder = command(User::Root);
    recorder.args(["record", "-o"]).arg(&profile).arg("--").arg(program()).args(["rounds", "1000"]);
    let mut rounds = Rounds::start(recorder);
    let pid = recorded_by(rounds.child.id());
    let first = rounds.round();
    std::fs::remove_dir_all(&folder).expect("it is there");
    let paused = ctl(User::Root, pid, &["pause"]);
    let said = String::from_utf8_lossy(&paused.stderr).into_owned();
    assert!(!paused.status.success() && said.contains("No such file or directory"), "{said}");
    std::fs::create_dir(&folder).expect("a folder");
    controls(User::Root, pid, &["resume"]);
    let second = rounds.round();
    let output = rounds.end();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check("the file", &profile, &[&first, &second]);
}

/// A snapshot once took the file's name from the recording.
#[test]
fn a_snapshot_does_not_replace_the_recordings_own_file() {
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.args(["record", "-o"]).arg(&profile).arg("--").arg(program()).args(["rounds", "1000"]);
    let mut rounds = Rounds::start(recorder);
    let pid = recorded_by(rounds.child.id());
    let first = rounds.round();
    let refused = ctl(User::Root, pid, &["snapshot", "-o", profile.to_str().expect("a path")]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("is the file that it writes itself"), "{said}");
    assert!(rounds.end().status.success());
    check("the file", &profile, &[&first]);
}

#[test]
fn a_recording_may_end_in_a_pause() {
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.args(["record", "-o"]).arg(&profile).arg("--").arg(program()).args(["rounds", "1000"]);
    let mut rounds = Rounds::start(recorder);
    let first = rounds.round();
    controls(User::Root, rounds.child.id(), &["pause"]);
    rounds.round();
    let output = rounds.end();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("crossings in "), "{said}");
    check("the file", &profile, &[&first]);
}

#[test]
fn a_running_program_is_attached_to_again() {
    let profile = profile_path(User::Root);
    let mut alone = Command::new(program());
    alone.args(["rounds", "1000"]);
    let mut rounds = Rounds::start(alone);
    let pid = rounds.child.id();
    let mut recorder = command(User::Root);
    recorder.args(["record", "--start-after", "1h", "-o"]).arg(&profile).args(["-p", &pid.to_string()]);
    let mut recorder = recorder.stderr(Stdio::null()).spawn().expect("cgoprof runs");
    rounds.round();
    until(Duration::from_secs(10), "it takes commands", || ctl(User::Root, pid, &["resume"]).status.success());
    let second = rounds.round();
    controls(User::Root, pid, &["pause"]);
    rounds.round();
    controls(User::Root, pid, &["resume"]);
    let fourth = rounds.round();
    assert!(rounds.end().status.success() && recorder.wait().expect("it ends").success());
    check("the file", &profile, &[&second, &fourth]);
}

#[test]
fn a_recording_begins_when_its_time_has_come() {
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.args(["record", "--start-after", "700ms", "-o"]).arg(&profile).arg("--").arg(program());
    recorder.args(["rounds", "1000"]);
    let begun = Instant::now();
    let mut rounds = Rounds::start(recorder);
    let pid = recorded_by(rounds.child.id());
    rounds.round();
    assert!(!has_hooks(pid) && begun.elapsed() < Duration::from_millis(700));
    until(Duration::from_secs(10), "it is attached to", || has_hooks(pid));
    assert!(begun.elapsed() >= Duration::from_millis(700));
    // It attaches for a moment more.
    std::thread::sleep(Duration::from_millis(300));
    let second = rounds.round();
    assert!(rounds.end().status.success());
    check("the file", &profile, &[&second]);
    let early = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.args(["record", "--start-after", "1h", "-o"]).arg(&early).args(["--", "sh", "-c", "exit 3"]);
    assert_eq!(recorder.output().expect("cgoprof runs").status.code(), Some(3));
    let mut recorder = command(User::Root);
    recorder.args(["record", "--start-after", "1h", "-o"]).arg(&early).arg("--").arg(program()).args(["hot", "10"]);
    let output = succeeds(&mut recorder);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the recording ended before it began") && !early.exists(), "{said}");
}

#[test]
fn commands_go_to_all_programs_of_a_recorder_and_only_from_its_user() {
    let folder = profile_path(User::Root).with_extension("folder");
    let script = format!("exec 3<&0; {0} rounds 1000 <&3 & {0} rounds 1000 <&3; wait", program().display());
    let mut recorder = command(User::Root);
    recorder.args(["record", "-q", "-o"]).arg(format!("{}/", folder.display())).args(["--", "sh", "-c", &script]);
    let mut recorder = recorder.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cgoprof runs");
    let snapshot = folder.join("snapshot.pb.gz");
    let file = snapshot.to_str().expect("a path");
    let snapshots = || {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("snapshot.")).count()
    };
    until(Duration::from_secs(20), "both have a snapshot", || {
        ctl(User::Root, recorder.id(), &["snapshot", "-o", file]).status.success() && snapshots() >= 2
    });
    let other = ctl(User::Nobody, recorder.id(), &["pause"]);
    let is_paused = ctl(User::Root, recorder.id(), &["resume"]);
    assert_eq!(String::from_utf8_lossy(&is_paused.stderr).matches("it is not paused").count(), 2, "{is_paused:?}");
    assert!(String::from_utf8_lossy(&other.stderr).contains("belongs to another user"), "{other:?}");
    drop(recorder.stdin.take());
    assert!(recorder.wait().expect("it ends").success());
    let nobody = ctl(User::Root, recorder.id(), &["pause"]);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("is not recorded by"), "{nobody:?}");
}
