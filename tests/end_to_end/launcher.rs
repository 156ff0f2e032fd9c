//! `record` as a launcher: streams, signals, exit status, job control.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, command, profile_path, report, succeeds};

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
    let mut child = ready(&mut Command::new("setsid"), &profile, "wait");
    // As the terminal does: to the whole foreground process group.
    kill(Pid::from_raw(-(child.id() as i32)), Signal::SIGINT).expect("a signal");
    assert_eq!(child.wait().expect("it ends").code(), Some(3), "the program handles SIGINT by exiting with 3");
    assert!(report(&profile)["totals"]["crossings"].as_u64() >= Some(1000));
}

#[test]
fn a_signal_to_end_is_handed_on_and_finishes_the_file() {
    let ways = [
        ("wait", Signal::SIGTERM, 4),
        ("stubborn", Signal::SIGTERM, 143),
        // Once this said 143 too.
        ("stubborn", Signal::SIGHUP, 129),
    ];
    for (how, signal, status) in ways {
        let profile = profile_path(User::Root);
        let mut child = ready(&mut Command::new("env"), &profile, how);
        kill(Pid::from_raw(child.id() as i32), signal).expect("a signal");
        assert_eq!(child.wait().expect("it ends").code(), Some(status), "{how} {signal}");
        let found = report(&profile);
        assert!(found["totals"]["crossings"].as_u64() >= Some(1000), "{how} {signal}");
        if how == "stubborn" {
            let pid = found["target"]["pid"].as_i64().expect("pid") as i32;
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the program lives on");
        }
    }
}

#[test]
fn what_a_broken_pipe_does_is_inherited() {
    for (ignored, trap) in [(true, "trap '' PIPE; "), (false, "")] {
        let script = format!("{trap}exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(cgoprof_testing::recording::binary()).args(["record", "-q", "-o"]);
        shell.arg(profile_path(User::Root)).arg("--").arg(actor()).arg("sigpipe");
        let output = succeeds(&mut shell);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, format!("ignored at start: {}\n", i32::from(ignored)));
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_error_of_ours() {
    let profile = profile_path(User::Root);
    succeeds(command(User::Root).args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(actor()).arg("sleep"));
    let program = actor();
    let nobody_reads = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    for (subcommand, file) in [("report", &profile), ("inspect", &program)] {
        let output = command(User::Root).arg(subcommand).arg(file).stdout(nobody_reads()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{subcommand}");
    }
    let mut deaf = command(User::Root);
    deaf.args(["record", "-o"]).arg(&profile).arg("--").arg(&program).args(["sleep", "0"]);
    assert_eq!(deaf.stderr(nobody_reads()).status().expect("it runs").code(), Some(0), "the summary has no reader");
}

#[test]
fn stop_and_continue_work_as_without_us() {
    let profile = profile_path(User::Root);
    let mut child = ready(&mut Command::new("setsid"), &profile, "wait");
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
        .args(["sleep", "4000"])
        .stderr(Stdio::null())
        .spawn()
        .expect("cgoprof runs");
    std::thread::sleep(Duration::from_millis(1000));
    let found = report(&profile);
    assert!(start.elapsed() < Duration::from_millis(3950), "the report is there before the program ends");
    let duration = found["recording"]["duration_ns"].as_u64().expect("duration");
    assert!((500_000_000..900_000_000).contains(&duration), "{duration}");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(4000));
}

#[test]
fn a_callback_that_runs_to_the_end_is_not_time_in_c() {
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    succeeds(recorder.args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(actor()).args(["callback", "300"]));
    let found = report(&profile);
    let functions = found["functions"].as_array().expect("functions");
    let function = functions.iter().find(|function| function["name"] == "call_back").expect("call_back");
    let nanos = |field: &str| function[field].as_f64().expect("a number");
    assert!(nanos("total_ns") > 295e6, "{function}");
    assert!(nanos("c_self_ns") < 5e6, "{function}");
}

#[test]
fn go_test_exec_works() {
    let go = go::command("1.27.3");
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/actor");
    let profile = profile_path(User::Root);
    let exec = format!("{} record -q -o {} --", cgoprof_testing::recording::binary().display(), profile.display());
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

/// Records the actor by way of a launcher, until it says that it is ready.
fn ready(launcher: &mut Command, profile: &Path, how: &str) -> Child {
    launcher
        .arg(cgoprof_testing::recording::binary())
        .args(["record", "-q", "-o"])
        .arg(profile)
        .arg("--")
        .arg(actor())
        .arg(how);
    let mut child = launcher.stdout(Stdio::piped()).spawn().expect("cgoprof runs");
    wait_for_ready(&mut child);
    child
}

fn wait_for_ready(child: &mut Child) {
    let mut ready = [0; 6];
    child.stdout.as_mut().expect("stdout").read_exact(&mut ready).expect("the program says ready");
    assert_eq!(&ready, b"ready\n");
}

/// A program that goes into the background and ends was once recorded as if that were all.
#[test]
fn a_child_that_outlives_the_program_is_told() {
    let profile = profile_path(User::Nobody);
    let mut recorder = command(User::Nobody);
    recorder.args(["record", "-q", "--no-follow", "-o"]).arg(&profile).arg("--").arg(actor()).arg("daemon");
    let output = recorder.stdout(Stdio::piped()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let child: i32 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("the child's number");
    let notes = cgoprof_testing::recording::notes(&report(&profile));
    kill(Pid::from_raw(child), Signal::SIGKILL).expect("it lives on");
    assert!(notes.contains(&format!("process {child} (")) && notes.contains("goes on and is not recorded"), "{notes}");
}
