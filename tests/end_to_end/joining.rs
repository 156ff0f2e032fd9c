//! Programs that are joined while they run, their recorders, and how they must be left.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, command, profile_path, report};

pub(crate) fn as_user(user: User, program: &Path) -> Command {
    match user {
        User::Root => Command::new(program),
        User::Nobody => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
            command
        }
    }
}

/// A program that does as it is told line by line, and answers each with a line.
pub(crate) struct Talking {
    pub(crate) child: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) output: BufReader<std::process::ChildStdout>,
}

impl Talking {
    pub(crate) fn start(command: &mut Command) -> Talking {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
        let output = BufReader::new(child.stdout.take().expect("stdout"));
        Talking { input: child.stdin.take(), child, output }
    }

    pub(crate) fn rounds(user: User, release: &'static str) -> Talking {
        let program = go::build("crossings", Build::of(release));
        let mut talking = Talking::start(as_user(user, &program).arg("rounds"));
        assert_eq!(talking.answer(), "ready");
        talking
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        writeln!(self.input.as_mut().expect("stdin"), "{line}").expect("it listens");
        self.answer()
    }

    pub(crate) fn end(mut self) {
        self.input = None;
        assert!(self.child.wait().expect("it ends").success());
    }
}

/// A recorder of a program that runs, once it is at work.
pub(crate) struct Recorder {
    pub(crate) child: Child,
    pub(crate) messages: BufReader<std::process::ChildStderr>,
    pub(crate) profile: PathBuf,
}

impl Recorder {
    pub(crate) fn join(user: User, pid: Pid, options: &[&str]) -> Recorder {
        let mut recorder = Recorder::start(user, pid, options);
        recorder.wait_for("recording process");
        recorder
    }

    pub(crate) fn start(user: User, pid: Pid, options: &[&str]) -> Recorder {
        let profile = profile_path(user);
        let mut command = command(user);
        let engine: &[&str] = if options.contains(&"--engine") { &[] } else { &["--engine", "trampoline"] };
        command.args(["record", "-o"]).arg(&profile).args(engine).args(options);
        let mut child = command.args(["-p", &pid.to_string()]).stderr(Stdio::piped()).spawn().expect("cgoprof runs");
        let messages = BufReader::new(child.stderr.take().expect("stderr"));
        Recorder { child, messages, profile }
    }

    pub(crate) fn wait_for(&mut self, words: &str) {
        let mut line = String::new();
        self.messages.read_line(&mut line).expect("a message");
        assert!(line.contains(words), "{words}: {line}");
    }

    /// Ends it as Ctrl-C does, and gives its report.
    pub(crate) fn leave(mut self) -> Value {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).expect("a signal");
        let (mut said, status) = (String::new(), self.child.wait().expect("it ends"));
        self.messages.read_to_string(&mut said).expect("messages");
        assert!(status.success() && !said.contains("panicked"), "{status}: {said}");
        report(&self.profile)
    }
}

/// The code of a process: what is mapped as executable from files.
pub(crate) fn code(pid: Pid) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("its memory");
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings");
    let mut code = Vec::new();
    for line in maps.lines().filter(|line| line.contains("r-xp") && line.contains('/')) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let hex = |text| u64::from_str_radix(text, 16).expect("an address");
        let mut bytes = vec![0; (hex(end) - hex(start)) as usize];
        memory.read_exact_at(&mut bytes, hex(start)).expect("its code");
        code.extend(bytes);
    }
    code
}

/// Where hooks are in a process: code of no file.
pub(crate) fn hooks(pid: Pid) -> Vec<std::ops::Range<u64>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings");
    let own = |line: &&str| line.contains("r-xp 00000000 00:00 0") && !line.contains('[');
    let range = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
    };
    maps.lines().filter(own).filter_map(range).collect()
}

/// Nothing of ours is in a process: no mapping, no file, no tracer.
pub(crate) fn check_as_it_was(what: &str, pid: Pid, code_before: &[u8]) {
    assert!(code(pid) == code_before, "{what}: its code differs");
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("its mappings");
    assert!(!maps.contains("cgoprof (deleted)"), "{what}: {maps}");
    assert_eq!(hooks(pid), [], "{what}");
    for file in std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").flatten() {
        let link = file.path().read_link().unwrap_or_default();
        assert!(!link.to_string_lossy().contains("memfd:cgoprof"), "{what}: {link:?}");
    }
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten() {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        assert!(status.is_empty() || status.contains("TracerPid:\t0\n"), "{what}: {status}");
    }
}

/// What is reported of a round must be what the program says it did.
pub(crate) fn check_round(what: &str, truth: &str, report: &Value) {
    let truth: Value = serde_json::from_str(truth).expect("a truth");
    let sum = |field: &str| -> u64 {
        let functions = report["functions"].as_array().expect("functions").iter();
        functions.filter(|row| row["via"] == "cgocall").map(|row| row[field].as_u64().expect("a count")).sum()
    };
    let found = cgoprof_testing::recording::calls(report, "cgocall");
    for (name, calls) in truth["calls"].as_object().expect("calls") {
        assert_eq!(found.get(name).copied(), calls.as_u64(), "{what}: calls of {name}");
    }
    assert_eq!(Some(sum("calls")), truth["num_cgo_call"].as_u64(), "{what}: NumCgoCall; {found:?}");
    assert_eq!(report["totals"]["callbacks"], truth["callbacks"], "{what}: callbacks");
    assert_eq!(report["totals"]["locked_crossings"], truth["locked"], "{what}: locked");
    let abandoned: u64 = truth["abandoned"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
    assert_eq!(sum("abandoned"), abandoned, "{what}: abandoned");
    let notes = report["recording"]["notes"].as_array().expect("notes");
    assert!(notes.iter().any(|note| note.as_str().unwrap_or("").contains("stood still for")), "{what}: {notes:?}");
}
