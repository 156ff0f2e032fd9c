//! Programs under limits, with locked memory or unusual signals: they run as they would without a recorder.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::joining::{Recorder, Talking, as_user};
use crate::seccomp_filter::killed_for;
use cgoprof_testing::beside::repeating;
use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, binary, profile_path, report, succeeds};

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
    let program = go::build("crossings", Build::newest());
    // Kilobytes. Go itself needs a million and a half.
    for (user, limit) in
        [(User::Root, 1_700_000), (User::Nobody, 1_700_000), (User::Nobody, 2_000_000), (User::Nobody, 3_000_000)]
    {
        let (bare, recorded, profile) = both(user, &format!("ulimit -v {limit}"), &program, &["hot", "1000"]);
        assert_eq!((bare.status.code(), recorded.status.code()), (Some(0), Some(0)), "{limit}: {}", said(&recorded));
        let is_said = said(&recorded).contains("its address space is limited to");
        let engine = report(&profile)["recording"]["engine"].clone();
        assert_eq!(is_said, engine != "trampoline", "{limit} {user:?}: {engine} {}", said(&recorded));
    }
    let (_, recorded, profile) = both(User::Nobody, "ulimit -v 3000000", &program, &["hot", "1000"]);
    assert_eq!(report(&profile)["recording"]["engine"], "trampoline", "{}", said(&recorded));
}

/// Runs a program of so many threads and stacks, joined or launched; returns what it tells of itself, and the report.
fn footprint(
    user: User,
    threads: u64,
    stacks: u64,
    options: &[&str],
    variables: &[&str],
    joined: bool,
) -> (Value, Value) {
    let program = go::build("footprint", Build::newest());
    let args = [threads.to_string(), stacks.to_string()];
    let told = |answer: &str| serde_json::from_str::<Value>(answer).unwrap_or_else(|_| panic!("no JSON: {answer}"));
    if joined {
        let mut command = as_user(user, &program);
        command.args(args).env("FOOTPRINT_WAIT", "1").envs(variables.iter().map(|name| (name, "1")));
        let mut talking = Talking::start(&mut command);
        assert_eq!(talking.answer(), "ready");
        let mut recorder = Recorder::join(user, talking.pid(), options);
        let told = told(&talking.ask("go on"));
        talking.end();
        assert!(recorder.child.wait().expect("it ends").success());
        (told, report(&recorder.profile))
    } else {
        let profile = profile_path(user);
        let mut command = cgoprof_testing::recording::command(user);
        command.args(["record", "-q", "-o"]).arg(&profile).args(options).arg("--").arg(program).args(args);
        command.envs(variables.iter().map(|name| (name, "1"))).stdin(Stdio::null());
        let output = command.output().expect("cgoprof runs");
        assert!(output.status.success(), "{}", said(&output));
        (told(&String::from_utf8_lossy(&output.stdout)), report(&profile))
    }
}

/// A thousand stacks took 6 MB, forty thousand 245, and a lock of all memory made 1.3 GB of it real.
#[test]
fn tables_take_what_they_hold() {
    // Kilobytes.
    for (threads, stacks, most) in
        [(1, 1, 200), (8, 1000, 2000), (100, 100, 6400), (600, 600, 38_400), (8, 40_000, 20_000)]
    {
        for (user, joined) in [(User::Nobody, false), (User::Root, true)] {
            let (told, report) = footprint(user, threads, stacks, &[], &[], joined);
            let shared = told["shared_kb"].as_u64().expect("a number");
            assert!(shared <= most, "{threads} threads, {stacks} stacks, joined {joined}: {shared} KB");
            // Two are made before and while it is joined.
            let (truth, found) = (told["num_cgo_call"].as_u64(), report["totals"]["crossings"].as_u64());
            let missing = truth.zip(found).map(|(truth, found)| truth.abs_diff(found));
            assert!(missing <= Some(if joined { 2 } else { 0 }), "{threads} {stacks}: {found:?} of {truth:?}");
            assert_eq!(report["recording"]["lost"]["folded_stacks"], 0);
        }
    }
}

/// What lies beyond the end of the tables' file can't be locked, and little is left between what is used and that.
#[test]
fn a_program_that_locks_its_memory_later_gets_little_of_the_tables() {
    for joined in [false, true] {
        let (told, report) = footprint(User::Root, 8, 1000, &[], &["FOOTPRINT_LOCK"], joined);
        let shared = told["shared_kb"].as_u64().expect("a number");
        assert!(shared <= 40_000, "{shared} KB");
        assert_eq!(report["recording"]["engine"], "trampoline");
        assert!(report["totals"]["crossings"].as_u64() >= Some(3000));
    }
}

/// Once all of the tables became real memory of the program.
#[test]
fn a_program_that_has_locked_its_memory_is_recorded_with_tables_that_are_not() {
    let mut command = Command::new(actor());
    command.env("ACTOR_LOCKED", "1").env("ACTOR_WAIT", "1").arg("echo").stderr(Stdio::null());
    let mut program = Talking::start(&mut command);
    assert_eq!(program.answer(), "ready");
    assert!(status(program.pid(), "VmLck:") > 0);
    let recorder = Recorder::join(User::Root, program.pid(), &[]);
    let (tables, locked) = tables(program.pid());
    assert!(tables > 0 && locked < 1000, "{locked} KB of {tables} KB of the tables are locked");
    let shared = status(program.pid(), "RssShmem:");
    assert!(shared < 2000, "{shared} KB of the tables");
    assert_eq!(recorder.leave()["recording"]["engine"], "trampoline");
    program.end();
}

/// How large a program's mappings of the tables are, and those of them that are locked, in kilobytes. What is locked in
/// all says less: a thread of the program that allocates in C for the first time maps 64 MB (malloc/arena.c).
fn tables(pid: nix::unistd::Pid) -> (u64, u64) {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).expect("its mappings");
    let (mut ours, mut size, mut all, mut locked) = (false, 0, 0, 0);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("Size:") => size = words.next().and_then(|size| size.parse().ok()).expect("a size"),
            Some("VmFlags:") if ours => {
                all += size;
                locked += if words.any(|flag| flag == "lo") { size } else { 0 };
            }
            Some(range) if !range.ends_with(':') => ours = line.contains("/memfd:cgoprof"),
            _ => {}
        }
    }
    (all, locked)
}

/// A number of a process's status.
fn status(pid: nix::unistd::Pid, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Three million stacks took 930 MB; what is beyond the limit is counted by its function, and said.
#[test]
fn tables_take_no_more_than_they_may() {
    let (told, report) = footprint(User::Nobody, 20, 100_000, &["--max-memory", "8M"], &[], false);
    let shared = told["shared_kb"].as_u64().expect("a number");
    assert!(shared <= 8 << 10, "{shared} KB");
    assert_eq!(report["totals"]["crossings"], told["num_cgo_call"]);
    let notes = report["recording"]["notes"].to_string();
    assert!(notes.contains("8 MB, was used up: --max-memory 16M"), "{notes}");
    let functions = report["functions"].as_array().expect("functions");
    let nothing: Vec<_> = functions.iter().filter(|function| function["name"] == "nothing").collect();
    assert_eq!(nothing.iter().filter_map(|function| function["calls"].as_u64()).sum::<u64>(), 300_000);
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

/// The recorder panicked, and left the program stopped, with hooks that nobody read. Later the program lacked the threads, or the
/// process, that the recorder had taken, and died of it.
#[test]
fn where_processes_are_few_a_program_has_as_many_as_without_us() {
    const USER: &str = "65531";
    for limit in (1..=12).chain([40]) {
        let limited = || {
            let mut limited = Command::new("prlimit");
            limited.arg(format!("--nproc={limit}")).args(["setpriv", "--clear-groups"]);
            limited.args([format!("--reuid={USER}"), format!("--regid={USER}")]);
            limited.args(["sh", "-c", "trap '' CHLD PIPE USR1; exec \"$0\" \"$@\""]);
            limited
        };
        // What signals do to it.
        let signals = |output: &Output| {
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            shown.lines().filter(|line| line.starts_with("Sig")).map(str::to_owned).collect::<Vec<_>>()
        };
        // How many threads it makes differs by one or two.
        let worked =
            |output: &Output| output.status.success() && String::from_utf8_lossy(&output.stdout).contains("SigBlk:");
        let bares: Vec<Output> =
            (0..3).map(|_| limited().arg(actor()).arg("signals").output().expect("prlimit")).collect();
        let bare = bares.iter().all(worked);
        let profile = profile_path(User::Nobody);
        let recorded = (0..8).any(|_| {
            let mut recorded = limited();
            recorded.arg(binary()).args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(actor()).arg("signals");
            let output = recorded.output().expect("prlimit");
            let (said, ours) = (said(&output), "cgoprof: the program runs without being recorded: the system refuses");
            assert!(!said.contains("panicked"), "{limit}: {said}");
            assert_eq!(said.starts_with(ours), limit < 40, "{limit}: {said}");
            let left = Command::new("pgrep").args(["-u", USER]).output().expect("pgrep");
            assert_eq!(String::from_utf8_lossy(&left.stdout), "", "{limit}: {said}");
            if bare && worked(&output) {
                assert_eq!(signals(&output), signals(&bares[0]), "{limit}");
            }
            worked(&output)
        });
        assert!(recorded || !bare, "{limit}");
        assert!(bare || limit < 9, "{limit}");
        assert_eq!(profile.exists(), limit == 40, "{limit}");
        if limit == 40 {
            assert!(report(&profile)["totals"]["crossings"].as_u64() >= Some(1000));
        }
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
            let mut command = cgoprof_testing::recording::command(user);
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

/// A program that sees to it that it runs once was told that it runs already.
#[test]
fn the_programs_own_lock_on_its_file_is_never_in_the_way() {
    use std::os::fd::AsRawFd as _;
    let program = Talking::rounds(User::Root, "1.26.6");
    let file = std::fs::File::open(format!("/proc/{}/exe", program.pid())).expect("its file");
    let lock = |how| {
        // SAFETY: a system call on a descriptor that is open.
        unsafe { libc::flock(file.as_raw_fd(), how) }
    };
    let (mut refused, mut tries) = (0, 0);
    let try_it = || {
        refused += u32::from(lock(libc::LOCK_EX | libc::LOCK_NB) != 0);
        tries += 1;
        lock(libc::LOCK_UN);
    };
    repeating(try_it, || {
        for _ in 0..5 {
            Recorder::join(User::Root, program.pid(), &[]).leave();
        }
    });
    assert!(refused == 0 && tries > 1000, "{refused} of {tries} times");
    program.end();
}

/// Capabilities and set-user-ID bits were without effect, and nobody said so.
#[test]
fn programs_that_gain_privileges_have_them_and_say_that_they_are_not_recorded() {
    let copy = |of: &str, name: &str| {
        let program = shared_dir().join(name);
        succeeds(Command::new("cp").arg(of).arg(&program));
        program
    };
    let (id, grep) = (copy("/usr/bin/id", "set-user-id"), copy("/usr/bin/grep", "with-capabilities"));
    succeeds(Command::new("chmod").arg("4755").arg(&id));
    // CAP_NET_BIND_SERVICE, effective (include/uapi/linux/capability.h, `vfs_cap_data`).
    let set = "import os, struct, sys; os.setxattr(sys.argv[1], 'security.capability', struct.pack('<5I', 0x2000001, 1 << 10, 0, 0, 0))";
    succeeds(Command::new("python3").args(["-c", set]).arg(&grep));
    for (program, args, gained, why) in [
        (&id, &["-u"][..], "0\n", "a set-user-ID bit"),
        (&grep, &["CapEff", "/proc/self/status"][..], "CapEff:\t0000000000000400\n", "capabilities"),
    ] {
        let (bare, recorded, _) = both(User::Nobody, "true", program, args);
        assert_eq!(String::from_utf8_lossy(&bare.stdout), gained);
        assert_eq!(String::from_utf8_lossy(&recorded.stdout), gained, "{}", said(&recorded));
        let before = format!("cgoprof: the program runs without being recorded: its file has {why}");
        assert!(said(&recorded).starts_with(&before), "{}", said(&recorded));
        let mut required = cgoprof_testing::recording::command(User::Nobody);
        required.args(["record", "--require", "-o"]).arg(profile_path(User::Nobody)).arg("--").arg(program).args(args);
        let output = required.output().expect("cgoprof runs");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(125), 0), "{}", said(&output));
        // Root's tracer takes nothing from them.
        let (_, recorded, _) = both(User::Root, "true", program, args);
        assert!(!said(&recorded).contains("its file has"), "{}", said(&recorded));
    }
}

/// Two to seven of them ended with EINTR for each joining and leaving, those of a tracer that only looks on for one.
#[test]
fn waits_in_system_calls_go_on_when_their_threads_have_stood_still() {
    const RECORDINGS: u64 = 10;
    let mut program = Talking::start(&mut Command::new(go::build("interrupted", Build::newest())));
    let counts = |program: &mut Talking| serde_json::from_str::<Value>(&program.ask("count")).expect("JSON");
    let sum = |counts: &Value, limited: bool| -> u64 {
        let counts = counts.as_object().expect("counts");
        counts
            .iter()
            .filter(|(name, _)| name.ends_with(" limited") == limited)
            .filter_map(|(_, count)| count.as_u64())
            .sum()
    };
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(sum(&counts(&mut program), true) + sum(&counts(&mut program), false), 0);
    for signal in [nix::sys::signal::SIGSTOP, nix::sys::signal::SIGCONT] {
        nix::sys::signal::kill(program.pid(), signal).expect("a signal");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let before = counts(&mut program);
    assert_eq!((sum(&before, false), sum(&before, true)), (4, 5), "what the kernel does for SIGSTOP: {before}");
    for _ in 0..RECORDINGS {
        let recorder = Recorder::join(User::Root, program.pid(), &[]);
        std::thread::sleep(std::time::Duration::from_millis(200));
        recorder.leave();
    }
    let after = counts(&mut program);
    let (endless, limited) = (sum(&after, false) - 4, sum(&after, true) - 5);
    // A thread that gets no processor to stop on is let go unseen: beside other tests two of forty were. Joining takes longer
    // than a tenth of a second there, and a wait with a limit may end once more.
    assert!(endless <= 8, "{endless} of 40 waits without a limit: {after}");
    assert!(limited <= 5 * 3 * RECORDINGS, "{limited} of 50 waits with one: {after}");
    program.end();
}
