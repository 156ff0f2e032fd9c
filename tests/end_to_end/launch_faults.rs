//! Calls that fail once while a program is launched and recorded, and recorders that are killed then: the program runs as it would,
//! or has not begun, and is told of in either case.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::Command;

use crate::cgoprof::{User, binary, profile_path};
use crate::fault_shim::{Fault, counts, inject, places};
use crate::go::{self, Build};
use crate::joining::Talking;

/// Runs a command, takes its children's children for its own, and tells how each ended: whether it is the command, and its status.
const REAPER: &str = "
import ctypes, json, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)
command = subprocess.Popen(sys.argv[1:])
ended = []
while True:
    try: pid, status = os.wait()
    except ChildProcessError: break
    ended.append([pid == command.pid, os.waitstatus_to_exitcode(status)])
print('ended', json.dumps(ended), file=sys.stderr)
";

fn launch(profile: &std::path::Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60", "python3", "-c", REAPER]).arg(binary());
    command.args(["record", "--engine", "trampoline", "-o"]).arg(profile).arg("--");
    command.arg(go::build("crossings", Build::of("1.26.6"))).arg("rounds");
    command.stderr(std::process::Stdio::piped());
    command
}

/// What came of a program.
struct Launched {
    /// It was there, and did all that it was asked.
    answered: bool,
    begun: bool,
    /// How the recorder ended: below zero by a signal.
    recorder: i64,
    /// How the program ended, if not as the recorder's child.
    program: Option<i64>,
    said: String,
    recorded: bool,
}

fn launched(fault: Fault) -> Launched {
    let profile = profile_path(User::Root);
    let mut command = launch(&profile);
    inject(&mut command, fault);
    let mut program = Talking::start(&mut command);
    let begun = program.answer() == "ready";
    let answered = begun && ["one", "two"].iter().all(|ask| program.ask(ask).starts_with('{'));
    program.input = None;
    let (mut said, mut errors) = (String::new(), program.child.stderr.take().expect("stderr"));
    errors.read_to_string(&mut said).expect("text");
    let _ = program.child.wait();
    let ended = said.lines().find_map(|line| line.strip_prefix("ended ")).unwrap_or("[]");
    let ended: Vec<(bool, i64)> = serde_json::from_str(ended).expect("how they ended");
    let of = |is_recorder: bool| ended.iter().find(|(found, _)| *found == is_recorder).map(|(_, status)| *status);
    let recorded = profile.exists();
    Launched { answered, begun, recorder: of(true).unwrap_or(i64::MIN), program: of(false), said, recorded }
}

/// What is wrong with what came of a fault.
fn wrong(fault: Fault) -> Option<String> {
    const SIGTRAP: i64 = -libc::SIGTRAP as i64;
    let found = launched(fault);
    let told = found.said.lines().any(|line| line.starts_with("cgoprof: "));
    let fine = match (fault.error, found.begun) {
        (None, true) => found.answered && found.program.is_none_or(|status| status == 0) && found.recorder == -9,
        // Killed before the program's first instruction: its process ends with the recorder, by the stop that nobody waits for any
        // more. Or it was that process, which is then not the program yet.
        (None, false) if found.program == Some(-9) => told && found.recorder == 125,
        (None, false) => found.recorder == -9 && matches!(found.program, None | Some(127 | SIGTRAP)),
        (Some(_), true) => found.answered && found.recorder == 0 && (found.recorded || told),
        // A process that can't write can't tell either.
        (Some(_), false) => (told || fault.name == "write") && matches!(found.recorder, 125..=127),
    };
    let Launched { answered, begun, recorder, program, said, recorded } = found;
    (!fine || said.contains("panicked")).then(|| {
        format!(
            "{fault:?}: begun {begun}, answered {answered}, recorder {recorder}, program {program:?}, recorded {recorded}: {said}"
        )
    })
}

/// What may fail, how, and at about how many places it is tried.
const FAULTS: [(&str, i32, usize); 21] = [
    ("ptrace", libc::ESRCH, 12),
    ("ptrace", libc::EPERM, 12),
    ("waitid", libc::ECHILD, 4),
    ("waitid", libc::EINTR, 4),
    ("waitpid", libc::EINTR, 2),
    ("fork", libc::EAGAIN, 1),
    ("pread64", libc::EIO, 6),
    ("pwrite64", libc::EIO, 8),
    ("open64", libc::EMFILE, 12),
    ("open64", libc::EACCES, 12),
    ("read", libc::EIO, 10),
    ("write", libc::ENOSPC, 6),
    ("statx", libc::EACCES, 8),
    ("mmap64", libc::ENOMEM, 8),
    ("mmap", libc::ENOMEM, 4),
    ("opendir", libc::ENOMEM, 3),
    ("pthread_create", libc::EAGAIN, 5),
    ("ioctl", libc::EINVAL, 3),
    ("ftruncate64", libc::EFBIG, 2),
    ("eventfd", libc::EMFILE, 2),
    ("rename", libc::EACCES, 1),
];

/// Where recorders are killed, and at about how many places: twenty in all.
const KILLS: [(&str, usize); 8] = [
    ("ptrace", 6),
    ("pwrite64", 4),
    ("mmap64", 2),
    ("pread64", 2),
    ("pthread_create", 2),
    ("waitid", 2),
    ("fork", 1),
    ("rename", 1),
];

fn calls() -> BTreeMap<String, usize> {
    let mut command = launch(&profile_path(User::Root));
    counts(command.stdin(std::process::Stdio::null()))
}

fn made(calls: &BTreeMap<String, usize>, name: &str) -> usize {
    *calls.get(name).unwrap_or_else(|| panic!("{name} is not called: {calls:?}"))
}

#[test]
fn a_call_that_fails_once_while_a_program_is_launched_does_no_harm() {
    let (calls, mut wrong, mut tried) = (calls(), Vec::new(), BTreeMap::new());
    for (name, error, count) in FAULTS {
        for when in places(made(&calls, name), count) {
            wrong.extend(self::wrong(Fault { name, when, error: Some(error) }));
            *tried.entry(name).or_insert(0) += 1;
        }
    }
    println!("tried: {tried:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_recorder_killed_while_it_launches_does_no_harm() {
    let (calls, mut wrong, mut tried) = (calls(), Vec::new(), 0);
    for _ in 0..crate::killed::times() {
        for (name, count) in KILLS {
            for when in places(made(&calls, name), count) {
                wrong.extend(self::wrong(Fault { name, when, error: None }));
                tried += 1;
            }
        }
    }
    println!("killed {tried} times");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
