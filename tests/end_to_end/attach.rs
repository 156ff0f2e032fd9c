//! Joining a program that runs with hooks, and leaving it as it was.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::joining::{Recorder, Talking, as_user, check_as_it_was, check_round, code, hooks};
use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, command, profile_path, record, report, succeeds};

#[test]
fn rounds_between_joining_and_leaving_are_counted_exactly() {
    for release in go::corners() {
        for user in [User::Nobody, User::Root] {
            let what = format!("Go {release} as {user:?}");
            let mut program = Talking::rounds(user, release);
            program.ask("not recorded");
            let before = code(program.pid());
            for round in ["first", "second", "third"] {
                let recorder = Recorder::join(user, program.pid(), &[]);
                let truth = program.ask(round);
                check_round(&format!("{what}, {round}"), &truth, &recorder.leave());
                check_as_it_was(&what, program.pid(), &before);
                program.ask("not recorded");
            }
            program.end();
        }
    }
}

#[test]
fn a_programs_own_words_are_left_alone_that_look_like_a_frame_of_a_hook() {
    for release in go::corners() {
        let program = go::build("crossings", Build::of(release));
        let mut program = Talking::start(Command::new(program).arg("mimicry"));
        assert_eq!(program.answer(), "ready");
        let before = code(program.pid());
        let recorder = Recorder::join(User::Root, program.pid(), &[]);
        assert_eq!(program.ask("pass the hook"), "noted");
        recorder.leave();
        let hook = u64::from_str_radix(&program.ask("hold its address"), 16).expect("an address");
        let recorder = Recorder::join(User::Root, program.pid(), &[]);
        assert!(hooks(program.pid()).iter().any(|hooks| hooks.contains(&hook)), "Go {release}: they are elsewhere now");
        recorder.leave();
        assert_eq!(program.ask("let go"), "changed: 0", "Go {release}");
        check_as_it_was(release, program.pid(), &before);
        program.ask("end");
        program.end();
    }
}

#[test]
fn the_c_hook_leaves_nothing_on_the_stack_that_looks_like_its_frame() {
    for release in go::corners() {
        let program = go::build("crossings", Build::of(release));
        let mut program = Talking::start(Command::new(program).arg("leftovers").env("GODEBUG", "asyncpreemptoff=1"));
        assert_eq!(program.answer(), "ready");
        let recorder = Recorder::join(User::Root, program.pid(), &[]);
        let at = u64::from_str_radix(&program.ask("pass the hook"), 16).expect("an address");
        let mut word = [1; 8];
        let memory = std::fs::File::open(format!("/proc/{}/mem", program.pid())).expect("its memory");
        memory.read_exact_at(&mut word, at).expect("its stack");
        assert_eq!(u64::from_le_bytes(word), 0, "Go {release}");
        let calls = cgoprof_testing::recording::calls(&recorder.leave(), "cgocall");
        assert_eq!(calls.get("note_caller"), Some(&1), "Go {release}");
        program.ask("end");
        program.end();
    }
}

/// A program under torture until its input ends, and what it prints then.
struct Tortured {
    child: Child,
    before: Vec<u8>,
}

impl Tortured {
    fn start(user: User, release: &'static str, scenario: &str) -> Tortured {
        let program = go::build("crossings", Build::of(release));
        let mut command = as_user(user, &program);
        command.args([scenario, "-1"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().expect("it runs");
        // Long enough to be at full load.
        std::thread::sleep(Duration::from_millis(500));
        let before = code(Pid::from_raw(child.id() as i32));
        Tortured { child, before }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    fn end(self, what: &str) {
        check_as_it_was(what, self.pid(), &self.before);
        // This ends its input, too.
        let output = self.child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{what}: {:?}", output.status);
        let truth: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{what}: {error}"));
        let calls: u64 = truth["calls"].as_object().expect("calls").values().filter_map(Value::as_u64).sum();
        // The runtime makes one itself.
        let counted = truth["num_cgo_call"].as_u64().expect("a count");
        assert!(counted == calls || counted == calls + 1, "{what}: {calls} made, {counted} counted by the runtime");
    }
}

/// Joins and leaves so often. Returns the longest time that the program stood still, in milliseconds, by cycle.
fn cycles(what: &str, user: User, pid: Pid, count: usize) -> Vec<f64> {
    let mut pauses = Vec::new();
    for cycle in 0..count {
        let mut command = command(user);
        command.args(["record", "--engine", "trampoline", "--no-samples", "--duration", "5ms", "-o"]);
        let output = succeeds(command.arg(profile_path(user)).args(["-p", &pid.to_string()]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("stays mapped") && !said.contains("earlier"), "{what}, cycle {cycle}: {said}");
        let pause = said.split_once("stood still for ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        pauses.push(pause.unwrap_or_else(|| panic!("{what}, cycle {cycle}: {said}")));
    }
    pauses
}

#[test]
fn joining_and_leaving_again_and_again_does_not_disturb_a_tortured_program() {
    for release in go::corners() {
        for user in [User::Nobody, User::Root] {
            let what = format!("Go {release} as {user:?}");
            let program = Tortured::start(user, release, "torture");
            let mut pauses = cycles(&what, user, program.pid(), 15);
            pauses.sort_by(f64::total_cmp);
            println!("{what}: stood still for {pauses:?} ms");
            program.end(&what);
        }
    }
}

/// From Go 1.26 on who enters C does what the garbage collector wants before it notes that it has entered: who is amid that
/// was once given hooks for a crossing that had passed none of them.
#[test]
fn programs_that_collect_garbage_all_the_time_are_joined_and_left() {
    for (release, user) in go::corners().zip([User::Nobody, User::Root].into_iter().cycle()) {
        let what = format!("Go {release} as {user:?}");
        let program = Tortured::start(user, release, "collected");
        cycles(&what, user, program.pid(), 50);
        program.end(&what);
    }
}

#[test]
fn a_thousand_threads_are_joined_and_left() {
    let program = Tortured::start(User::Nobody, "1.26.6", "throng");
    std::thread::sleep(Duration::from_secs(1));
    let threads = std::fs::read_dir(format!("/proc/{}/task", program.pid())).expect("threads").count();
    assert!(threads > 1000, "{threads}");
    println!("stood still for {:?} ms", cycles("1000 threads", User::Nobody, program.pid(), 4));
    check_as_it_was("1000 threads", program.pid(), &program.before);
    assert!(program.child.wait_with_output().expect("it ends").status.success());
}

/// Runs a command of cgoprof that is killed at a system call of its own. Returns whether it was.
fn killed_at(call: &str, number: usize, args: &[&str]) -> bool {
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
    let output = strace
        .arg(cgoprof_testing::recording::binary())
        .args(args)
        .output()
        .expect("strace runs: tests/install-toolchains");
    !output.status.success()
}

#[test]
fn a_recorder_killed_anywhere_leaves_the_program_unharmed_and_the_next_one_works() {
    for release in go::corners() {
        let what = format!("Go {release}");
        let program = Tortured::start(User::Root, release, "torture");
        let pid = program.pid().to_string();
        let profile = profile_path(User::Root);
        let profile = profile.to_str().expect("a path");
        let record =
            ["record", "-q", "--engine", "trampoline", "--no-samples", "--duration", "5ms", "-o", profile, "-p", &pid];
        let mut killed = 0;
        // On the way in: the mapping thread writes nine times, then another twelve or thirteen times; then come events, and
        // the hooks are switched on. Calls are counted by thread.
        let on_the_way_in =
            [("pwrite64", 3), ("ptrace", 20), ("pwrite64", 8), ("pwrite64", 11), ("perf_event_open", 4)];
        for (call, number) in on_the_way_in {
            killed += usize::from(killed_at(call, number, &record));
        }
        // On the way out of what is left.
        for (call, number) in
            [("pwrite64", 1), ("pwrite64", 6), ("pwrite64", 12), ("ptrace", 4), ("process_vm_writev", 1)]
        {
            let recorder = Recorder::join(User::Root, program.pid(), &["--no-samples"]);
            kill(Pid::from_raw(recorder.child.id() as i32), Signal::SIGKILL).expect("a signal");
            let _ = recorder.child.wait_with_output();
            killed += usize::from(killed_at(call, number, &["detach", &pid]));
        }
        // In the last only where a thread is in C.
        assert!(killed >= 9, "{what}: only {killed} were killed on the way");
        let said = succeeds(command(User::Root).args(record));
        assert!(said.stderr.is_empty(), "{what}: {said:?}");
        program.end(&what);
    }
}

#[test]
fn what_a_dead_recorder_left_is_undone_by_hand_and_a_living_one_is_named() {
    let mut program = Talking::rounds(User::Nobody, "1.27.3");
    let (pid, before) = (program.pid(), code(program.pid()));
    let mut first = Recorder::join(User::Nobody, pid, &[]);
    let refused = Recorder::start(User::Root, pid, &[]).child.wait_with_output().expect("it ends");
    assert_eq!(refused.status.code(), Some(125));
    let mut second = Recorder::start(User::Root, pid, &[]);
    second.wait_for(&format!("cgoprof ({}) records it already", first.child.id()));
    program.ask("one");
    first.child.kill().expect("a signal");
    first.child.wait().expect("it ends");
    // The program goes on with hooks that nobody reads.
    program.ask("two");
    let undone = succeeds(command(User::Nobody).args(["detach", &pid.to_string()]));
    assert!(String::from_utf8_lossy(&undone.stderr).contains("is as it was"), "{undone:?}");
    check_as_it_was("detached", pid, &before);
    let nothing = succeeds(command(User::Nobody).args(["detach", &pid.to_string()]));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("has nothing of cgoprof's"), "{nothing:?}");
    let recorder = Recorder::join(User::Nobody, pid, &[]);
    let truth = program.ask("three");
    check_round("after a dead one", &truth, &recorder.leave());
    program.end();
}

/// Threads that are getting an M, C on stacks of its own, queued signals and recovered faults: each has crashed a program
/// once that was joined or left amid it.
#[test]
fn strangers_coroutines_signals_and_faults_survive_joining_and_leaving() {
    for (release, user) in go::corners().zip([User::Nobody, User::Root].into_iter().cycle()) {
        let program = go::build("hardship", Build::of(release));
        let mut program = Talking::start(&mut as_user(user, &program));
        assert_eq!(program.answer(), "ready");
        let (pid, before) = (program.pid(), code(program.pid()));
        let mut cycles = 0;
        let began = Instant::now();
        while cycles < 10 || began.elapsed() < Duration::from_secs(5) {
            let mut recorder = Recorder::start(user, pid, &["--no-samples", "--duration", "5ms"]);
            let mut said = String::new();
            recorder.messages.read_to_string(&mut said).expect("messages");
            let status = recorder.child.wait().expect("it ends");
            assert!(status.success(), "Go {release}, cycle {cycles}: {status} {said}");
            cycles += 1;
        }
        check_as_it_was(release, pid, &before);
        let truth: Value = serde_json::from_str(&program.ask("end")).expect("a truth");
        let count = |name: &str| truth[name].as_u64().expect("a count");
        for (one, other) in [("strangers", "greeted"), ("faults", "recovered"), ("sent", "handled")] {
            assert!(count(one) > 100, "Go {release}: {truth}");
            assert_eq!(count(one), count(other), "Go {release}, {one}: {truth}");
        }
        assert!(count("naps") > 1000, "Go {release}: {cycles} cycles, {truth}");
        program.end();
    }
}

/// Whoever becomes a program waits for its traced threads to be seen to have ended, and who traces another thread then, for
/// it: both once waited for ever. While somebody reads about the process, the memory of the program before stays a little
/// longer: what was written there once missed the program that ran.
#[test]
fn a_program_that_begins_anew_all_the_time_and_its_recorders_never_wait_for_each_other() {
    for (release, user) in [("1.19", User::Nobody), ("1.27.3", User::Root)] {
        let program = go::build("crossings", Build::of(release));
        let mut program = as_user(user, &program).args(["anew", "600"]).stdout(Stdio::null()).spawn().expect("it runs");
        let pid = program.id().to_string();
        let mappings = format!("/proc/{pid}/smaps");
        let reader = std::thread::spawn(move || while std::fs::read(&mappings).is_ok() {});
        let (mut joined, mut failed) = (0, 0);
        while program.try_wait().expect("its state").is_none() {
            // Slow enough to be overtaken, until that has happened often enough.
            let mut recorder = if failed > joined {
                command(user)
            } else {
                let mut delayed = as_user(user, Path::new("strace"));
                delayed.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=ptrace"]);
                delayed.args(["-e", "inject=ptrace:delay_enter=2000"]).arg(cgoprof_testing::recording::binary());
                delayed
            };
            recorder.args(["record", "-q", "--engine", "trampoline", "--no-samples"]);
            recorder.args(["--duration", "5ms", "-p", &pid, "-o"]).arg(profile_path(user)).stderr(Stdio::null());
            let mut recorder = recorder.spawn().expect("strace runs: tests/install-toolchains");
            let deadline = Instant::now() + Duration::from_secs(30);
            let status = loop {
                match recorder.try_wait().expect("its state") {
                    Some(status) => break status,
                    None => assert!(Instant::now() < deadline, "Go {release}: the recorder does not end"),
                }
                std::thread::sleep(Duration::from_millis(2));
            };
            match status.code() {
                Some(0) => joined += 1,
                Some(125) => failed += 1,
                other => panic!("Go {release}: {other:?}"),
            }
        }
        println!("Go {release}: joined {joined} times, too late {failed} times");
        let status = program.wait().expect("it ends");
        assert!(status.success(), "Go {release}: {status}");
        reader.join().expect("it reads until the program has ended");
        assert!(joined > 5 && failed > 5, "Go {release}: {joined} {failed}");
    }
}

#[test]
fn children_forked_in_c_do_not_count_for_their_parents() {
    for release in go::corners() {
        let program = go::build("crossings", Build::of(release));
        for user in [User::Nobody, User::Root] {
            let recorded = record(user, &[], &program, &["forks"]);
            let found = cgoprof_testing::recording::calls(&recorded.report, "cgocall");
            for (name, calls) in recorded.truth["calls"].as_object().expect("calls") {
                assert_eq!(found.get(name).copied(), calls.as_u64(), "Go {release} as {user:?}: calls of {name}");
            }
            assert_eq!(recorded.report["totals"]["callbacks"], 0, "Go {release}");
        }
    }
}

#[test]
fn processes_that_can_not_be_joined_are_refused_with_one_line() {
    let check = |what: &str, user: User, pid: Pid, words: &[&str]| {
        let output = Recorder::start(user, pid, &[]);
        let output = { output.child.wait_with_output().expect("it ends").status.code() };
        assert_eq!(output, Some(125), "{what}");
        let mut again = Recorder::start(user, pid, &[]);
        let mut line = String::new();
        again.messages.read_line(&mut line).expect("a message");
        for word in words {
            assert!(line.starts_with("cgoprof: ") && line.contains(word), "{what}: {word}: {line}");
        }
        line.clear();
        assert_eq!(again.messages.read_line(&mut line).expect("its end"), 0, "{what}: {line}");
        again.child.wait().expect("it ends");
    };
    check("none", User::Root, Pid::from_raw(999_999_999), &["999999999", "no such process"]);
    check("the kernel", User::Root, Pid::from_raw(2), &["kernel"]);
    let mut program = Talking::rounds(User::Root, "1.27.3");
    let (pid, before) = (program.pid(), code(program.pid()));
    check("another's", User::Nobody, pid, &["another user", "root"]);
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads").flatten();
    let thread = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok()).max().expect("threads");
    check("a thread", User::Root, Pid::from_raw(thread), &["thread", &format!("-p {pid}")]);
    kill(pid, Signal::SIGSTOP).expect("a signal");
    std::thread::sleep(Duration::from_millis(50));
    check("stopped", User::Root, pid, &["stopped", &format!("kill -CONT {pid}")]);
    kill(pid, Signal::SIGCONT).expect("a signal");
    // All threads, or one alone, beside which others can be made to map the hooks before it is found.
    for follow in [&["-f"][..], &[]] {
        let mut tracer = Command::new("strace");
        let tracer = tracer.args(follow).args(["-qq", "-o", "/dev/null", "-p", &pid.to_string()]).spawn();
        let mut tracer = tracer.expect("strace runs: tests/install-toolchains");
        std::thread::sleep(Duration::from_millis(500));
        check("traced", User::Root, pid, &["strace", &tracer.id().to_string()]);
        kill(Pid::from_raw(tracer.id() as i32), Signal::SIGTERM).expect("a signal");
        tracer.wait().expect("it ends");
        check_as_it_was("traced", pid, &before);
    }
    program.ask("still well");
    check_as_it_was("after all that", pid, &before);
    kill(pid, Signal::SIGKILL).expect("a signal");
    std::thread::sleep(Duration::from_millis(50));
    check("a zombie", User::Root, pid, &["zombie"]);
    program.child.wait().expect("it ends");
}

#[test]
fn gdb_finds_the_go_frames_of_a_crossing_while_it_is_recorded() {
    for release in go::corners() {
        let program = go::build("crossings", Build::of(release));
        let mut asleep = Command::new(&program);
        let mut asleep = asleep.args(["asleep", "30"]).stdin(Stdio::null()).spawn().expect("it runs");
        std::thread::sleep(Duration::from_millis(300));
        let pid = Pid::from_raw(asleep.id() as i32);
        let recorder = Recorder::join(User::Root, pid, &[]);
        let root = succeeds(Command::new(go::command(release)).args(["env", "GOROOT"]));
        let script = format!("source {}/src/runtime/runtime-gdb.py", String::from_utf8_lossy(&root.stdout).trim());
        let mut gdb = Command::new("gdb");
        gdb.args(["-q", "-batch", "-nx", "-ex", &script, "-ex", "goroutine 1 bt", "-p", &pid.to_string()]);
        let shown = gdb.output().expect("gdb runs: tests/install-toolchains");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        for function in ["runtime.cgocall", "main.asleep", "main.main"] {
            assert!(shown.contains(function), "Go {release}: {function}: {shown}");
        }
        let report = recorder.leave();
        let notes = report["recording"]["notes"].to_string();
        assert!(notes.contains("about 1 crossings had begun when the recorder came"), "Go {release}: {notes}");
        asleep.kill().expect("a signal");
        asleep.wait().expect("it ends");
    }
}

/// What a program that fails says, without what differs from run to run: addresses, numbers of goroutines and threads.
fn traceback(output: &str) -> Vec<String> {
    let differs = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.starts_with("0x") || word.starts_with("+0x") || word.contains("=0x") || word.starts_with("m=")
    };
    let registers =
        ["rax", "rbx", "rcx", "rdx", "rdi", "rsi", "rbp", "rsp", "r8", "r9", "r1", "rip", "rflags", "cs", "fs", "gs"];
    let lines = output.lines().filter(|line| !registers.iter().any(|register| line.starts_with(register)));
    let rest = |line: &str| -> String {
        let line: String = line.split('(').next().unwrap_or("").to_owned();
        line.split(' ').filter(|word| !differs(word)).collect::<Vec<_>>().join(" ")
    };
    // Goroutines of the runtime's own are listed as the scheduler has them.
    let own = lines.take_while(|line| !line.starts_with("goroutine ") || line.starts_with("goroutine 1 "));
    own.map(rest).filter(|line| !line.trim().is_empty()).collect()
}

#[test]
fn a_program_that_fails_while_it_is_recorded_says_the_same_as_without() {
    for release in go::corners() {
        let program = go::build("actor", Build::of(release));
        for how in ["segv", "panic", "panic-in-callback"] {
            let start = || {
                let mut actor = Command::new(&program);
                let actor = actor.arg(how).env("ACTOR_WAIT", "1").env("GOTRACEBACK", "single").stderr(Stdio::piped());
                let mut actor = Talking::start(actor);
                assert_eq!(actor.answer(), "ready");
                actor
            };
            let fail = |mut actor: Talking| {
                writeln!(actor.input.take().expect("stdin"), "go").expect("it listens");
                let output = actor.child.wait_with_output().expect("it ends");
                (output.status.code(), traceback(&String::from_utf8_lossy(&output.stderr)))
            };
            let bare = fail(start());
            let actor = start();
            let recorder = Recorder::join(User::Root, actor.pid(), &[]);
            assert_eq!(fail(actor), bare, "Go {release}, {how}");
            assert!(bare.1.len() > 3, "Go {release}, {how}: {bare:?}");
            recorder.child.wait_with_output().expect("it ends");
            assert!(report(&recorder.profile)["totals"]["crossings"].as_u64() >= Some(1000), "Go {release}, {how}");
        }
    }
}

#[test]
fn the_next_program_of_a_name_is_waited_for() {
    let named = shared_dir().join("awaited-program");
    succeeds(Command::new("cp").arg(go::build("crossings", Build::newest())).arg(&named));
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.args(["record", "--engine", "trampoline", "-o"]).arg(&profile).args(["--wait", "awaited-program"]);
    let mut recorder = recorder.stderr(Stdio::piped()).spawn().expect("cgoprof runs");
    let mut messages = BufReader::new(recorder.stderr.take().expect("stderr"));
    let mut line = String::new();
    messages.read_line(&mut line).expect("a message");
    assert!(line.contains("waiting for a program called awaited-program"), "{line}");
    std::thread::sleep(Duration::from_millis(100));
    let mut program = Talking::start(Command::new(&named).arg("rounds"));
    assert_eq!(program.answer(), "ready");
    line.clear();
    messages.read_line(&mut line).expect("a message");
    assert!(line.contains("recording process"), "{line}");
    let truth: Value = serde_json::from_str(&program.ask("one")).expect("a truth");
    program.end();
    assert!(recorder.wait().expect("it ends").success());
    let calls = cgoprof_testing::recording::calls(&report(&profile), "cgocall");
    assert_eq!(calls.get("nop").copied(), truth["calls"]["nop"].as_u64(), "{calls:?}");
}

#[test]
fn a_program_whose_filters_forbid_it_is_left_as_it_was() {
    let program = go::build("actor", Build::newest());
    for (filter, user, words) in [
        ("kill", User::Root, "would kill it"),
        ("kill", User::Nobody, "only root may read"),
        ("kill-code", User::Root, "would kill it"),
        ("refuse", User::Root, "memfd_create failed in the program: EPERM"),
        ("refuse-mmap", User::Root, "madvise(MADV_WIPEONFORK) failed in the program: EPERM"),
    ] {
        let mut actor = as_user(user, &program);
        let mut actor = Talking::start(actor.args(["sleep", "1"]).env("ACTOR_WAIT", "1").env("ACTOR_FILTER", filter));
        assert_eq!(actor.answer(), "ready");
        let before = code(actor.pid());
        let mut recorder = Recorder::start(user, actor.pid(), &[]);
        recorder.wait_for(words);
        assert_eq!(recorder.child.wait().expect("it ends").code(), Some(125), "{filter} as {user:?}");
        check_as_it_was(filter, actor.pid(), &before);
        writeln!(actor.input.take().expect("stdin"), "go").expect("it listens");
        assert!(actor.child.wait().expect("it ends").success(), "{filter} as {user:?}");
    }
}
