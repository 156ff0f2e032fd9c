//! Programs under limits, with locked memory or unusual signals: they run as they would without a recorder.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::cgoprof::{User, binary, profile_path, report, succeeds};
use crate::go::{self, Build, shared_dir};
use crate::joining::{Recorder, Talking, as_user};
use crate::seccomp_filter::killed_for;

fn actor() -> std::path::PathBuf {
    go::build("actor", Build::newest())
}

/// Runs a program after a shell's commands: bare, and recorded.
fn both(user: User, before: &str, program: &Path, args: &[&str]) -> (Output, Output, std::path::PathBuf) {
    let profile = profile_path(user);
    let run = |prefix: &[&std::ffi::OsStr]| {
        let mut shell = as_user(user, Path::new("sh"));
        shell.args(["-c", &format!("{before}; exec \"$0\" \"$@\"")]).args(prefix).arg(program).args(args);
        shell.output().expect("a shell")
    };
    let recorder = [binary().as_os_str(), "record".as_ref(), "-o".as_ref(), profile.as_os_str(), "--".as_ref()];
    (run(&[]), run(&recorder), profile)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// They were once: 2 GB on disk where the program's own core has one megabyte.
#[test]
fn tables_are_no_part_of_core_dumps() {
    for user in [User::Root, User::Nobody] {
        let program = Talking::rounds(user, "1.26.6");
        let recorder = Recorder::join(user, program.pid(), &[]);
        let smaps = std::fs::read_to_string(format!("/proc/{}/smaps", program.pid())).expect("its mappings");
        let (_, tables) = smaps.split_once("memfd:cgoprof").expect("the tables");
        let flags = tables.lines().find_map(|line| line.strip_prefix("VmFlags:")).expect("their flags");
        // MADV_DONTDUMP (Documentation/filesystems/proc.rst).
        assert!(flags.split_whitespace().any(|flag| flag == "dd"), "{user:?}: {flags}");
        recorder.leave();
        program.end();
    }
}

/// Under 3 GB a program did not start, or died later, as the tables took two of them.
#[test]
fn a_limited_address_space_is_left_to_the_program() {
    for (user, limit) in [(User::Root, 2_000_000), (User::Nobody, 2_000_000), (User::Nobody, 3_000_000)] {
        let program = go::build("crossings", Build::newest());
        let (bare, recorded, profile) = both(user, &format!("ulimit -v {limit}"), &program, &["hot", "1000"]);
        assert_eq!((bare.status.code(), recorded.status.code()), (Some(0), Some(0)), "{}", said(&recorded));
        assert!(said(&recorded).contains("its address space is limited to"), "{}", said(&recorded));
        assert_ne!(report(&profile)["recording"]["engine"], "trampoline");
    }
    let program = go::build("crossings", Build::newest());
    let (_, recorded, profile) = both(User::Nobody, "ulimit -v 20000000", &program, &["hot", "1000"]);
    assert_eq!(report(&profile)["recording"]["engine"], "trampoline", "{}", said(&recorded));
}

/// Once all of the tables became real memory of the program.
#[test]
fn a_program_that_locks_its_memory_gets_no_tables() {
    let mut command = Command::new(actor());
    command.env("ACTOR_LOCKED", "1").env("ACTOR_WAIT", "1").arg("echo").stderr(Stdio::null());
    let mut program = Talking::start(&mut command);
    assert_eq!(program.answer(), "ready");
    let mut recorder = Recorder::start(User::Root, program.pid(), &["--engine", "auto"]);
    recorder.wait_for("recording process");
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", program.pid())).expect("its mappings");
    assert!(!maps.contains("memfd:cgoprof"), "{maps}");
    let notes = recorder.leave()["recording"]["notes"].to_string();
    assert!(notes.contains("it locks its memory (mlockall)"), "{notes}");
    program.end();
}

/// The recorder died by SIGXFSZ, and left the program stopped.
#[test]
fn a_limit_on_file_sizes_does_not_end_the_recorder() {
    for user in [User::Root, User::Nobody] {
        let (bare, recorded, profile) = both(user, "ulimit -f 64", &actor(), &["signals"]);
        assert_eq!((bare.status.code(), recorded.status.code()), (Some(0), Some(0)), "{}", said(&recorded));
        assert_eq!(bare.stdout, recorded.stdout);
        assert!(said(&recorded).contains("File too large"), "{}", said(&recorded));
        assert_ne!(report(&profile)["recording"]["engine"], "trampoline");
    }
}

/// SIGCHLD ignored lost the profile and the status, SIGTRAP blocked or ignored the profile or what it did.
#[test]
fn signals_do_what_they_did_before_a_recorder() {
    let blocked = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {5, 10, 12}); \
                   os.execv(sys.argv[1], sys.argv[1:])";
    let python = format!("set -- \"$0\" \"$@\"; set -- -c '{blocked}' \"$@\"; set -- python3 \"$@\"; exec \"$@\"");
    for before in ["trap '' CHLD", "trap '' TRAP", "trap '' PIPE HUP INT CHLD USR1 URG XFSZ TRAP", &python, "true"] {
        for user in [User::Root, User::Nobody] {
            let (bare, recorded, profile) = both(user, before, &actor(), &["signals"]);
            let shown = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(shown(&bare), shown(&recorded), "{before} {user:?}: {}", said(&recorded));
            assert!(shown(&bare).contains("SigBlk:") && recorded.status.success(), "{before}: {}", said(&recorded));
            let report = report(&profile);
            assert_eq!(report["recording"]["engine"], "trampoline", "{before} {user:?}: {}", said(&recorded));
            assert!(report["totals"]["crossings"].as_u64() >= Some(1000), "{before} {user:?}");
        }
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' CHLD; exec \"$0\" \"$@\""]).arg(binary()).args(["record", "-q", "-o"]);
    let status = shell.arg(profile_path(User::Root)).arg("--").arg(actor()).args(["echo", "7"]).stdin(Stdio::null());
    assert_eq!(status.output().expect("a shell").status.code(), Some(7));
}

/// The recorder panicked, and left the program stopped, with hooks that nobody read.
#[test]
fn too_few_processes_are_said_and_leave_nothing_behind() {
    const USER: &str = "65531";
    for limit in 1..=12 {
        let profile = profile_path(User::Nobody);
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("ulimit -u {limit}; exec setpriv --reuid={USER} --regid={USER} --clear-groups \"$@\""),
        ]);
        shell.arg("sh").arg(binary()).args(["record", "-o"]).arg(&profile).arg("--").arg(actor()).arg("signals");
        let output = shell.output().expect("a shell");
        let (said, shown) = (said(&output), String::from_utf8_lossy(&output.stdout).into_owned());
        assert!(!said.contains("panicked"), "{limit}: {said}");
        let enough = output.status.success() && shown.contains("SigBlk:");
        // Neither we nor the program can be made, or the program has too few threads.
        let refused = said.contains("makes no more threads") || said.contains("EAGAIN") || said.contains("temporarily");
        assert!(enough || refused, "{limit}: {:?} {said}", output.status);
        if limit == 12 {
            assert!(report(&profile)["totals"]["crossings"].as_u64() >= Some(1000), "{said}");
        }
        let left = Command::new("pgrep").args(["-u", USER]).output().expect("pgrep");
        assert_eq!(String::from_utf8_lossy(&left.stdout), "", "{limit}: {said}");
    }
}

/// "stream did not contain valid UTF-8": the kernel cuts a long name amid a letter.
#[test]
fn names_that_are_not_utf8_are_no_obstacle() {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes: [&[u8]; 2] =
        ["\u{43f}\u{440}\u{43e}\u{433}\u{440}\u{430}\u{43c}\u{43c}\u{430}".as_bytes(), b"app-\xff\xfe"];
    for name in bytes {
        let program = shared_dir().join(std::ffi::OsStr::from_bytes(name));
        succeeds(Command::new("cp").arg(actor()).arg(&program));
        for user in [User::Root, User::Nobody] {
            let mut command = as_user(user, &program);
            let mut running = Talking::start(command.env("ACTOR_WAIT", "1").arg("echo").stderr(Stdio::null()));
            assert_eq!(running.answer(), "ready");
            let recorder = Recorder::join(user, running.pid(), &[]);
            writeln!(running.input.as_mut().expect("stdin"), "go on").expect("it listens");
            running.end();
            let profile = recorder.profile.clone();
            assert!({ recorder }.child.wait().expect("it ends").success());
            let crossed = report(&profile)["totals"]["crossings"].as_u64();
            assert!(crossed >= Some(1000), "{name:?} {user:?}: {crossed:?}");
            let launched = profile_path(user);
            let mut command = crate::cgoprof::command(user);
            command.args(["record", "-q", "-o"]).arg(&launched).arg("--").arg(&program).arg("signals");
            succeeds(&mut command);
            assert!(report(&launched)["totals"]["crossings"].as_u64() >= Some(1000), "{name:?} {user:?}");
        }
    }
}

/// The program was killed for what is called in its name: a container's filter is the recorder's too, which makes no such calls.
#[test]
fn a_filter_that_kills_for_what_hooks_need_kills_no_launched_program() {
    let filter = killed_for("memfd_create");
    for user in [User::Root, User::Nobody] {
        let profile = profile_path(user);
        let mut record = as_user(user, Path::new(filter.get_program()));
        record.arg(binary()).args(["record", "-o"]).arg(&profile).arg("--").arg(actor()).arg("signals");
        let output = record.output().expect("it runs");
        assert!(output.status.success(), "{user:?}: {:?} {}", output.status, said(&output));
        assert!(output.stdout.starts_with(b"SigBlk:"), "{user:?}: {}", said(&output));
        assert!(said(&output).contains("seccomp filter"), "{user:?}: {}", said(&output));
        assert_ne!(report(&profile)["recording"]["engine"], "trampoline");
    }
}
