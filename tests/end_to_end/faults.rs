//! System calls that fail once, at many places of a recording: the program goes on unharmed, and what was counted is there or is
//! said not to be.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use crate::fault_shim;
use crate::joining::{Talking, check_as_it_was, code};
use cgoprof_testing::recording::{User, binary, profile_path};

/// Runs a recorder of a program for a moment, under strace with these options.
fn under_strace(program: &Talking, profile: &std::path::Path, options: &[&str]) -> Output {
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq"])
        .args(options)
        .arg(binary())
        .args(["record", "--engine", "trampoline", "-o"])
        .arg(profile);
    strace.args(["-p", &program.pid().to_string(), "--duration", "100ms"]).stdin(Stdio::null());
    strace.output().expect("strace")
}

/// How often a recorder makes each system call.
fn calls() -> BTreeMap<String, usize> {
    let (program, trace) = (Talking::rounds(User::Root, "1.26.6"), profile_path(User::Root).with_extension("trace"));
    let options = ["-o", trace.to_str().expect("a path")];
    assert!(under_strace(&program, &profile_path(User::Root), &options).status.success());
    program.end();
    let text = String::from_utf8_lossy(&std::fs::read(&trace).expect("a trace")).into_owned();
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        // `PID name(...`, for those that were taken up again too.
        let name = line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('));
        if let Some((name, _)) = name.filter(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) {
            *calls.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    calls
}

/// What may fail, how, and at about how many places it is tried.
const FAULTS: [(&str, &str, usize); 21] = [
    ("ptrace", "ESRCH", 24),
    ("ptrace", "EPERM", 12),
    ("waitid", "ECHILD", 6),
    ("waitid", "EINTR", 6),
    ("pwrite64", "EIO", 10),
    ("pread64", "EIO", 8),
    ("process_vm_readv", "EPERM", 8),
    ("openat", "EMFILE", 10),
    ("openat", "EACCES", 10),
    ("read", "EIO", 8),
    ("statx", "EACCES", 6),
    ("getdents64", "ENOMEM", 4),
    ("readlink", "ENOENT", 3),
    ("clone3", "EAGAIN", 10),
    ("perf_event_open", "EMFILE", 4),
    ("ioctl", "EINVAL", 3),
    ("ftruncate", "EFBIG", 2),
    ("eventfd2", "EMFILE", 2),
    ("timerfd_create", "EMFILE", 1),
    ("rename", "EACCES", 1),
    ("write", "ENOSPC", 3),
];

/// One recording with a fault; what is wrong with it or the program afterwards.
fn fault(name: &str, error: &str, when: usize) -> Option<String> {
    let what = format!("{name} fails with {error} the {when}th time");
    let (mut program, profile) = (Talking::rounds(User::Root, "1.26.6"), profile_path(User::Root));
    let before = code(program.pid());
    let (trace, inject) = (format!("trace={name}"), format!("inject={name}:error={error}:when={when}"));
    let output = under_strace(&program, &profile, &["-o", "/dev/null", "-e", &trace, "-e", &inject]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = program.ask("one");
    if !answer.starts_with('{') {
        return Some(format!("{what}: the program answers {answer:?}; {said}"));
    }
    // The injection counts by thread: where all our tracers fail alike something may stay, and do nothing.
    if said.contains("cannot record") || said.contains("cgoprof detach") {
        let detach = Command::new(binary()).args(["detach", &program.pid().to_string()]).output();
        assert!(detach.is_ok_and(|output| output.status.success()), "{what}");
    }
    check_as_it_was(&what, program.pid(), &before);
    program.end();
    let is_recorded = profile.exists();
    match output.status.code() {
        _ if said.contains("panicked") => Some(format!("{what}: {said}")),
        Some(0) if is_recorded => None,
        // Nothing is recorded, and that is said. Before it reads its arguments it is the dynamic linker's to say.
        Some(125 | 127) if said.contains("cgoprof") => None,
        status => Some(format!("{what}: {status:?}, recorded {is_recorded}: {said}")),
    }
}

/// A failed call of ours led to others that were made where the program was amid the first: it crashed.
#[test]
fn a_system_call_of_the_recorder_that_fails_once_does_no_harm() {
    let (calls, mut wrong, mut tried) = (calls(), Vec::new(), BTreeMap::new());
    for (name, error, places) in FAULTS {
        let made = *calls.get(name).unwrap_or_else(|| panic!("{name} is not called: {calls:?}"));
        for when in fault_shim::places(made, places) {
            wrong.extend(fault(name, error, when));
            *tried.entry(name).or_insert(0) += 1;
        }
    }
    println!("tried: {tried:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
