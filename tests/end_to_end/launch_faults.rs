//! Calls that fail once while a program is launched and recorded, and recorders that are killed then: the program runs as it would,
//! or has not begun, and is told of in either case.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::Command;

use crate::fault_shim::{Fault, counts, inject, places};
use crate::joining::Talking;
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, binary, profile_path};

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

/// How a program fared whose recorder met a fault.
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
    /// The recorder came to the fault.
    fired: bool,
}

fn launched(fault: Fault) -> Launched {
    let profile = profile_path(User::Root);
    let mut command = launch(&profile);
    let fired = inject(&mut command, fault);
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
    let (recorded, fired) = (profile.exists(), fired.exists());
    Launched { answered, begun, recorder: of(true).unwrap_or(i64::MIN), program: of(false), said, recorded, fired }
}

/// Runs a program with a fault of its recorder. Returns whether the recorder came to it, and what went wrong then.
fn try_fault(fault: Fault) -> (bool, Option<String>) {
    const SIGTRAP: i64 = -libc::SIGTRAP as i64;
    let found = launched(fault);
    let told = found.said.lines().any(|line| line.starts_with("cgoprof: "));
    let fine = match (fault.error, found.begun) {
        // How often it waits depends on who else wants the processors.
        _ if !found.fired => found.answered && found.recorder == 0 && found.recorded,
        (None, true) => found.answered && found.program.is_none_or(|status| status == 0) && found.recorder == -9,
        // Killed before the program's first instruction: its process ends with the recorder, by the stop that nobody waits for any
        // more. Or it was that process, which is then not the program yet.
        (None, false) if found.program == Some(-9) => told && found.recorder == 125,
        (None, false) => found.recorder == -9 && matches!(found.program, None | Some(127 | SIGTRAP)),
        (Some(_), true) => found.answered && found.recorder == 0 && (found.recorded || told),
        // A process that can't write can't tell either.
        (Some(_), false) => (told || fault.name == "write") && matches!(found.recorder, 125..=127),
    };
    let Launched { answered, begun, recorder, program, said, recorded, fired } = found;
    let wrong = (!fine || said.contains("panicked")).then(|| {
        format!(
            "{fault:?}: begun {begun}, answered {answered}, recorder {recorder}, program {program:?}, recorded {recorded}: {said}"
        )
    });
    (fired, wrong)
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

/// Tries faults. They must be harmless, and most must be come to.
fn check(faults: impl Iterator<Item = Fault>) {
    let (mut wrong, mut planned, mut tried) = (Vec::new(), 0, BTreeMap::new());
    for fault in faults {
        let (fired, what) = try_fault(fault);
        planned += 1;
        *tried.entry(fault.name).or_insert(0) += usize::from(fired);
        wrong.extend(what);
    }
    println!("tried: {tried:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(tried.values().sum::<usize>() * 4 >= planned * 3, "of {planned} only {tried:?} were come to");
}

#[test]
fn a_call_that_fails_once_while_a_program_is_launched_does_no_harm() {
    let calls = calls();
    check(FAULTS.into_iter().flat_map(|(name, error, count)| {
        let fault = move |when| Fault { name, when, error: Some(error) };
        places(made(&calls, name), count).map(fault).collect::<Vec<_>>()
    }));
}

#[test]
fn a_recorder_killed_while_it_launches_does_no_harm() {
    let calls = calls();
    let once = || {
        KILLS.into_iter().flat_map(|(name, count)| {
            places(made(&calls, name), count).map(move |when| Fault { name, when, error: None }).collect::<Vec<_>>()
        })
    };
    check((0..crate::killed::times()).flat_map(|_| once()));
}
