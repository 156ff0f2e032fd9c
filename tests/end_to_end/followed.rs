//! Programs that shells, make and go start: all that cross are recorded, and all run as they would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use cgoprof_profile::decode;
use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, command, report, succeeds};

/// A family of processes: where they write what they counted, and the recorder what it did.
struct Family {
    user: User,
    counts: PathBuf,
    profiles: PathBuf,
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn program() -> PathBuf {
    go::build("family", Build::newest())
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/family")
}

impl Family {
    fn of(user: User) -> Family {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let folder = shared_dir().join(format!("family-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let family = Family { user, counts: folder.join("counts"), profiles: folder.join("profiles") };
        for folder in [&family.counts, &family.profiles] {
            std::fs::create_dir_all(folder).expect("a folder");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(folder, mode).expect("its mode");
        }
        family
    }

    /// Its recorder, up to the command that is to be recorded. `$FAMILY` is the program.
    fn recorder(&self, options: &[&str]) -> Command {
        let mut command = command(self.user);
        command.env("COUNTS", &self.counts).env("FAMILY", program());
        command.args(["record", "-o"]).arg(&self.profiles).args(options).arg("--");
        command
    }

    fn shell(&self, script: &str) -> Output {
        self.recorder(&[]).args(["sh", "-c", script]).output().expect("cgoprof runs")
    }

    /// Crossings by process, as the programs counted them.
    fn counted(&self) -> BTreeMap<u64, u64> {
        let read = |entry: std::fs::DirEntry| {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).expect("a process");
            (pid, std::fs::read_to_string(entry.path()).expect("a count").parse().expect("a number"))
        };
        std::fs::read_dir(&self.counts).expect("counts").map(|entry| read(entry.expect("an entry"))).collect()
    }

    /// Crossings by process, as they were recorded.
    fn recorded(&self) -> BTreeMap<u64, u64> {
        let read = |entry: std::fs::DirEntry| {
            let report = report(&entry.path());
            let pid = report["target"]["pid"].as_u64().expect("a process");
            (pid, report["totals"]["crossings"].as_u64().expect("a count"))
        };
        std::fs::read_dir(&self.profiles).expect("profiles").map(|entry| read(entry.expect("an entry"))).collect()
    }

    /// As many programs as these have crossed, and all that they did was recorded.
    fn check(&self, programs: usize, output: &Output) {
        let (counted, recorded) = (self.counted(), self.recorded());
        assert_eq!((counted.len(), &counted), (programs, &recorded), "{}", said(output));
    }
}

#[test]
fn programs_of_a_shell_are_recorded_from_their_first_crossing() {
    for user in [User::Root, User::Nobody] {
        let family = Family::of(user);
        let output = family.shell("$FAMILY 1000 & $FAMILY 2000 3 & wait; $FAMILY 50; exec $FAMILY 7 9");
        assert_eq!(output.status.code(), Some(9), "{}", said(&output));
        family.check(4, &output);
        assert!(family.counted().values().any(|&count| count >= 2000));
    }
}

#[test]
fn programs_that_make_runs_at_the_same_time_are_recorded() {
    let family = Family::of(User::Nobody);
    let makefile = family.counts.with_file_name("Makefile");
    let rules: String = (0..6).map(|n| format!("p{n}:\n\t@$(FAMILY) {}\n", 1000 + n)).collect();
    std::fs::write(&makefile, format!("all: p0 p1 p2 p3 p4 p5\n{rules}")).expect("a file");
    let output = family.recorder(&[]).args(["make", "-j3", "-f"]).arg(&makefile).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    family.check(6, &output);
}

#[test]
fn programs_of_go_run_and_go_test_are_recorded() {
    let newest = go::all().last().expect("a release");
    for (release, args, status, programs) in [
        (newest, &["run", ".", "1000", "3"][..], 1, 1),
        (newest, &["test", "-count=1", "-bench", ".", "-benchtime", "1000x", "./..."], 0, 1),
        // Debian builds its go command with cgo.
        ("1.19", &["test", "-count=1", "-bench", ".", "-benchtime", "1000x", "./..."], 0, 1),
    ] {
        let go = go::command(release);
        let family = Family::of(User::Root);
        let mut command = family.recorder(&[]);
        command.arg(&go).args(args).current_dir(sources()).env("GOTOOLCHAIN", "local").env("GOWORK", "off");
        let output = command.output().expect("cgoprof runs");
        assert_eq!(output.status.code(), Some(status), "{args:?}: {}", said(&output));
        family.check(programs, &output);
        assert!(family.counted().values().all(|&count| count >= 1000), "{args:?}");
    }
}

#[test]
fn go_test_runs_each_package_with_a_recorder() {
    let (go, family) = (go::command(go::all().last().expect("a release")), Family::of(User::Root));
    let exec = family.recorder(&["-q"]);
    let words = std::iter::once(exec.get_program()).chain(exec.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().expect("text")).collect();
    let mut command = Command::new(go);
    command.args(["test", "-count=1", "-exec", &words.join(" "), "./..."]).env("COUNTS", &family.counts);
    let output = command.current_dir(sources()).env("GOTOOLCHAIN", "local").env("GOWORK", "off").output();
    let output = output.expect("go runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("ok  \tcgoprof.bench/family/pure"), "{told} {}", said(&output));
    family.check(1, &output);
}

#[test]
fn a_daemon_is_recorded_although_the_command_has_ended() {
    let family = Family::of(User::Nobody);
    let output = family.shell("(sleep 0.3; setsid sh -c 'sleep 0.3; exec $FAMILY 1000' &) & exit 5");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    family.check(1, &output);
}

#[test]
fn what_outlives_the_command_and_crosses_nothing_is_not_waited_for() {
    let family = Family::of(User::Root);
    let output = family.shell("sleep 300 > /dev/null 2>&1 & echo $!");
    let sleeper: i32 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a process");
    let status = std::fs::read_to_string(format!("/proc/{sleeper}/status")).expect("it lives");
    assert!(status.contains("TracerPid:\t0\n") && !status.contains("State:\tT"), "{status}");
    kill(Pid::from_raw(sleeper), Signal::SIGKILL).expect("it is there");
    assert!(said(&output).contains("nor was a program that it started"), "{}", said(&output));
}

#[test]
fn statuses_and_signals_are_those_of_the_command() {
    for (script, status) in [
        ("exit 0", 0),
        ("$FAMILY 10 4", 4),
        ("kill -TERM $$", 143),
        ("kill -SEGV $$", 139),
        ("trap 'exit 6' USR1; kill -USR1 $$; exit 1", 6),
        ("(sleep 10; true) & kill -STOP $!; kill -CONT $!; kill -KILL $!; wait $!", 137),
        (
            // A traced process that is about to execute a program may look as if it were stopped.
            "sh -c ': > $COUNTS/begun; kill -STOP $$; exit 8' & while ! test -e $COUNTS/begun; do :; done; \
             while ! grep -q -i '^State:.T' /proc/$!/status; do :; done; kill -CONT $!; rm $COUNTS/begun; wait $!",
            8,
        ),
        ("exec /nowhere/program", 127),
    ] {
        let family = Family::of(User::Nobody);
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("COUNTS", &family.counts).env("FAMILY", program());
        let (bare, recorded) = (bare_status(&mut shell), family.shell(script));
        assert_eq!((bare, recorded.status.code()), (status, Some(status)), "{script}: {}", said(&recorded));
    }
}

/// The exit status that a shell tells: 128 + n for a signal.
fn bare_status(command: &mut Command) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    let status = command.stderr(Stdio::null()).status().expect("it runs");
    status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal"))
}

/// Its stop once waited for a tracer that had given up.
#[test]
fn after_its_duration_nothing_is_traced_and_all_goes_on() {
    let family = Family::of(User::Root);
    let script = "$FAMILY 100; sleep 1.5; grep TracerPid /proc/self/status; $FAMILY 100 4";
    let output = family.recorder(&["--duration", "500ms"]).args(["sh", "-c", script]).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "TracerPid:\t0\n");
    assert_eq!((family.counted().len(), family.recorded().len()), (2, 1));
}

/// A stop of a waiting process would end its `epoll_wait`.
#[test]
fn waits_of_what_outlives_the_command_are_not_interrupted() {
    let family = Family::of(User::Root);
    let wait = "import select; e = select.epoll(); open(\"$COUNTS/../began\", \"w\")\n\
                import ctypes; c = ctypes.CDLL(None, use_errno=True)\n\
                r = c.epoll_wait(e.fileno(), ctypes.create_string_buffer(64), 1, 4000)\n\
                open(\"$COUNTS/../waited\", \"w\").write(str(r) + \" \" + str(ctypes.get_errno()))";
    let script = format!("python3 -c '{}' > /dev/null 2>&1 &", wait.replace("$COUNTS", "'$COUNTS'"));
    let output = family.shell(&script);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let waited = family.counts.with_file_name("waited");
    for _ in 0..100 {
        if waited.exists() && std::fs::read_to_string(&waited).is_ok_and(|text| !text.is_empty()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(std::fs::read_to_string(waited).expect("it waited"), "0 0");
}

#[test]
fn a_thread_that_becomes_a_program_is_recorded_as_that() {
    let family = Family::of(User::Nobody);
    let script = "import os, threading; threading.Thread(target=lambda: os.execv(os.environ[\"FAMILY\"], [\"family\", \"100\", \"3\"])).start()";
    let output = family.recorder(&[]).args(["python3", "-c", script]).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    family.check(1, &output);
}

#[test]
fn a_signal_to_the_recorder_is_the_commands_and_ends_it() {
    let family = Family::of(User::Root);
    let mut recorder = family.recorder(&["-q"]);
    recorder.args([
        "sh",
        "-c",
        "trap 'exit 6' TERM; $FAMILY 100; touch $COUNTS/../began; while :; do sleep 0.05; done",
    ]);
    let mut recorder = recorder.spawn().expect("cgoprof runs");
    while !family.counts.with_file_name("began").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    kill(Pid::from_raw(recorder.id() as i32), Signal::SIGTERM).expect("it runs");
    assert_eq!(recorder.wait().expect("it ends").code(), Some(6));
    assert_eq!(family.recorded(), family.counted());
}

#[test]
fn every_engine_records_what_is_followed() {
    for (engine, counts) in [("uprobe", true), ("sample", false)] {
        let family = Family::of(User::Root);
        let output = family.recorder(&["--engine", engine]).args(["sh", "-c", "$FAMILY 1000 4"]).output();
        let output = output.expect("cgoprof runs");
        assert_eq!(output.status.code(), Some(4), "{engine}: {}", said(&output));
        let profile = std::fs::read_dir(&family.profiles).expect("profiles").next().expect("one").expect("an entry");
        assert_eq!(report(&profile.path())["recording"]["engine"], engine);
        if counts {
            family.check(1, &output);
        }
    }
}

/// A process can have one tracer only.
#[test]
fn debuggers_still_trace_what_they_start() {
    let family = Family::of(User::Root);
    let output = family.shell("strace -f -o $COUNTS/../strace $FAMILY 10 4");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let traced = std::fs::read_to_string(family.counts.with_file_name("strace")).expect("a file");
    assert!(traced.contains("exited with 4"), "{traced}");
    assert_eq!((family.counted().len(), family.recorded().len()), (1, 0));
}

#[test]
fn programs_that_tracing_would_take_privileges_from_are_not_followed() {
    let family = Family::of(User::Nobody);
    let id = shared_dir().join("followed-set-user-id");
    assert!(Command::new("cp").arg("/usr/bin/id").arg(&id).status().expect("it runs").success());
    assert!(Command::new("chmod").arg("4755").arg(&id).status().expect("it runs").success());
    let output = family.shell(&format!("{} -u; true", id.display()));
    let expected = format!("{} (", id.display());
    let line = said(&output).lines().find(|line| line.contains(&expected)).map(str::to_owned);
    assert!(line.is_some_and(|line| line.contains("a set-user-ID bit")), "{}", said(&output));
    assert_eq!(output.stdout, b"0\n", "it has its privileges");
    assert!(Command::new("chmod").arg("0711").arg(&id).status().expect("it runs").success());
    let output = family.shell(&format!("{} -u; true", id.display()));
    assert!(said(&output).contains("its file can't be read"), "{}", said(&output));
    assert!(Command::new("chmod").arg("4711").arg(&id).status().expect("it runs").success());
    let direct =
        family.recorder(&["--no-follow"]).args(["sh", "-c"]).arg(format!("{} -u; true", id.display())).output();
    assert_eq!(String::from_utf8_lossy(&direct.expect("cgoprof runs").stdout), "0\n");
}

#[test]
fn programs_go_on_when_their_recorder_is_killed() {
    let family = Family::of(User::Root);
    let script = "for n in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; $FAMILY 100; done; touch $COUNTS/../done";
    let mut recorder = family.recorder(&["-q"]).args(["sh", "-c", script]).spawn().expect("cgoprof runs");
    std::thread::sleep(Duration::from_millis(450));
    recorder.kill().expect("it runs");
    recorder.wait().expect("it ends");
    let done = family.counts.with_file_name("done");
    for _ in 0..100 {
        if done.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(done.exists());
    assert_eq!(family.counted().len(), 10);
}

#[test]
fn only_the_command_itself_is_recorded_if_that_is_asked_for() {
    let family = Family::of(User::Root);
    let output = family.recorder(&["--no-follow"]).args(["sh", "-c", "$FAMILY 10 4"]).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("it is not a Go program"), "{}", said(&output));
    assert_eq!((family.counted().len(), family.recorded().len()), (1, 0));
}

/// The profiles of one command, in one file or in more.
struct Named {
    family: Family,
    profile: PathBuf,
}

impl Named {
    fn of(user: User) -> Named {
        let family = Family::of(user);
        Named { profile: family.profiles.join("named.pb.gz"), family }
    }

    fn recorder(&self, options: &[&str]) -> Command {
        self.recorder_to(&self.profile, options)
    }

    fn recorder_to(&self, output: &Path, options: &[&str]) -> Command {
        let mut recorder = command(self.family.user);
        recorder.env("COUNTS", &self.family.counts).env("FAMILY", program());
        recorder.args(["record", "-o"]).arg(output).args(options).arg("--");
        recorder
    }

    /// Crossings of the processes of a file.
    fn processes(report: &Value) -> BTreeMap<u64, u64> {
        let processes = report["processes"].as_array().expect("processes").iter();
        processes.map(|one| (one["pid"].as_u64().expect("a number"), one["calls"].as_u64().expect("a count"))).collect()
    }
}

#[test]
fn one_file_has_all_processes_and_tells_them_apart() {
    for user in [User::Root, User::Nobody] {
        let named = Named::of(user);
        let script = "$FAMILY 1000 & $FAMILY 2000 & wait; $FAMILY 50";
        let output = named.recorder(&[]).args(["sh", "-c", script]).output().expect("cgoprof runs");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let written = format!("written {} with 3 processes", named.profile.display());
        assert!(said(&output).contains(&written), "{}", said(&output));
        let files: Vec<_> = std::fs::read_dir(&named.family.profiles).expect("a folder").flatten().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let (counted, whole) = (named.family.counted(), report(&named.profile));
        assert_eq!(Named::processes(&whole), counted);
        assert_eq!(whole["totals"]["crossings"].as_u64(), Some(counted.values().sum()));
        let threads = whole["threads"].as_array().expect("threads");
        for (pid, crossings) in &counted {
            let mut one = command(User::Root);
            one.args(["report", "--format", "json", "--process", &pid.to_string()]).arg(&named.profile);
            let one: Value = serde_json::from_slice(&one.output().expect("cgoprof runs").stdout).expect("JSON");
            assert_eq!(one["target"]["pid"].as_u64(), Some(*pid));
            assert_eq!(one["totals"]["crossings"].as_u64(), Some(*crossings));
            let own = threads.iter().filter(|thread| thread["pid"].as_u64() == Some(*pid));
            assert_eq!(own.count(), one["threads"].as_array().expect("threads").len());
        }
    }
}

#[test]
fn standard_output_takes_the_profile_of_all_processes() {
    let named = Named::of(User::Root);
    let mut recorder = named.recorder_to("-".as_ref(), &[]);
    let recorder = recorder.args(["sh", "-c", "($FAMILY 100; $FAMILY 200; exit 5) > /dev/null"]);
    let output =
        recorder.stdout(std::fs::File::create(&named.profile).expect("a file")).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert_eq!(Named::processes(&report(&named.profile)), named.family.counted(), "{}", said(&output));
}

#[test]
fn each_process_has_a_file_if_that_is_asked_for() {
    let named = Named::of(User::Root);
    let script = ["sh", "-c", "$FAMILY 10; $FAMILY 20"];
    let output = named.recorder(&["--per-process"]).args(script).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(named.family.recorded(), named.family.counted());
    let mut others: Vec<_> = std::fs::read_dir(&named.family.profiles).expect("a folder").flatten().collect();
    others.retain(|file| file.path() != named.profile);
    let other = others.pop().expect("another file").path();
    let pid = report(&other)["target"]["pid"].as_u64().expect("a process");
    assert_eq!(other, named.profile.with_file_name(format!("named.{pid}.pb.gz")));
    assert!(said(&output).contains(&format!("written {}", other.display())), "{}", said(&output));
    let output = named.recorder_to("-".as_ref(), &["--per-process"]).args(script).output().expect("cgoprof runs");
    assert!(said(&output).contains("takes one profile, and that of another program goes there"), "{}", said(&output));
}

/// Until the end, each recorder writes a file of its own.
#[test]
fn what_a_killed_recorder_had_recorded_of_each_process_is_there() {
    let named = Named::of(User::Root);
    let script = "$FAMILY 100; $FAMILY 200; touch $COUNTS/../two; sleep 10";
    let mut recorder = named.recorder(&["-q"]).args(["sh", "-c", script]).spawn().expect("cgoprof runs");
    while !named.family.counts.with_file_name("two").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // What has ended is written by its recorder when it has seen that.
    let is_written = |file: std::fs::DirEntry| {
        let read = std::fs::read(file.path()).ok().and_then(|bytes| decode(&bytes).ok());
        read.is_some_and(|profile| profile.cells.iter().map(|cell| cell.stats.calls).sum::<u64>() > 100)
    };
    for _ in 0..100 {
        let files = std::fs::read_dir(&named.family.profiles).expect("profiles").flatten();
        if files.map(is_written).filter(|&is_written| is_written).count() == 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    recorder.kill().expect("it runs");
    recorder.wait().expect("it ends");
    assert_eq!(named.family.recorded(), named.family.counted());
}

#[test]
fn parts_that_a_killed_recorder_left_become_one_file() {
    let named = Named::of(User::Root);
    let output =
        named.recorder(&["--per-process"]).args(["sh", "-c", "$FAMILY 100; $FAMILY 200; $FAMILY 300"]).output();
    assert_eq!(output.expect("cgoprof runs").status.code(), Some(0));
    let whole = named.family.counts.with_file_name("whole.pb.gz");
    succeeds(command(User::Root).args(["merge", "--processes", "-o"]).args([&whole, &named.family.profiles]));
    assert_eq!(Named::processes(&report(&whole)), named.family.counted());
}

#[test]
fn a_link_and_a_fifo_take_the_profile_of_all_processes() {
    let named = Named::of(User::Root);
    let target = named.family.counts.with_file_name("target.pb.gz");
    std::os::unix::fs::symlink(&target, &named.profile).expect("a link");
    let script = ["sh", "-c", "$FAMILY 100; $FAMILY 200"];
    let output = named.recorder(&[]).args(script).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(named.profile.is_symlink());
    assert_eq!(Named::processes(&report(&target)), named.family.counted());
    let named = Named::of(User::Root);
    assert!(Command::new("mkfifo").arg(&named.profile).status().expect("it runs").success());
    let reader = Command::new("cat").arg(&named.profile).stdout(Stdio::piped()).spawn().expect("cat runs");
    let output = named.recorder(&[]).args(script).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let profile = decode(&reader.wait_with_output().expect("it ends").stdout).expect("a profile");
    let counted: Vec<u64> = named.family.counted().into_keys().collect();
    let pids: Vec<u64> = profile.processes.iter().map(|process| u64::from(process.target.pid)).collect();
    assert_eq!(pids, counted);
}

#[test]
fn where_no_other_file_can_lie_beside_it_a_file_has_all_processes_too() {
    let named = Named::of(User::Nobody);
    std::fs::write(&named.profile, "").expect("a file");
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("its mode");
    };
    mode(&named.profile, 0o666);
    mode(&named.family.profiles, 0o755);
    let output = named.recorder(&[]).args(["sh", "-c", "$FAMILY 100 & $FAMILY 200 & wait"]).output();
    let output = output.expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(Named::processes(&report(&named.profile)), named.family.counted(), "{}", said(&output));
}

#[test]
fn nothing_is_left_where_no_process_could_be_recorded() {
    let named = Named::of(User::Nobody);
    let output = named.recorder(&["--engine", "uprobe"]).args(["sh", "-c", "$FAMILY 100; $FAMILY 200"]).output();
    let output = output.expect("cgoprof runs");
    assert!(said(&output).contains("uprobes are not permitted"), "{}", said(&output));
    assert_eq!(std::fs::read_dir(&named.family.profiles).expect("a folder").count(), 0);
}

#[test]
fn processes_whose_engines_measure_something_else_are_not_put_into_one_file() {
    let (named, other) = (Named::of(User::Root), Named::of(User::Root));
    for (named, engine) in [(&named, "trampoline"), (&other, "sample")] {
        let recorded = named.recorder(&["--engine", engine]).args(["sh", "-c", "$FAMILY 100; $FAMILY 100"]).output();
        assert_eq!(recorded.expect("cgoprof runs").status.code(), Some(0));
    }
    let combined = named.family.counts.with_file_name("combined.pb.gz");
    let mut merge = command(User::Root);
    merge.args(["merge", "--processes", "-o"]).args([&combined, &named.profile, &other.profile]);
    let output = merge.output().expect("cgoprof runs");
    assert!(!output.status.success() && !combined.exists());
    assert!(said(&output).contains("their engines do not measure the same"), "{}", said(&output));
}
