//! The engines beside the trampolines: uprobes must count the same, samples must say what they are.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::host::undisturbed;
use cgoprof_testing::recording::{
    Recorded, User, calls, check_counts, command, profile_path, record, report, succeeds,
};

const SCENARIOS: [(&str, &str); 13] = [
    ("nested", "50"),
    ("panics", "100"),
    ("locked", "200"),
    ("foreign", "20"),
    ("hot", "5000"),
    ("sites", "200"),
    ("durations", "20"),
    ("blocking", "2"),
    ("tail", "2000"),
    ("stacks", "10"),
    ("errno", "200"),
    ("strings", "200"),
    ("threads", "5000"),
];

/// Calls by C function, way and stack: what two engines must agree on.
fn counts(report: &Value) -> Vec<String> {
    let rows = report["functions"].as_array().expect("functions");
    // What the runtime itself calls depends on when it starts threads.
    let mut counts: Vec<String> = rows
        .iter()
        .filter(|row| row["via"] != "runtime")
        .map(|row| {
            let [name, via, calls, callbacks] = ["name", "via", "calls", "callbacks"].map(|field| &row[field]);
            format!("{name} {via} {calls} {callbacks} {} {}", row["abandoned"], row["locked_calls"])
        })
        .collect();
    counts.sort();
    counts
}

/// Calls by stack: names and lines, C function first.
fn stacks(report: &Value) -> Vec<String> {
    let rows = report["stacks"].as_array().expect("stacks");
    let mut stacks: Vec<String> = rows
        .iter()
        .filter(|row| row["via"] != "runtime" && row["frames"][1]["name"] == "runtime.cgocall")
        .map(|row| {
            let frames = row["frames"].as_array().expect("frames");
            let frames: Vec<String> =
                frames.iter().map(|frame| format!("{}:{}", frame["name"], frame["line"])).collect();
            format!("{} {}", row["calls"], frames.join(" "))
        })
        .collect();
    stacks.sort();
    stacks
}

fn check_release(release: &'static str) {
    for (args, scenarios) in [(&[][..], &SCENARIOS[..]), (&["-buildmode=pie", "-ldflags=-s -w"], &SCENARIOS[..4])] {
        let build = Build { release, args };
        let program = go::build("crossings", build);
        for (scenario, size) in scenarios {
            let what = format!("{scenario} of {build:?}");
            let probed = record(User::Root, &["--engine", "uprobe"], &program, &[scenario, size]);
            check_counts(&what, &probed);
            assert_eq!(probed.report["recording"]["engine"], "uprobe", "{what}");
            assert_eq!(probed.report["recording"]["lost"]["samples"], 0, "{what}");
            let hooked = record(User::Root, &["--engine", "trampoline"], &program, &[scenario, size]);
            assert_eq!(counts(&probed.report), counts(&hooked.report), "{what}");
            assert_eq!(stacks(&probed.report), stacks(&hooked.report), "{what}");
        }
    }
}

mod uprobes_count_as_trampolines_do {
    cgoprof_testing::each_release!(super::check_release);
}

/// A bench program that waits until it is told to begin, and what records it.
struct Joined {
    program: Child,
    recorder: Child,
    /// What the recorder says.
    said: BufReader<ChildStderr>,
    profile: PathBuf,
}

impl Joined {
    fn new(user: User, options: &[&str], program: &Path, args: &[&str]) -> Joined {
        let mut start = Command::new(program);
        if user == User::Nobody {
            start = Command::new("setpriv");
            start.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        }
        let program = start.args(args).env("CROSSINGS_WAIT", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let program = program.expect("the program runs");
        // Until it waits it has not become what it is to be.
        std::thread::sleep(Duration::from_millis(300));
        let profile = profile_path(user);
        let mut record = command(user);
        record.args(["record", "-o"]).arg(&profile).args(options).args(["-p", &program.id().to_string()]);
        let mut recorder = record.stderr(Stdio::piped()).spawn().expect("cgoprof runs");
        let mut said = BufReader::new(recorder.stderr.take().expect("stderr"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        assert!(line.contains("recording process"), "{line}");
        Joined { program, recorder, said, profile }
    }

    fn begin(&mut self) {
        self.program.stdin.take().expect("stdin").write_all(b"x").expect("the program reads");
    }

    /// The program's truth, and what its recorder found.
    fn end(mut self) -> (Value, Value) {
        let mut truth = String::new();
        self.program.stdout.take().expect("stdout").read_to_string(&mut truth).expect("its output");
        assert!(self.program.wait().expect("it ends").success(), "{truth}");
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("its messages");
        assert!(self.recorder.wait().expect("it ends").success(), "{said}");
        (serde_json::from_str(&truth).expect("the truth"), report(&self.profile))
    }
}

/// What was crossed after the recorder came must have been counted: all that the program knows of.
fn check_joined(what: &str, engine: &str, truth: &Value, report: &Value) {
    let found = calls(report, "cgocall");
    for (name, calls) in truth["calls"].as_object().expect("calls") {
        assert_eq!(found.get(name).copied(), calls.as_u64(), "{what}: calls of {name}: {found:?}");
    }
    assert_eq!(report["totals"]["callbacks"], truth["callbacks"], "{what}: callbacks");
    assert_eq!(report["recording"]["engine"], engine, "{what}");
}

#[test]
fn a_program_that_runs_is_joined_and_counted_exactly() {
    for release in ["1.21.13", "1.27.3"].into_iter().filter(|&release| go::is_covered(release)) {
        let program = go::build("crossings", Build::of(release));
        for (scenario, size) in [("threads", "2000"), ("foreign", "20"), ("nested", "50"), ("crowd", "200")] {
            for engine in ["trampoline", "uprobe"] {
                let mut joined = Joined::new(User::Root, &["--engine", engine], &program, &[scenario, size]);
                joined.begin();
                let (truth, report) = joined.end();
                check_joined(&format!("{scenario} of {release}"), engine, &truth, &report);
            }
        }
    }
}

#[test]
fn two_recorders_of_one_program_count_the_same() {
    let program = go::build("crossings", Build::newest());
    let mut first = Joined::new(User::Root, &["--engine", "uprobe"], &program, &["threads", "2000"]);
    let pid = first.program.id().to_string();
    let profile = profile_path(User::Root);
    let mut second = command(User::Root);
    second.args(["record", "-o"]).arg(&profile).args(["--engine", "uprobe", "-p", &pid]).stderr(Stdio::piped());
    let mut second = second.spawn().expect("cgoprof runs");
    let mut said = BufReader::new(second.stderr.take().expect("stderr"));
    said.read_line(&mut String::new()).expect("a line");
    first.begin();
    let (truth, found) = first.end();
    said.read_to_string(&mut String::new()).expect("its messages");
    assert!(second.wait().expect("it ends").success());
    check_joined("the first", "uprobe", &truth, &found);
    check_joined("the second", "uprobe", &truth, &report(&profile));
}

#[test]
fn a_program_with_hooks_is_not_probed() {
    let program = go::build("crossings", Build::newest());
    let mut hooked = command(User::Root);
    hooked.args(["record", "-q", "-o"]).arg(profile_path(User::Root)).arg("--").arg(&program).args(["threads", "2000"]);
    let mut hooked = hooked.env("CROSSINGS_WAIT", "1").stdin(Stdio::piped()).spawn().expect("cgoprof runs");
    std::thread::sleep(Duration::from_millis(500));
    let children = format!("/proc/{0}/task/{0}/children", hooked.id());
    let pid = std::fs::read_to_string(children).expect("its child").trim().to_owned();
    let mut join = command(User::Root);
    join.args(["record", "-o"]).arg(profile_path(User::Root)).args(["--engine", "uprobe", "-p", &pid]);
    let output = join.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(125) && said.contains("another recorder"), "{said}");
    hooked.stdin.take().expect("stdin").write_all(b"x").expect("the program reads");
    assert!(hooked.wait().expect("it ends").success());
}

#[test]
fn the_sample_engine_joins_without_privilege_and_leaves_on_ctrl_c() {
    let program = go::build("crossings", Build::newest());
    let options = ["--engine", "sample", "--freq", "999"];
    let mut joined = Joined::new(User::Nobody, &options, &program, &["durations", "20000"]);
    joined.begin();
    std::thread::sleep(Duration::from_millis(700));
    let pid = nix::unistd::Pid::from_raw(joined.recorder.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("a signal");
    assert!(joined.recorder.wait().expect("it ends").success());
    assert!(joined.program.try_wait().expect("its state").is_none(), "the program runs on");
    let report = report(&joined.profile);
    assert_eq!((&report["recording"]["engine"], &report["functions"][0]["calls"]), (&"sample".into(), &Value::Null));
    let spin = report["functions"].as_array().expect("functions").iter().find(|row| row["name"] == "spin");
    assert!(spin.is_some_and(|row| row["cpu_ns"].as_f64() > Some(1e8)), "{spin:?}");
    assert!(report["recording"]["num_cgo_call"].as_u64() > Some(0));
    joined.program.kill().expect("it is ours");
    joined.program.wait().expect("it ends");
}

#[test]
fn the_sample_engine_knows_where_c_was_called_and_how_often() {
    let program = go::build("inside", Build::newest());
    for user in [User::Nobody, User::Root] {
        let options = ["--engine", "sample", "--freq", "999"];
        let Recorded { truth, report, .. } = undisturbed(|| record(user, &options, &program, &["3"]));
        let worked = truth["worked_ns"].as_object().expect("worked");
        let worked: f64 = worked.values().map(|nanos| nanos.as_f64().expect("nanos")).sum();
        let rows = report["functions"].as_array().expect("functions");
        let cpu: f64 = rows.iter().map(|row| row["cpu_ns"].as_f64().expect("cpu")).sum();
        let lost = report["samples"].as_array().expect("samples").iter().filter(|row| row["function"].is_null());
        let lost = lost.filter(|row| row["frames"][0]["kind"] == "c").map(|row| row["cpu_ns"].as_f64().expect("cpu"));
        let sampled = cpu + lost.sum::<f64>();
        let share = sampled / worked;
        assert!((0.9..1.1).contains(&share), "{user:?}: {share}");
        // Crossings of 50 to 160 microseconds: some are over before their stack is read.
        assert!(cpu > 0.75 * worked, "{user:?}: most have a Go caller: {cpu} of {worked}");
        let back =
            rows.iter().find(|row| row["name"] == "through_go").map_or(0.0, |row| row["cpu_ns"].as_f64().expect("cpu"));
        assert!(back < 0.02 * worked, "{user:?}: what its callback did is not through_go's: {back}");
        let (exact, read) = (truth["num_cgo_call"].as_u64(), report["recording"]["num_cgo_call"].as_u64());
        assert!(read <= exact && read.map(|read| read + read / 5) > exact, "{user:?}: {read:?} of {exact:?}");
        assert!(report["totals"]["crossings"] == report["recording"]["num_cgo_call"]);
    }
}

#[test]
fn uprobes_know_what_c_does_inside() {
    let options = ["--engine", "uprobe", "--freq", "999"];
    let inside = record(User::Root, &options, &go::build("inside", Build::newest()), &["3"]);
    check_counts("inside", &inside);
    let (mut known, mut unknown) = (0.0, 0.0);
    for row in inside.report["samples"].as_array().expect("samples") {
        let side = if row["function"].is_null() { &mut unknown } else { &mut known };
        if row["frames"][0]["kind"] == "c" {
            *side += row["samples"].as_f64().expect("samples");
        }
    }
    assert!(known > 1000.0 && unknown < 0.01 * known, "{known} {unknown}");
}

#[test]
fn a_program_that_becomes_another_is_recorded_up_to_there() {
    for engine in ["trampoline", "uprobe", "sample"] {
        let profile = profile_path(User::Root);
        let mut record = command(User::Root);
        record.args(["record", "-q", "--engine", engine, "-o"]).arg(&profile).arg("--");
        succeeds(record.arg(go::build("actor", Build::newest())).args(["exec", "1"]));
        let notes = report(&profile)["recording"]["notes"].to_string();
        assert!(notes.contains("became another"), "{engine}: {notes}");
    }
}

/// It was counted no more from there on, without a word.
#[test]
fn a_program_that_executes_itself_anew_is_recorded_up_to_there() {
    let actor = go::build("actor", Build::newest());
    for engine in ["trampoline", "uprobe", "sample"] {
        for joined in [false, true] {
            let profile = profile_path(User::Root);
            let mut record = command(User::Root);
            record.args(["record", "-q", "--engine", engine, "-o"]).arg(&profile);
            if !joined {
                // What it becomes would be recorded too.
                record.arg("--no-follow");
            }
            let program = joined.then(|| Command::new(&actor).args(["exec-self", "0"]).spawn().expect("it runs"));
            match &program {
                Some(program) => record.args(["-p", &program.id().to_string()]),
                None => record.arg("--").arg(&actor).args(["exec-self", "0"]),
            };
            succeeds(&mut record);
            program.into_iter().for_each(|mut program| assert!(program.wait().expect("it ends").success()));
            let report = report(&profile);
            let notes = report["recording"]["notes"].to_string();
            assert!(notes.contains("or itself anew"), "{engine}, joined {joined}: {notes}");
            let crossings = report["totals"]["crossings"].as_u64();
            assert!(joined || engine == "sample" || crossings == Some(1001), "{engine}: {crossings:?}");
        }
    }
}

#[test]
fn what_a_joined_program_had_crossed_before_is_not_in_its_count() {
    let program = go::build("crossings", Build::newest());
    let mut start = Command::new(&program);
    let mut running = start.args(["durations", "20000"]).stdout(Stdio::null()).spawn().expect("the program runs");
    std::thread::sleep(Duration::from_millis(800));
    let counted = |pid: u32| {
        let profile = profile_path(User::Root);
        let mut record = command(User::Root);
        record.args(["record", "-q", "--engine", "sample", "--duration", "200ms", "-o"]).arg(&profile);
        succeeds(record.args(["-p", &pid.to_string()]));
        report(&profile)["totals"]["crossings"].as_u64().expect("a count")
    };
    // Each of its calls takes 100 us.
    let (first, second) = (counted(running.id()), counted(running.id()));
    assert!(first < 5000 && second < 5000, "{first} {second}");
    running.kill().expect("it is ours");
    running.wait().expect("it ends");
}

fn send(child: &Child, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).expect("a signal");
}

#[test]
fn what_a_recorder_that_does_not_keep_up_lost_is_said() {
    use nix::sys::signal::Signal;
    let program = go::build("crossings", Build::newest());
    // Probes: there were at least as many crossings as are counted.
    let mut joined = Joined::new(User::Root, &["--engine", "uprobe"], &program, &["threads", "300000"]);
    send(&joined.recorder, Signal::SIGSTOP);
    joined.begin();
    let mut truth = String::new();
    joined.program.stdout.take().expect("stdout").read_to_string(&mut truth).expect("its output");
    send(&joined.recorder, Signal::SIGCONT);
    joined.program.wait().expect("it ends");
    assert!(joined.recorder.wait().expect("it ends").success());
    let (truth, found): (Value, Value) = (serde_json::from_str(&truth).expect("the truth"), report(&joined.profile));
    let counted = calls(&found, "cgocall").get("nop").copied();
    assert!(counted > Some(1000) && counted < truth["calls"]["nop"].as_u64(), "{counted:?} of {truth}");
    let said = found["recording"]["notes"].to_string();
    assert!(found["recording"]["lost"]["samples"].as_u64() > Some(10_000), "{}", found["recording"]["lost"]);
    assert!(said.contains("at least as many crossings as counted"), "{said}");

    // Hooks: samples are lost, crossings never.
    let profile = profile_path(User::Nobody);
    let mut record = command(User::Nobody);
    record.args(["record", "-q", "--freq", "9999", "-o"]).arg(&profile).arg("--").arg(&program);
    let record = record.args(["durations", "4000"]).env("CROSSINGS_WAIT", "1").stdin(Stdio::piped());
    let mut recorder = record.stdout(Stdio::piped()).spawn().expect("cgoprof runs");
    std::thread::sleep(Duration::from_millis(500));
    send(&recorder, Signal::SIGSTOP);
    recorder.stdin.take().expect("stdin").write_all(b"x").expect("the program reads");
    std::thread::sleep(Duration::from_millis(600));
    send(&recorder, Signal::SIGCONT);
    let output = recorder.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let truth = serde_json::from_slice(&output.stdout).expect("the truth");
    let recorded = Recorded { truth, report: report(&profile), profile };
    check_counts("with lost samples", &recorded);
    assert!(recorded.report["recording"]["lost"]["samples"].as_u64() > Some(0));
    let said = recorded.report["recording"]["notes"].to_string();
    assert!(said.contains("there are fewer samples"), "{said}");
}

#[test]
fn without_tracefs_the_reason_and_the_way_to_have_it_are_said() {
    let mut hidden = Command::new("unshare");
    let hide = "umount /sys/kernel/debug/tracing /sys/kernel/debug /sys/kernel/tracing 2>/dev/null; exec \"$0\" \"$@\"";
    let profile = profile_path(User::Root);
    hidden.args(["--mount", "sh", "-c", hide]).arg(command(User::Root).get_program());
    hidden.args(["record", "--engine", "uprobe", "-o"]).arg(&profile).arg("--");
    let output = succeeds(hidden.arg(go::build("crossings", Build::newest())).args(["hot", "10"]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for words in ["without being recorded", "tracefs is not mounted", "mount -t tracefs nodev /sys/kernel/tracing"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!profile.exists());
}

/// The probes of a process that tracefs lists.
fn probes_of(pid: u32) -> usize {
    let listed = std::fs::read_to_string("/sys/kernel/tracing/uprobe_events").expect("tracefs");
    listed.lines().filter(|line| line.contains(":cgoprof_") && line.contains(&format!("_{pid}_"))).count()
}

#[test]
fn probes_are_removed_at_the_end_and_those_of_a_killed_recorder_by_the_next() {
    let program = go::build("crossings", Build::newest());
    let mut joined = Joined::new(User::Root, &["--engine", "uprobe"], &program, &["threads", "2000"]);
    let recorder = joined.recorder.id();
    assert!(probes_of(recorder) > 0, "they are there while it records");
    joined.recorder.kill().expect("it is ours");
    joined.recorder.wait().expect("it ends");
    let mut next = command(User::Root);
    next.args(["record", "-q", "--engine", "uprobe", "-o"]).arg(profile_path(User::Root)).arg("--").arg(&program);
    let mut next = next.args(["hot", "10"]).spawn().expect("cgoprof runs");
    let own = next.id();
    assert!(next.wait().expect("it ends").success());
    assert_eq!((probes_of(recorder), probes_of(own)), (0, 0));
    joined.begin();
    assert!(joined.program.wait().expect("it ends").success(), "the program is unharmed");
}

#[test]
fn a_tracefs_full_of_others_probes_is_left_as_it_is() {
    let events = "/sys/kernel/tracing/uprobe_events";
    let tell = |line: String| {
        let mut file = std::fs::File::options().append(true).open(events).expect("tracefs");
        file.write_all(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
    };
    let own = std::process::id();
    let names: Vec<String> = (0..300).map(|number| format!("others_{own}/probe{number}")).collect();
    for name in &names {
        tell(format!("p:{name} /proc/self/exe:0x1000\n"));
    }
    let program = go::build("crossings", Build::newest());
    let recorded = record(User::Root, &["--engine", "uprobe"], &program, &["hot", "1000"]);
    check_counts("among other probes", &recorded);
    let listed = std::fs::read_to_string(events).expect("tracefs");
    let left = listed.lines().filter(|line| line.contains(&format!("others_{own}/"))).count();
    names.iter().for_each(|name| tell(format!("-:{name}\n")));
    assert_eq!(left, names.len());
}

#[test]
fn processes_that_can_not_be_joined_are_named_with_the_reason() {
    let check = |pid: &str, user: User, words: &[&str]| {
        let output = command(user).args(["record", "-o", "/dev/null", "-p", pid]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{pid}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{pid}: {word}: {said}"));
    };
    check("2147483647", User::Root, &["process 2147483647", "no such process"]);
    check("1", User::Nobody, &["process 1", "or as root"]);
    let thread = nix::unistd::gettid();
    if thread != nix::unistd::Pid::this() {
        let leader = format!("use -p {}", std::process::id());
        check(&thread.to_string(), User::Root, &["it is a thread", &leader]);
    }
}
