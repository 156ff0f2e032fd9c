//! Programs that recorded programs start, or become: all that cross are recorded, and all run as they would.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, command, report};

/// A program that starts itself, its profile, and what its processes counted.
struct Generations {
    user: User,
    program: PathBuf,
    folder: PathBuf,
    profile: PathBuf,
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Generations {
    fn of(user: User, release: &'static str) -> Generations {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let folder = shared_dir().join(format!("generations-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let counts = folder.join("counts");
        for folder in [&folder, &counts] {
            std::fs::create_dir_all(folder).expect("a folder");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(folder, mode).expect("its mode");
        }
        let program = go::build("family/generations", Build::of(release));
        Generations { user, program, profile: folder.join("profile.pb.gz"), folder }
    }

    fn newest(user: User) -> Generations {
        Generations::of(user, go::all().last().expect("a release"))
    }

    fn counts(&self) -> PathBuf {
        self.folder.join("counts")
    }

    fn recorder(&self, options: &[&str], steps: &str) -> Command {
        let mut command = command(self.user);
        command.env("COUNTS", self.counts()).args(["record", "-o"]).arg(&self.profile).args(options).arg("--");
        command.arg(&self.program).args(steps.split_whitespace());
        command
    }

    fn run(&self, options: &[&str], steps: &str) -> Output {
        self.recorder(options, steps).output().expect("cgoprof runs")
    }

    /// Crossings of each process, as it counted them, in order.
    fn counted(&self) -> Vec<u64> {
        // One that is empty is just being written.
        let read = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path()).ok()?.parse().ok();
        let entries = std::fs::read_dir(self.counts()).expect("counts");
        let mut counts: Vec<u64> = entries.filter_map(|entry| read(entry.expect("an entry"))).collect();
        counts.sort_unstable();
        counts
    }

    /// Crossings of each process of the profile, in order.
    fn recorded(&self) -> Vec<u64> {
        let report = report(&self.profile);
        let count = |value: &serde_json::Value| value.as_u64().expect("a count");
        let mut counts: Vec<u64> = match report["processes"].as_array() {
            Some(processes) => processes.iter().map(|process| count(&process["calls"])).collect(),
            None => vec![count(&report["totals"]["crossings"])],
        };
        counts.sort_unstable();
        counts
    }

    /// As many programs as these have crossed, and all that they did was recorded.
    fn check(&self, programs: usize, output: &Output) {
        let counted = self.counted();
        assert_eq!((counted.len(), self.recorded()), (programs, counted), "{}", said(output));
    }
}

/// Waits for a condition, for ten seconds at most.
fn wait_until(condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < Duration::from_secs(10), "it does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn starts_and_becomes_programs(release: &'static str) {
    for user in [User::Root, User::Nobody] {
        let generations = Generations::of(user, release);
        let steps = "cross 100 exec cross 30 fork 3 cross 50 shell exec cross 20 each 2 cross 7";
        let output = generations.run(&["-q"], steps);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        generations.check(2 + 3 * (1 + 2 + 2), &output);
    }
}

mod programs_that_a_recorded_program_starts_and_becomes_are_recorded {
    cgoprof_testing::each_release!(super::starts_and_becomes_programs);
}

/// Goroutines that start programs at the same time share one gate.
#[test]
fn many_children_at_once_are_recorded() {
    let generations = Generations::newest(User::Root);
    let output = generations.run(&["-q"], "fork 40 cross 3");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    generations.check(41, &output);
}

#[test]
fn a_child_in_namespaces_of_its_own_is_recorded() {
    let generations = Generations::newest(User::Root);
    let output = generations.run(&[], "cross 3 spaces cross 30 each 2 cross 40");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    generations.check(4, &output);
}

#[test]
fn a_program_that_could_not_be_executed_leaves_no_tracer() {
    for user in [User::Root, User::Nobody] {
        let generations = Generations::newest(user);
        let output =
            generations.run(&[], "cross 10 fail pause 50 untraced cross 20 fail fail exec fail pause 50 untraced");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        generations.check(2, &output);
    }
}

/// The exit status is that of the program which the command's process has become.
#[test]
fn a_program_that_becomes_one_without_crossings_ends_with_its_status() {
    let generations = Generations::newest(User::Root);
    let output = generations.run(&[], "cross 10 become false");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let output = generations.run(&[], "cross 10 become sleep 0.3");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("the program became another one"), "{}", said(&output));
    assert_eq!(generations.recorded(), [11], "{}", said(&output));
}

/// Stops by them were once taken for an error of the system.
#[test]
fn real_time_signals_of_what_a_program_becomes_do_not_end_the_recorder() {
    let generations = Generations::newest(User::Root);
    let script = generations.folder.join("signals");
    let text = "trap '' 34; i=0; while [ $i -lt 10000 ]; do kill -34 $$; i=$((i+1)); done; exit 6";
    std::fs::write(&script, text).expect("a file");
    let output = generations.run(&[], &format!("cross 9 become sh {}", script.display()));
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert_eq!(generations.recorded(), [10]);
}

#[test]
fn a_daemon_of_a_recorded_program_is_recorded_and_waited_for() {
    let generations = Generations::newest(User::Nobody);
    let output = generations.run(&[], "cross 1 daemon pause 500 cross 77");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!said(&output).contains("is not recorded"), "{}", said(&output));
    generations.check(2, &output);
}

#[test]
fn a_signal_ends_all_recordings_and_nothing_stays_traced() {
    let generations = Generations::newest(User::Root);
    let mut recorder = generations.recorder(&["-q"], "cross 1 daemon cross 5 pause 1500 untraced cross 2");
    let mut recorder = recorder.spawn().expect("cgoprof runs");
    // The first program has ended, and the daemon has its hooks.
    wait_until(|| generations.counted().len() == 1);
    std::thread::sleep(Duration::from_millis(400));
    kill(Pid::from_raw(recorder.id() as i32), Signal::SIGINT).expect("it runs");
    assert_eq!(recorder.wait().expect("it ends").code(), Some(0));
    let recorded = generations.recorded();
    wait_until(|| generations.counted().len() == 2);
    assert_eq!((recorded, generations.counted()), (vec![2, 6], vec![2, 8]));
}

#[test]
fn after_its_duration_programs_start_others_unrecorded() {
    let generations = Generations::newest(User::Root);
    let output = generations.run(&["--duration", "700ms"], "cross 9 each 2 cross 1 pause 1000 untraced");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!((generations.recorded(), generations.counted()), (vec![2, 10], vec![2, 2, 10]));
}

/// Its end was once waited for, and the gates of others were open and unattended until then.
#[test]
fn a_duration_is_for_all_programs() {
    for steps in ["cross 9 exec cross 1 pause 2500", "cross 9 each 1 cross 1 pause 1500 each 2 untraced"] {
        let generations = Generations::newest(User::Root);
        let started = Instant::now();
        let output = generations.run(&["--duration", "700ms"], steps);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(started.elapsed() < Duration::from_secs(8), "somebody waits in vain");
        assert_eq!(generations.recorded(), [2, 10], "{steps}");
        let recorded = report(&generations.profile)["recording"]["duration_ns"].as_u64().expect("a time");
        assert!(recorded < 2_000_000_000, "{steps}: {recorded} ns");
    }
}

/// It was once lost when the command's process had become a program that ignores it.
#[test]
fn a_signal_ends_the_recorder_although_the_command_has_become_another_program() {
    let generations = Generations::newest(User::Root);
    let script = generations.folder.join("ignores");
    std::fs::write(&script, "trap '' TERM; sleep 20").expect("a file");
    let steps = format!("cross 9 become sh {}", script.display());
    let mut recorder = generations.recorder(&["-q"], &steps).spawn().expect("cgoprof runs");
    wait_until(|| generations.counted().len() == 1);
    std::thread::sleep(Duration::from_millis(400));
    let sent = Instant::now();
    kill(Pid::from_raw(recorder.id() as i32), Signal::SIGTERM).expect("it runs");
    assert_eq!(recorder.wait().expect("it ends").code(), Some(143));
    assert!(sent.elapsed() < Duration::from_secs(10));
    assert_eq!(generations.recorded(), [10]);
}

/// Threads of a program that tries to execute another are traced for a moment, and the hooks are removed by a tracer too.
#[test]
fn a_recording_pauses_although_the_program_tries_to_execute_others() {
    let generations = Generations::newest(User::Root);
    let steps = format!("cross 9 {} cross 1", "fail pause 3 ".repeat(400));
    let recorder = generations.recorder(&[], &steps).stderr(Stdio::piped()).spawn().expect("cgoprof runs");
    let program = || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", recorder.id())).unwrap_or_default();
    wait_until(|| !program().trim().is_empty());
    std::thread::sleep(Duration::from_millis(300));
    let pid = program().trim().to_owned();
    for _ in 0..5 {
        for request in ["pause", "resume"] {
            let output = command(User::Root).args(["ctl", &pid, request]).output().expect("cgoprof runs");
            assert!(output.status.success() && said(&output).is_empty(), "{request}: {}", said(&output));
        }
    }
    let output = recorder.wait_with_output().expect("it ends");
    assert!(output.status.success() && !said(&output).contains("still in the program"), "{}", said(&output));
}

#[test]
fn programs_start_others_when_their_recorder_is_killed() {
    let generations = Generations::newest(User::Root);
    let mut recorder = generations.recorder(&["-q"], "cross 1 each 12 cross 5 pause 200");
    let mut recorder = recorder.spawn().expect("cgoprof runs");
    wait_until(|| generations.counted().len() == 3);
    // A program that is just being prepared has a breakpoint, by which it would end.
    std::thread::sleep(Duration::from_millis(100));
    recorder.kill().expect("it runs");
    recorder.wait().expect("it ends");
    // The last is that of the one which has started them.
    wait_until(|| generations.counted().len() == 13);
}

/// It waits half a second for a recorder that does nothing, and no longer.
#[test]
fn a_recorder_that_stands_still_delays_no_program_for_long() {
    let generations = Generations::newest(User::Root);
    let mut recorder = generations.recorder(&["-q"], "cross 1 pause 300 each 5 cross 5");
    let mut recorder = recorder.spawn().expect("cgoprof runs");
    std::thread::sleep(Duration::from_millis(250));
    let pid = Pid::from_raw(recorder.id() as i32);
    kill(pid, Signal::SIGSTOP).expect("it runs");
    wait_until(|| generations.counted().len() == 6);
    kill(pid, Signal::SIGCONT).expect("it stands still");
    assert_eq!(recorder.wait().expect("it ends").code(), Some(0));
    assert_eq!(generations.recorded(), [2]);
}

#[test]
fn only_the_programs_themselves_are_recorded_if_that_is_asked_for() {
    for option in ["--no-follow", "--require"] {
        let generations = Generations::newest(User::Root);
        let output = generations.run(&[option], "cross 1 fork 2 untraced cross 5");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!((generations.recorded(), generations.counted()), (vec![2], vec![2, 6, 6]), "{option}");
    }
}

/// A process can have one tracer only.
#[test]
fn programs_that_trace_others_still_do() {
    let generations = Generations::newest(User::Root);
    let tracer = go::build("family/tracer", Build::newest());
    let mut recorder = command(User::Root);
    recorder.env("COUNTS", generations.counts()).args(["record", "-o"]).arg(&generations.profile).arg("--");
    let output = recorder.arg(tracer).args(["sh", "-c", "exit 7"]).output().expect("cgoprof runs");
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    generations.check(1, &output);
}

#[test]
fn children_keep_the_privileges_that_their_files_grant() {
    let generations = Generations::newest(User::Nobody);
    let id = generations.folder.join("set-user-id");
    assert!(Command::new("cp").arg("/usr/bin/id").arg(&id).status().expect("it runs").success());
    assert!(Command::new("chmod").arg("4755").arg(&id).status().expect("it runs").success());
    for step in ["command", "become"] {
        let output = generations.run(&[], &format!("cross 1 {step} {} -u", id.display()));
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"0\n"[..]), "{}", said(&output));
        let named = format!("{} (", id.display());
        let line = said(&output).lines().find(|line| line.contains(&named)).map(str::to_owned);
        assert!(line.is_some_and(|line| line.contains("a set-user-ID bit")), "{}", said(&output));
    }
}

#[test]
fn each_process_of_a_recorded_program_has_a_file_if_that_is_asked_for() {
    let generations = Generations::newest(User::Root);
    let output = generations.run(&["--per-process"], "cross 10 each 2 cross 20");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let files = std::fs::read_dir(&generations.folder).expect("a folder").flatten().map(|entry| entry.path());
    let mut counts: Vec<u64> = files
        .filter(|file| file.is_file())
        .map(|file| report(&file)["totals"]["crossings"].as_u64().expect("a count"))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, generations.counted());
    // A file that takes one profile takes that of the command's own program.
    for options in [&["-o", "-", "--"][..], &["-o", "-", "--per-process", "--"]] {
        let mut recorder = command(User::Root);
        recorder.env("COUNTS", generations.counts()).arg("record").args(options).arg(&generations.program);
        let recorder = recorder.args(["cross", "10", "each", "1", "cross", "20"]).current_dir(&generations.folder);
        let file = std::fs::File::create(&generations.profile).expect("a file");
        let output = recorder.stdout(file).output().expect("cgoprof runs");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let told = said(&output).contains("takes one profile, and that of another program goes there");
        assert!(told, "{}", said(&output));
        assert_eq!(generations.recorded(), [11]);
    }
}

#[test]
fn stat_counts_what_a_recorded_program_starts() {
    let generations = Generations::newest(User::Root);
    let mut stat = command(User::Root);
    stat.env("COUNTS", generations.counts()).args(["stat", "--json", "--"]).arg(&generations.program);
    let output = stat.args(["cross", "10", "fork", "2", "cross", "20"]).stdout(Stdio::null()).output();
    let output = output.expect("cgoprof runs");
    let printed: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
    let crossings: u64 = generations.counted().iter().sum();
    assert_eq!(printed["counters"]["crossings"]["mean"].as_f64(), Some(crossings as f64), "{printed}");
}
