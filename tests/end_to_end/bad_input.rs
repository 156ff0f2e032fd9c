//! What can't be recorded or read: one clear line, the documented exit status, no panic.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::seccomp_filter::without;
use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, binary, command, profile_path, record, report, succeeds};

/// Runs cgoprof; it must print exactly one line with these words and end with this status.
fn check(what: &str, command: &mut Command, status: i32, words: &[&str]) {
    let output = command.stdin(Stdio::null()).output().expect("cgoprof runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{what}: {text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("cgoprof: ")).collect();
    assert_eq!(lines.len(), 1, "{what}: {text}");
    for word in words {
        assert!(lines[0].contains(word), "{what}: {word:?} in {text}");
    }
    assert!(!text.contains("panicked"), "{what}: {text}");
}

fn record_of(program: &Path) -> Command {
    let mut command = command(User::Root);
    command.args(["record", "-o"]).arg(profile_path(User::Root)).arg("--").arg(program);
    command
}

/// The same, of a program that is not to run unrecorded.
fn required(program: &Path) -> Command {
    let mut command = command(User::Root);
    command.args(["record", "--require", "-o"]).arg(profile_path(User::Root)).arg("--").arg(program);
    command
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = shared_dir().join(name);
    std::fs::write(&path, bytes).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}

fn crossings() -> PathBuf {
    go::build("crossings", Build::newest())
}

#[test]
fn programs_that_are_none() {
    let no_such = Path::new("/no/such/program");
    check("no such file", &mut record_of(no_such), 127, &["/no/such/program", "no such file"]);
    check("no such command", &mut record_of(Path::new("no-such-command-of-ours")), 127, &["no such"]);
    let plain = file("not-executable", b"text");
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    check("not executable", &mut record_of(&plain), 126, &["permission denied"]);
    check("a folder", &mut record_of(Path::new("/tmp/")), 126, &["directory"]);
    check(
        "a script",
        &mut required(&file("script", b"#!/bin/sh\necho ran\n")),
        125,
        &["script", "the Go program that it starts"],
    );
    check("text", &mut required(&file("text", b"hello")), 125, &["not an ELF file"]);
    check("empty", &mut required(&file("empty", b"")), 125, &["not an ELF file"]);
    check("not Go", &mut required(Path::new("/bin/true")), 125, &["not a Go program"]);
}

/// Once these were refused, so that `go test -exec 'cgoprof record ...' ./...` failed at each package without cgo.
#[test]
fn what_can_not_be_recorded_runs_all_the_same() {
    let script = file("runs", b"#!/bin/sh\necho \"$1\" \"$2\"; exit 3\n");
    let output = record_of(&script).args(["--a", "b c"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"--a b c\n"[..]), "{said}");
    assert!(said.lines().count() == 1 && said.contains("ran without being recorded: it is a script"), "{said}");
    check("a shell", record_of(Path::new("/bin/sh")).args(["-c", "exit 7"]), 7, &["ran without being recorded"]);
    check("killed", record_of(Path::new("/bin/sh")).args(["-c", "kill -9 $$"]), 137, &["ran without being recorded"]);
    // As from a shell: nothing can execute it.
    check("text", &mut record_of(&file("text", b"hello")), 126, &["exec format error"]);
    let unreadable = file("unreadable", &std::fs::read("/bin/true").expect("a program"));
    std::fs::set_permissions(&unreadable, std::fs::Permissions::from_mode(0o711)).expect("its mode");
    let mut nobody = command(User::Nobody);
    nobody.args(["record", "-o"]).arg(profile_path(User::Nobody)).arg("--").arg(&unreadable);
    check("unreadable", &mut nobody, 0, &["its file can't be read"]);
    let mut required = command(User::Nobody);
    required.args(["record", "--require", "--engine", "uprobe", "-o"]).arg(profile_path(User::Nobody));
    let output = required.arg("--").arg(crossings()).args(["hot", "10"]).output().expect("it runs");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(125), 0), "no engine, no run");
}

#[test]
fn go_test_passes_over_packages_without_cgo() {
    let module = shared_dir().join("go-test");
    for (path, text) in [
        ("go.mod", "module x\n\ngo 1.19\n"),
        (
            "c/c.go",
            "package c\n\n// static int one(void) { return 1; }\nimport \"C\"\n\nfunc One() int { return int(C.one()) }\n",
        ),
        ("c/c_test.go", "package c\n\nimport \"testing\"\n\nfunc TestOne(t *testing.T) { One() }\n"),
        ("pure/pure_test.go", "package pure\n\nimport \"testing\"\n\nfunc TestNothing(t *testing.T) {}\n"),
    ] {
        let path = module.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }
    let profile = profile_path(User::Root);
    let mut test = Command::new(go::command("1.27.3"));
    test.args(["test", "-exec"]).arg(format!("{} record -q -o {} --", binary().display(), profile.display()));
    test.arg("./...").current_dir(&module).envs([("GOTOOLCHAIN", "local"), ("GOWORK", "off"), ("GOFLAGS", "")]);
    let output = succeeds(&mut test);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.lines().filter(|line| line.starts_with("ok")).count(), 2, "{text}");
    let found = report(&profile);
    assert_eq!(cgoprof_testing::recording::calls(&found, "cgocall").get("one"), Some(&1));
    let notes = cgoprof_testing::recording::notes(&found);
    assert!(notes.contains("stripped") && notes.contains("-o FILE"), "{notes}");
}

#[test]
fn a_mistyped_option_is_wrong_usage_and_no_program() {
    let output = command(User::Root).args(["record", "--durration", "5s", "/bin/true"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--durration") && text.contains("--duration"), "{text}");
}

#[test]
fn programs_of_other_kinds() {
    let elf = std::fs::read(crossings()).expect("the program");
    let changed = |name: &str, at: usize, bytes: &[u8]| {
        let mut copy = elf.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        file(name, &copy)
    };
    check("32 bits", &mut required(&changed("elf32", 4, &[1])), 125, &["32-bit"]);
    check("arm64", &mut required(&changed("arm64", 18, &[183, 0])), 125, &["arm64", "x86-64"]);
    check("big endian", &mut required(&changed("big-endian", 5, &[2])), 125, &["big-endian"]);
    check("an object file", &mut required(&changed("object", 16, &[1, 0])), 125, &["not an executable"]);

    let without_cgo = shared_dir().join("without-cgo");
    let source = shared_dir().join("without-cgo-source");
    std::fs::create_dir_all(&source).expect("a folder");
    std::fs::write(source.join("main.go"), "package main\n\nfunc main() {}\n").expect("a source");
    std::fs::write(source.join("go.mod"), "module x\n\ngo 1.19\n").expect("a module");
    for (cgo, words) in
        [("0", "built with CGO_ENABLED=0: it has no crossings"), ("1", "without any package that uses cgo")]
    {
        let mut build = Command::new(go::command("1.27.3"));
        build.args(["build", "-o"]).arg(&without_cgo).arg(".").current_dir(&source);
        succeeds(build.envs([("CGO_ENABLED", cgo), ("GOTOOLCHAIN", "local")]));
        check("no cgo", &mut required(&without_cgo), 125, &[words]);
        check("no cgo, run", &mut record_of(&without_cgo), 0, &[words]);
    }

    // After the header of .go.buildinfo, and the length.
    let version = find(&elf, b"\xff Go buildinf:\x08") + 33;
    check("old Go", &mut required(&changed("old", version, b"go1.18.3")), 125, &["go1.18.3", "1.19 or newer"]);
    check("gccgo", &mut required(&changed("gccgo", version, b"gccgo1.2")), 125, &["gccgo"]);
    // As garble leaves it.
    let table = find(&elf, &[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
    check("obfuscated", &mut required(&changed("obfuscated", table, &[0xdc, 0x4c, 0xac, 0x96])), 125, &["obfuscated"]);
}

#[test]
fn an_unknown_runtime_runs_unpatched_and_says_so() {
    let elf = std::fs::read(crossings()).expect("the program");
    // The landing pad's `mov rdi, rbx; jmp rax` with its padding: another, equivalent instruction in its place.
    let pad = find(&elf, &[0x48, 0x89, 0xdf, 0xff, 0xe0, 0xcc, 0xcc]);
    let mut copy = elf;
    copy[pad..pad + 3].copy_from_slice(&[0x48, 0x8b, 0xfb]);
    let changed = file("unknown-shape", &copy);
    let output = succeeds(record_of(&changed).args(["hot", "10"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for words in ["recorded with engine uprobe, because trampoline", "landingpad", "inspect"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let output = succeeds(command(User::Root).arg("inspect").arg(&changed));
    assert!(String::from_utf8_lossy(&output.stdout).contains("can't be used"), "inspect says why");
}

#[test]
fn damaged_binaries_are_refused_or_recorded_and_never_crash_us() {
    let elf = std::fs::read(crossings()).expect("the program");
    for part in 1..40 {
        let cut = file("cut", &elf[..elf.len() * part / 40]);
        let output = command(User::Root).arg("inspect").arg(&cut).output().expect("it runs");
        assert!(output.status.code().is_some_and(|code| code == 0 || code == 125), "cut at {part}/40: {output:?}");
    }
    // Bytes changed in places spread over the tables that we read.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..60 {
        let mut copy = elf.clone();
        for _ in 0..200 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state % copy.len() as u64) as usize;
            copy[at] ^= (state >> 40) as u8;
        }
        let output = command(User::Root).arg("inspect").arg(file("garbled", &copy)).output().expect("it runs");
        assert!(output.status.code().is_some_and(|code| code == 0 || code == 125), "round {round}: {output:?}");
    }
}

#[test]
fn profiles_that_are_none() {
    let report = |path: &Path| {
        let mut command = command(User::Root);
        command.arg("report").arg(path);
        command
    };
    check("no such file", &mut report(Path::new("/no/such.pb.gz")), 125, &["/no/such.pb.gz", "No such file"]);
    check("text", &mut report(&file("text.pb.gz", b"hello")), 125, &["not a profile"]);
    check("empty", &mut report(&file("empty.pb.gz", b"")), 125, &["was not recorded by cgoprof"]);
    let recorded = record(User::Root, &[], &crossings(), &["nested", "10"]);
    let bytes = std::fs::read(&recorded.profile).expect("the profile");
    check(
        "cut in its only member",
        &mut report(&file("cut.pb.gz", &bytes[..bytes.len() / 2])),
        125,
        &["not a profile"],
    );
    let mut flame = command(User::Root);
    let none = record(User::Root, &["--timing", "none"], &crossings(), &["nested", "10"]).profile;
    flame.args(["flamegraph", "--value", "total"]).arg(&none).arg("-o").arg(profile_path(User::Root));
    check("nothing to draw", &mut flame, 125, &["nothing of this value"]);
    let mut of_calls = command(User::Root);
    let svg = succeeds(of_calls.args(["flamegraph", "-o", "-"]).arg(&none)).stdout;
    assert!(String::from_utf8_lossy(&svg).contains("crossings"), "without times it is of calls");
}

#[test]
fn outputs_that_cannot_be_written() {
    let program = crossings();
    let mut unwritable = command(User::Nobody);
    unwritable.args(["record", "-o", "/root/cgoprof.pb.gz", "--"]).arg(&program).args(["hot", "10"]);
    check("unwritable", &mut unwritable, 125, &["/root/cgoprof.pb.gz", "-o"]);
    let mut full = command(User::Root);
    full.args(["record", "-q", "-o", "/dev/full", "--"]).arg(&program).args(["hot", "10"]);
    check("full disk", &mut full, 125, &["/dev/full", "No space left"]);
}

/// Records a program under a filter as one user; returns what was said, and the report if there is one.
fn record_without(system_calls: &[&str], user: User, options: &[&str]) -> (Output, Option<serde_json::Value>) {
    let profile = profile_path(user);
    let filters = system_calls.iter().map(|name| without(name).get_program().to_owned());
    let mut words: Vec<std::ffi::OsString> = filters.collect();
    words.push("/usr/bin/env".into());
    words.push(command(user).get_program().to_owned());
    words.extend(command(user).get_args().map(ToOwned::to_owned));
    let mut record = Command::new(&words[0]);
    record.args(&words[1..]).args(["record", "-o"]).arg(&profile).args(options).arg("--").arg(crossings());
    let output = record.args(["hot", "100000"]).output().expect("it runs");
    let report = profile.exists().then(|| report(&profile));
    (output, report)
}

#[test]
fn the_first_engine_that_works_is_taken_and_the_reason_said() {
    let check = |system_calls: &[&str], user: User, options: &[&str], engine: Option<&str>, words: &[&str]| {
        let what = format!("without {system_calls:?} as {user:?} {options:?}");
        let (output, report) = record_without(system_calls, user, options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{what}: {said}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("num_cgo_call"), "{what}: the program ran");
        words.iter().for_each(|word| assert!(said.contains(word), "{what}: {word}: {said}"));
        let found = report.as_ref().map(|report| report["recording"]["engine"].as_str().expect("engine").to_owned());
        assert_eq!(found.as_deref(), engine, "{what}: {said}");
    };
    let (root, nobody) = (User::Root, User::Nobody);
    check(&[], root, &[], Some("trampoline"), &[]);
    check(&["ptrace"], root, &[], Some("uprobe"), &["engine uprobe, because trampoline", "SYS_PTRACE"]);
    check(&["ptrace"], nobody, &[], Some("sample"), &["because uprobe: uprobes are not permitted", "run as root"]);
    check(&["ptrace", "perf_event_open"], nobody, &[], None, &["no engine works here", "--cap-add=PERFMON"]);
    check(&["ptrace"], nobody, &["--no-samples"], None, &["no engine works here", "leave out --no-samples"]);
    check(&["ptrace"], root, &["--engine", "trampoline"], None, &["without being recorded: engine trampoline"]);
    check(&[], nobody, &["--engine", "uprobe"], None, &["engine uprobe: uprobes are not permitted"]);
    check(&["perf_event_open"], root, &["--engine", "uprobe"], None, &["engine uprobe: perf events are not permitted"]);
    check(&["ptrace"], root, &["--engine", "uprobe"], Some("uprobe"), &[]);
    check(&[], nobody, &["--engine", "sample"], Some("sample"), &["nothing is counted"]);
}

#[test]
fn where_perf_events_are_forbidden_the_recording_goes_on_without() {
    let mut command = without("perf_event_open");
    let profile = profile_path(User::Root);
    command.arg(binary()).args(["record", "-o"]).arg(&profile).arg("--").arg(crossings()).args(["hot", "1000"]);
    let output = succeeds(&mut command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let about: Vec<_> = said.lines().filter(|line| line.contains("perf events are not permitted")).collect();
    assert!(
        about.len() == 1 && about[0].contains("no CPU and blocked times") && about[0].contains("--cap-add=PERFMON"),
        "{said}"
    );
    let report = report(&profile);
    assert!(report["totals"]["crossings"].as_u64() > Some(1000));
    assert!(report["functions"][0]["cpu_ns"].is_null() && report["samples"].is_null());
}

#[test]
fn without_perf_events_threads_are_known_by_their_crossings() {
    let program = go::build("scheduler", Build::newest());
    // Long enough for the file to grow: each piece has all threads so far.
    for (scenario, size) in [("lock-moves", "12000"), ("ended", "20")] {
        let profile = profile_path(User::Root);
        let mut command = without("perf_event_open");
        succeeds(
            command
                .arg(binary())
                .args(["record", "-q", "-o"])
                .arg(&profile)
                .arg("--")
                .arg(&program)
                .args([scenario, size]),
        );
        let report = report(&profile);
        let sum = |rows: &str, field: &str| -> f64 {
            report[rows].as_array().expect("rows").iter().map(|row| row[field].as_f64().unwrap_or(0.0)).sum()
        };
        assert_eq!(Some(sum("threads", "crossings")), report["totals"]["crossings"].as_f64(), "{scenario}");
        let totals = &report["totals"];
        assert!(totals["threads_created"].is_null() && totals["threads"].is_null(), "{scenario}: {totals}");
        assert!(report["threads"][0]["blocked_ns"].is_null(), "{scenario}");
        assert_eq!(sum("locks", "held"), f64::from(scenario == "ended"), "{scenario}: the first goroutine's");
    }
}

#[test]
fn the_doctor_says_what_is_allowed_and_how_to_allow_the_rest() {
    let forbidden = |system_call: &str| {
        let mut command = without(system_call);
        command.arg(binary()).arg("doctor");
        command
    };
    let doctor = |user: User| {
        let mut command = command(user);
        command.arg("doctor");
        command
    };
    let check = |what: &str, command: &mut Command, status: i32, works: [bool; 4], words: &[&str]| {
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(status), "{what}: {text}");
        words.iter().for_each(|word| assert!(text.contains(word), "{what}: {word}: {text}"));
        let json: serde_json::Value = serde_json::from_slice(&command.arg("--json").output().expect("it runs").stdout)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(json["schema"], "cgoprof.doctor/1");
        for (ability, works) in json["abilities"].as_array().expect("abilities").iter().zip(works) {
            assert_eq!(ability["works"], works, "{what}: {ability}");
            assert_eq!(ability["why_not"].is_null(), works, "{what}: {ability}");
        }
    };
    check("root", &mut doctor(User::Root), 0, [true; 4], &["yes   trampoline engine", "user id 0"]);
    check(
        "nobody",
        &mut doctor(User::Nobody),
        0,
        [true, false, true, true],
        &["user id 65534", "run as root", "without samples in the kernel", "sysctl kernel.perf_event_paranoid=1"],
    );
    check(
        "no ptrace",
        &mut forbidden("ptrace"),
        0,
        [false, true, true, true],
        &["no    trampoline engine", "--cap-add=SYS_PTRACE"],
    );
    check(
        "no perf events",
        &mut forbidden("perf_event_open"),
        0,
        [true, false, false, false],
        &["no    samples and switches", "--cap-add=PERFMON", "a filter"],
    );
}

#[test]
fn wrong_usage_is_status_2() {
    for args in
        [&["record"][..], &["report", "--by", "colour"], &["nonsense"], &["record", "--timing", "often", "--", "x"]]
    {
        let output = command(User::Root).args(args).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn the_demo_says_what_it_needs() {
    let mut no_go = command(User::Root);
    check("no Go", no_go.arg("demo").env("PATH", "/nowhere"), 125, &["needs Go", "go.dev"]);
    let mut no_compiler = command(User::Root);
    let go = go::command("1.27.3");
    no_compiler.arg("demo").env("PATH", go.parent().expect("bin"));
    check("no C compiler", &mut no_compiler, 125, &["needs a C compiler", "gcc"]);
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).expect("the bytes are there")
}
