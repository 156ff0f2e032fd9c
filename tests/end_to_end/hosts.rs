//! Where Go code is joined: in libraries of other languages' processes, in archives, in containers, in a server at work.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::joining::{Recorder, Talking, as_user, check_as_it_was, check_round, code};
use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, binary, profile_path, report, succeeds};

/// A library with Go code in another language's process.
fn library(release: &'static str) -> PathBuf {
    go::build("library", Build { release, args: &["-buildmode=c-shared"] })
}

#[test]
fn go_in_a_library_of_a_python_process_is_recorded_there_or_still_to_come() {
    for release in go::corners() {
        for early in [false, true] {
            let what = format!("Go {release}, {}", if early { "joined before it is loaded" } else { "loaded" });
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench-programs/library/host.py");
            let mut host = Talking::start(as_user(User::Nobody, Path::new("/usr/bin/python3")).arg(script));
            assert_eq!(host.answer(), "ready");
            let load = format!("load {}", library(release).display());
            let mut recorder = Recorder::start(User::Nobody, host.pid(), &[]);
            if early {
                recorder.wait_for("has no Go code yet");
                assert_eq!(host.ask(&load), "loaded");
            } else {
                // It waits for that too, if it was quicker.
                assert_eq!(host.ask(&load), "loaded");
            }
            let mut line = String::new();
            while !line.contains("recording process") {
                line.clear();
                assert!(recorder.messages.read_line(&mut line).expect("a message") > 0, "{what}");
            }
            let first: u64 = host.ask("cross 1000").parse().expect("a count");
            let second: u64 = host.ask("cross 23456").parse().expect("a count");
            let report = recorder.leave();
            let calls = cgoprof_testing::recording::calls(&report, "cgocall");
            assert_eq!(calls.get("poke"), Some(&24456), "{what}: {calls:?}");
            // What it crossed while it was loaded is told by number.
            let counted: u64 = calls.values().sum();
            let missed = if early { second - counted } else { 0 };
            let notes = cgoprof_testing::recording::notes(&report);
            let told = match missed {
                0 => !notes.contains("between its loading"),
                1 => notes.contains("1 crossing was made"),
                _ => notes.contains(&format!("about {missed} crossings were made")),
            };
            assert!(told, "{what}: {missed} missed; {notes}");
            assert_eq!(second - first, 23456, "{what}: NumCgoCall");
            assert_eq!(report["totals"]["callbacks"], 2, "{what}");
            let maps = std::fs::read_to_string(format!("/proc/{}/maps", host.pid())).expect("its mappings");
            assert!(!maps.contains("cgoprof (deleted)"), "{what}: {maps}");
            host.ask("cross 5");
            host.end();
        }
    }
}

#[test]
fn go_in_an_archive_of_a_c_program_is_recorded() {
    for release in go::corners() {
        let archive = go::build("library", Build { release, args: &["-buildmode=c-archive"] });
        let program = shared_dir().join(format!("c-host-{release}"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/bench-programs/library/host.c.txt");
        let mut cc = Command::new("cc");
        succeeds(
            cc.args(["-O1", "-x", "c", source, "-x", "none"]).arg(&archive).args(["-lpthread", "-o"]).arg(&program),
        );
        let mut host = Talking::start(&mut as_user(User::Nobody, &program));
        assert_eq!(host.answer(), "ready");
        let recorder = Recorder::join(User::Nobody, host.pid(), &[]);
        host.ask("1234");
        let calls = cgoprof_testing::recording::calls(&recorder.leave(), "cgocall");
        assert_eq!(calls.get("poke"), Some(&1234), "Go {release}: {calls:?}");
        host.end();
    }
}

#[test]
fn a_program_in_namespaces_of_its_own_is_recorded() {
    let program = go::build("crossings", Build::of("1.26.6"));
    // The program is where nobody outside sees it.
    let script = format!("mount -t tmpfs none /mnt && cp {} /mnt/inside && exec /mnt/inside rounds", program.display());
    let mut unshare = Command::new("unshare");
    let unshare = unshare.args(["--pid", "--fork", "--mount", "--mount-proc", "sh", "-c", &script]);
    let mut host = Talking::start(unshare);
    assert_eq!(host.answer(), "ready");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", host.pid())).expect("children");
    let pid = Pid::from_raw(children.trim().parse().expect("one child"));
    let (before, recorder) = (code(pid), Recorder::join(User::Root, pid, &[]));
    let truth = host.ask("one");
    let report = recorder.leave();
    check_round("namespaces", &truth, &report);
    check_as_it_was("namespaces", pid, &before);
    let known = |row: &&Value| row["tid"].as_i64().is_some_and(|tid| tid >= i64::from(pid.as_raw()));
    let rows = report["threads"].as_array().expect("threads");
    assert_eq!(rows.iter().filter(known).count(), rows.len(), "threads are known as outside: {rows:?}");
    host.end();
}

/// BLOCKED and CPU were off by the namespace's 100,000 s, and a second recorder took the first for dead.
#[test]
fn times_in_a_time_namespace_are_right() {
    let program = go::build("crossings", Build::of("1.26.6"));
    let profile = profile_path(User::Root);
    for offset in ["100000", "-1000"] {
        let mut unshare = Command::new("unshare");
        unshare.args(["--time", "--monotonic", offset, "--boottime", "7777", "--fork"]).arg(binary());
        unshare.args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(&program).args(["crowd", "20"]);
        succeeds(&mut unshare);
        let report = report(&profile);
        let rows = report["functions"].as_array().expect("functions");
        let pause = rows.iter().find(|row| row["name"] == "pause_for").expect("pause_for");
        let (c, blocked) = (pause["c_ns"].as_f64().expect("c_ns"), pause["blocked_ns"].as_f64().expect("blocked_ns"));
        assert!(blocked > c * 0.9 && blocked <= c * 1.01, "{offset}: {blocked} of {c} ns");
    }
    let mut program = Talking::rounds(User::Root, "1.26.6");
    let recorder = Recorder::join(User::Root, program.pid(), &[]);
    let mut second = Command::new("unshare");
    second.args(["--time", "--boottime", "7777", "--fork"]).arg(binary()).args([
        "record",
        "--engine",
        "trampoline",
        "-o",
    ]);
    let second = second.arg(&profile).args(["-p", &program.pid().to_string()]).output().expect("unshare");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("records it already"), "{said}");
    let truth = program.ask("one");
    check_round("beside a second recorder", &truth, &recorder.leave());
    program.end();
}

/// What is at the same number there was read, and written to.
#[test]
fn without_its_own_proc_a_pid_namespace_is_not_mistaken_for_another() {
    let actor = go::build("actor", Build::newest());
    let record = |arguments: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork"]).arg(binary()).args(["record", "-o"]).arg(profile_path(User::Root));
        unshare.args(arguments).output().expect("unshare")
    };
    let launched = record(&["--", actor.to_str().expect("a path"), "signals"]);
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(launched.status.success() && launched.stdout.starts_with(b"SigBlk:"), "{}", said(&launched));
    let why = "/proc is that of another PID namespace";
    assert!(said(&launched).contains(why), "{}", said(&launched));
    let joined = record(&["-p", "1"]);
    assert!(joined.status.code() == Some(125) && said(&joined).contains(why), "{}", said(&joined));
}

#[test]
fn a_database_server_under_load_is_joined_counted_and_left() {
    let program = go::build("sqlite", Build::of("1.26.6"));
    for round in 0..3 {
        let mut server = Talking::start(as_user(User::Nobody, &program).env("SQLITE_SERVE", "1"));
        assert_eq!(server.answer(), "ready");
        let before = code(server.pid());
        let pid = server.pid();
        let mut count = || server.ask("count").parse::<u64>().expect("a count");
        let outside = count();
        let recorder = Recorder::join(User::Nobody, pid, &[]);
        let inside = count();
        std::thread::sleep(Duration::from_millis(500));
        let most_inside = count();
        let report = recorder.leave();
        let most_outside = count();
        let counted = report["totals"]["crossings"].as_u64().expect("a count");
        let (least, most) = (most_inside - inside, most_outside - outside);
        // The runtime counts before the hooks do.
        assert!(least <= counted + 8 && counted <= most, "round {round}: {least} <= {counted} <= {most}");
        assert!(counted > 1000, "round {round}: {counted}");
        check_as_it_was("the server", pid, &before);
        count();
        kill(pid, Signal::SIGKILL).expect("a signal");
        server.child.wait().expect("it ends");
    }
}

/// Once each had a file of its own.
#[test]
fn two_go_runtimes_of_one_process_are_recorded_into_one_profile() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench-programs/library/two.py");
    let copy = |name: &str, release| {
        let path = shared_dir().join(name);
        std::fs::copy(library(release), &path).expect("a copy");
        path
    };
    let libraries = [copy("libone.so", "1.27.3"), copy("libtwo.so", "1.19")];
    for user in [User::Nobody, User::Root] {
        let mut host = Talking::start(as_user(user, Path::new("/usr/bin/python3")).arg(script).args(&libraries));
        assert_eq!(host.answer(), "ready");
        let before = code(host.pid());
        let recorder = Recorder::join(user, host.pid(), &[]);
        host.ask("1000");
        host.ask("234");
        let report = recorder.leave();
        // The second crosses twice as often.
        for (name, expected) in [("libone.so", 1234), ("libtwo.so", 2468)] {
            let functions = report["functions"].as_array().expect("functions");
            let is_its = |row: &&Value| row["library"].as_str().is_some_and(|library| library.ends_with(name));
            let row = functions.iter().find(|row| row["via"] == "cgocall" && is_its(row)).expect("its function");
            assert_eq!(row["calls"], expected, "{name}: {row}");
            assert!(row["name"].as_str().is_some_and(|text| text.contains(name)), "{row}");
        }
        assert_eq!(report["totals"]["crossings"], 1234 + 2468);
        check_as_it_was("two runtimes", host.pid(), &before);
        host.ask("5");
        host.end();
    }
}
