//! `record` as a launcher: streams, signals, exit status, job control.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgoprof::{User, command, profile_path, report, succeeds};
use crate::go::{self, Build, shared_dir};

/// A program with cgo that acts as its argument says.
fn actor() -> std::path::PathBuf {
    go::build("actor", Build::newest())
}

#[test]
fn streams_and_exit_status_are_the_programs_own() {
    let profile = profile_path(User::Nobody);
    let mut child = command(User::Nobody)
        .args(["record", "-o"])
        .arg(&profile)
        .arg("--")
        .arg(actor())
        .args(["echo", "7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cgoprof runs");
    child.stdin.take().expect("stdin").write_all(b"over the border").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"over the border");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(messages.contains("to stderr") && messages.contains("cgoprof: written"), "{messages}");
}

#[test]
fn a_program_that_dies_by_a_signal_leaves_its_profile() {
    for (how, status) in [("abort", 134), ("kill", 137), ("segv", 2)] {
        let profile = profile_path(User::Nobody);
        let output =
            command(User::Nobody).args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(actor()).arg(how).output();
        assert_eq!(output.expect("it runs").status.code(), Some(status), "{how}");
        let calls = report(&profile)["totals"]["crossings"].as_u64();
        assert!(calls >= Some(1000), "{how}: {calls:?}");
    }
}

#[test]
fn an_interrupt_from_the_terminal_ends_the_program_and_not_the_recording() {
    let profile = profile_path(User::Root);
    let mut recorder = Command::new("setsid");
    recorder
        .arg(crate::cgoprof::binary())
        .args(["record", "-q", "-o"])
        .arg(&profile)
        .arg("--")
        .arg(actor())
        .arg("wait");
    let mut child = recorder.stdout(Stdio::piped()).spawn().expect("cgoprof runs");
    wait_for_ready(&mut child);
    // As the terminal does: to the whole foreground process group.
    kill(Pid::from_raw(-(child.id() as i32)), Signal::SIGINT).expect("a signal");
    assert_eq!(child.wait().expect("it ends").code(), Some(3), "the program handles SIGINT by exiting with 3");
    assert!(report(&profile)["totals"]["crossings"].as_u64() >= Some(1000));
}

#[test]
fn sigterm_is_handed_on_and_finishes_the_file() {
    for (how, status) in [("wait", Some(4)), ("stubborn", Some(143))] {
        let profile = profile_path(User::Root);
        let mut child = command(User::Root)
            .args(["record", "-q", "-o"])
            .arg(&profile)
            .arg("--")
            .arg(actor())
            .arg(how)
            .stdout(Stdio::piped())
            .spawn()
            .expect("cgoprof runs");
        wait_for_ready(&mut child);
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("a signal");
        assert_eq!(child.wait().expect("it ends").code(), status, "{how}");
        let found = report(&profile);
        assert!(found["totals"]["crossings"].as_u64() >= Some(1000), "{how}");
        if how == "stubborn" {
            let pid = found["target"]["pid"].as_i64().expect("pid") as i32;
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the program lives on");
        }
    }
}

#[test]
fn stop_and_continue_work_as_without_us() {
    let profile = profile_path(User::Root);
    let mut recorder = Command::new("setsid");
    recorder
        .arg(crate::cgoprof::binary())
        .args(["record", "-q", "-o"])
        .arg(&profile)
        .arg("--")
        .arg(actor())
        .arg("wait");
    let mut child = recorder.stdout(Stdio::piped()).spawn().expect("cgoprof runs");
    wait_for_ready(&mut child);
    let group = Pid::from_raw(-(child.id() as i32));
    kill(group, Signal::SIGSTOP).expect("stop");
    std::thread::sleep(Duration::from_millis(300));
    let state = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("stat");
    assert_eq!(state.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()), Some("T"), "{state}");
    kill(group, Signal::SIGCONT).expect("continue");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("a signal");
    assert_eq!(child.wait().expect("it ends").code(), Some(4));
}

#[test]
fn duration_ends_the_recording_and_not_the_program() {
    let profile = profile_path(User::Root);
    let start = Instant::now();
    let mut child = command(User::Root)
        .args(["record", "--duration", "500ms", "-o"])
        .arg(&profile)
        .arg("--")
        .arg(actor())
        .args(["sleep", "1500"])
        .stderr(Stdio::null())
        .spawn()
        .expect("cgoprof runs");
    std::thread::sleep(Duration::from_millis(1000));
    let found = report(&profile);
    assert!(start.elapsed() < Duration::from_millis(1450), "the report is there before the program ends");
    let duration = found["recording"]["duration_ns"].as_u64().expect("duration");
    assert!((500_000_000..900_000_000).contains(&duration), "{duration}");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(1500));
}

#[test]
fn go_test_exec_works() {
    let go = go::command("1.27.3");
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/actor");
    let profile = profile_path(User::Root);
    let exec = format!("{} record -q -o {} --", crate::cgoprof::binary().display(), profile.display());
    let mut test = Command::new(go);
    succeeds(test.args(["test", "-exec", &exec, "."]).current_dir(source).env("GOTOOLCHAIN", "local"));
    assert!(report(&profile)["totals"]["crossings"].as_u64() >= Some(1000));
}

#[test]
fn the_demo_runs_from_nothing() {
    let dir = shared_dir().join("demo");
    std::fs::create_dir_all(&dir).expect("a folder");
    let go = go::command("1.27.3");
    let path = format!("{}:{}", go.parent().expect("bin").display(), std::env::var("PATH").expect("PATH"));
    let output = succeeds(command(User::Root).arg("demo").arg("--dir").arg(&dir).env("PATH", path));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["fetch", "price", "checksum", "main.total", "callbacks into Go", "go1.27.3"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(dir.join("cgoprof.svg").exists() && dir.join("cgoprof.pb.gz").exists());
}

fn wait_for_ready(child: &mut std::process::Child) {
    let mut ready = [0; 6];
    child.stdout.as_mut().expect("stdout").read_exact(&mut ready).expect("the program says ready");
    assert_eq!(&ready, b"ready\n");
}
