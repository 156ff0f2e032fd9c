//! `cgoprof tui` and `cgoprof top` on a real terminal.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::joining::{Talking, check_as_it_was, code};
use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, binary, profile_path, report};
use cgoprof_testing::tmux::Tmux;

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/profiles/{name}.pb.gz"))
}

/// A terminal in an empty folder with a recording on screens.
fn looking_at(name: &str, columns: u16, rows: u16) -> Tmux {
    let tmux = Tmux::new(columns, rows);
    tmux.command(&format!("cd $(mktemp -d -p {}); pwd", shared_dir().display()));
    tmux.command(&format!("{} tui {}; echo status $?", binary().display(), recorded(name).display()));
    tmux.wait_for("C FUNCTION");
    tmux
}

fn ended(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// The only process of this name with these words among its arguments.
fn process(words: &str) -> Option<u32> {
    let output = Command::new("pgrep").args(["-f", words]).output().expect("pgrep runs");
    String::from_utf8_lossy(&output.stdout).lines().next().and_then(|line| line.parse().ok())
}

#[test]
fn all_screens_of_a_recording_are_walked_through() {
    for (columns, rows) in [(80, 24), (250, 70)] {
        let tmux = looking_at("busy", columns, rows);
        tmux.wait_for("42 crossings in 423 ms");
        // Sorted by name, and back.
        tmux.keys(&["<"]);
        tmux.wait_for("C FUNCTION\u{25b4}");
        tmux.press("i", "C FUNCTION\u{25be}");
        // Filtered, opened, and back.
        tmux.keys(&["/"]);
        tmux.keys(&["-l", "sleep"]);
        tmux.wait_until("filtered table", |screen| !screen.contains("now_ns") && screen.contains("sleep_for"));
        tmux.keys(&["Enter"]);
        tmux.press("Enter", "WHERE THE TIME GOES");
        tmux.press("Escape", "C FUNCTION");
        tmux.press("Escape", "now_ns");
        tmux.press("3", "CALLS FROM GO'S ROOTS DOWN");
        tmux.press("i", "C FUNCTIONS AND THEIR CALLERS");
        tmux.press("4", "\u{258f}all");
        tmux.keys(&["Down", "Down", "Down"]);
        tmux.press("Enter", "main.busy");
        tmux.press("v", "\u{2500} C 1.");
        tmux.press("5", "7 lanes, 423 ms");
        tmux.press("+", "7 lanes, 211 ms");
        tmux.press("n", "in C");
        tmux.keys(&["m", "Right", "Right", "Right"]);
        tmux.press("m", "SPAN of");
        tmux.press("6", "LockOSThread");
        tmux.press("v", "BEGAN WITH");
        tmux.press("7", "not known of a span");
        tmux.press("5", "idle");
        tmux.press("Escape", "all of the time is shown again");
        tmux.press("7", "C did not call Go");
        tmux.press("8", "KIND");
        tmux.press("?", "open the function in Detail");
        tmux.press("End", "q Ctrl-C");
        tmux.press("?", "KIND");
        tmux.press("e", "written cgoprof-advice.csv");
        tmux.press("q", "status 0");
        tmux.check_given_back();
    }
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let coloured = |environment: &str| {
        let tmux = Tmux::new(80, 24);
        let (binary, recording) = (binary().display(), recorded("busy"));
        tmux.command(&format!("{environment} {binary} tui {}; echo status $?", recording.display()));
        tmux.wait_for("C FUNCTION");
        let screen = tmux.screen_with_styles();
        tmux.press("q", "status 0");
        let is_colour = |sequence: &str| {
            let codes = sequence.split('m').next().unwrap_or_default().split(';');
            codes.filter_map(|code| code.parse().ok()).any(|code: u32| matches!(code, 30..=38 | 40..=48 | 90..=107))
        };
        screen.split("\u{1b}[").skip(1).any(is_colour)
    };
    assert!(coloured(""));
    assert!(coloured("COLORTERM=truecolor"));
    assert!(!coloured("NO_COLOR=1"));
}

#[test]
fn one_ctrl_c_leaves_and_so_does_sigterm() {
    let tmux = looking_at("sqlite", 100, 30);
    tmux.press("C-c", "status 0");
    tmux.check_given_back();
    tmux.command(&format!("exec {} tui {}", binary().display(), recorded("waiting").display()));
    tmux.wait_for("wait_locked");
    let pid = process("tui .*waiting.pb.gz").expect("it runs");
    Command::new("kill").arg(pid.to_string()).status().expect("kill runs");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ended(pid) {
        assert!(Instant::now() < deadline, "SIGTERM did not end it");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_terminal_is_given_back_after_a_panic() {
    let example = Path::new(env!("CARGO_BIN_EXE_cgoprof")).with_file_name("examples").join("panicking");
    let tmux = Tmux::new(100, 30);
    tmux.command(&format!("{} {}; echo status $?", example.display(), recorded("busy").display()));
    let screen = tmux.wait_for("status 101");
    assert!(screen.contains("a panic amid the screens"), "the message is to be read: {screen}");
    tmux.check_given_back();
}

#[test]
fn it_ends_with_its_terminal() {
    let tmux = looking_at("uprobe", 100, 30);
    let pid = process("tui .*uprobe.pb.gz").expect("it runs");
    drop(tmux);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ended(pid) {
        assert!(Instant::now() < deadline, "it goes on without a terminal");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The pager here marks the lines that it shows.
#[test]
fn a_report_on_a_terminal_is_paged_and_fits() {
    let (tmux, file) = (Tmux::new(80, 20), recorded("sqlite").display().to_string());
    let report = format!("{} report {file}", binary().display());
    tmux.command(&format!("CGOPROF_PAGER='grep -e room -e TOTAL | sed s/^/paged:/' {report}"));
    let screen = tmux.wait_for("paged:... no room for ");
    let head = screen.lines().find(|line| line.contains("C FUNCTION")).expect("heads");
    // The prompt may come late, and stand before it.
    assert!(head.contains("paged:  TOTAL"), "{screen}");
    // The words waited for are in no command line, which may be broken before them, and not on the screen before.
    tmux.command(&format!("clear; CGOPROF_PAGER='sed s/^/paged:/' {report} --limit 2 --no-pager; echo all' 'of it"));
    let screen = tmux.wait_for("\nall of it");
    assert!(screen.contains("\n... no room for ") && !screen.contains("\npaged:"), "{screen}");
    tmux.command(&format!("clear; {report} | tail -3; echo no' 'more"));
    let screen = tmux.wait_for("\nno more");
    assert!(!screen.contains("no room"), "a pipe has no width: {screen}");
}

#[test]
fn without_a_terminal_or_a_recording_one_line_says_so() {
    let run = |args: &[&str]| {
        let output = Command::new(binary()).args(args).output().expect("it runs");
        assert_eq!(output.status.code(), Some(125), "{args:?}");
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    };
    assert!(run(&["tui", recorded("busy").to_str().unwrap()]).contains("needs a terminal"));
    assert!(run(&["top", "--", "true"]).contains("needs a terminal"));
    assert!(run(&["tui", "/nonexistent"]).contains("cannot read /nonexistent"));
    let damaged = shared_dir().join("damaged.pb.gz");
    let whole = std::fs::read(recorded("sqlite")).unwrap();
    std::fs::write(&damaged, &whole[..100]).unwrap();
    assert!(run(&["tui", damaged.to_str().unwrap()]).contains("damaged.pb.gz"));
}

#[test]
fn a_program_that_runs_is_watched_and_left_as_it_was() {
    for release in ["1.19", "1.27.3"] {
        let mut program = Talking::rounds(User::Root, release);
        let before = code(program.pid());
        let tmux = Tmux::new(120, 40);
        tmux.command(&format!("cd {}", shared_dir().display()));
        let saved = profile_path(User::Root);
        let pid = program.pid();
        tmux.command(&format!("{} top -o {} -p {pid}; echo status $?", binary().display(), saved.display()));
        tmux.wait_for("LIVE");
        let rounds = (0..3).map(|_| serde_json::from_str::<Value>(&program.ask("round")).expect("a truth"));
        let crossed: u64 = rounds.map(|truth| truth["num_cgo_call"].as_u64().expect("a count")).sum();
        let shown = format!("{} crossings in ", cgoprof_viewer::units::count(crossed));
        let screen = tmux.wait_for(&shown);
        assert!(screen.contains("calls/s") && screen.contains("nop"), "{screen}");
        for (key, text) in [
            ("2", "WHERE THE TIME GOES"),
            ("3", "CALLS FROM GO'S ROOTS DOWN"),
            ("4", "\u{258f}all"),
            ("5", "lanes"),
            ("6", "LockOSThread"),
            ("7", "GO FUNCTION"),
            ("8", "KIND"),
            ("1", "LAST SECONDS"),
        ] {
            tmux.press(key, text);
        }
        tmux.keys(&["t"]);
        tmux.wait_until("window", |screen| screen.contains(" last ") || screen.contains("all: less than 5 s"));
        tmux.press("f", "FROZEN");
        tmux.keys(&["f", "t", "t", "t", "t"]);
        tmux.press("w", "written");
        tmux.press("q", "status 0");
        tmux.check_given_back();
        check_as_it_was(release, pid, &before);
        assert_eq!(report(&saved)["totals"]["crossings"], crossed);
        program.end();
    }
}

#[test]
fn a_program_that_top_starts_does_not_write_onto_the_screens() {
    let program = go::build("crossings", Build::newest());
    let tmux = Tmux::new(120, 30);
    tmux.command(&format!("{} top -- {} torture 3; echo status $?", binary().display(), program.display()));
    tmux.wait_for("LIVE");
    let screen = tmux.wait_for("ENDED: the program, status 0");
    assert!(!screen.contains("num_cgo_call"), "{screen}");
    tmux.keys(&["C-c"]);
    let screen = tmux.wait_for("status 0");
    let path = screen.lines().find_map(|line| line.split("has written is in ").nth(1)).expect("the file is named");
    let written = std::fs::read_to_string(path.trim()).expect("what it has written");
    assert!(written.contains("num_cgo_call"), "{written}");
    let _ = std::fs::remove_file(path.trim());
    tmux.check_given_back();
}

#[test]
fn a_program_that_top_has_started_ends_with_it() {
    let program = go::build("crossings", Build::of("1.26.6"));
    let tmux = Tmux::new(120, 30);
    tmux.command(&format!("{} top -- {} torture 77; echo status $?", binary().display(), program.display()));
    tmux.wait_for("LIVE");
    let pid = process("^[^ ]*crossings-1.26.6.* torture 77").expect("it runs");
    tmux.press("q", "status 0");
    assert!(ended(pid));
}
