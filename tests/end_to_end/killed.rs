//! Recorders that are killed anywhere while they join, record and leave: the program goes on, and the next recorder works and leaves it
//! as it was.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fault_shim::{Fault, counts, inject, places};
use crate::joining::{Recorder, Talking, check_as_it_was, check_round, code};
use cgoprof_testing::recording::{User, binary, profile_path};

/// How often recorders are killed at each place: once, unless `CGOPROF_KILLS` says otherwise.
pub(crate) fn times() -> usize {
    std::env::var("CGOPROF_KILLS").map_or(1, |times| times.parse().expect("a number"))
}

fn recorder(pid: Pid) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-s", "TERM", "60"]).arg(binary());
    command.args(["record", "-q", "--engine", "trampoline", "--duration", "50ms", "-o"]).arg(profile_path(User::Root));
    command.args(["-p", &pid.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Ends a program that does not answer: a killed recorder may have left it standing.
fn end_after(pid: Pid, longest: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(longest);
        let _ = kill(pid, Signal::SIGKILL);
    });
}

/// Calls at which recorders are killed, and at how many places: twenty in all.
const KILLS: [(&str, usize); 6] =
    [("ptrace", 7), ("pwrite64", 5), ("process_vm_readv", 3), ("waitid", 2), ("pthread_create", 2), ("munmap", 1)];

#[test]
fn a_recorder_killed_while_it_joins_or_leaves_does_no_harm() {
    let mut program = Talking::rounds(User::Root, "1.26.6");
    end_after(program.pid(), Duration::from_secs(300 * times() as u64));
    let before = code(program.pid());
    let calls = counts(&mut recorder(program.pid()));
    let mut killed = 0;
    for _ in 0..times() {
        for (name, count) in KILLS {
            let made = *calls.get(name).unwrap_or_else(|| panic!("{name} is not called: {calls:?}"));
            for when in places(made, count) {
                let fault = Fault { name, when, error: None };
                let mut command = recorder(program.pid());
                let fired = inject(&mut command, fault);
                let status = command.status().expect("it runs");
                // timeout(1) ends as what it runs has ended.
                let expected = if fired.exists() { (None, Some(libc::SIGKILL)) } else { (Some(0), None) };
                assert_eq!((status.code(), status.signal()), expected, "{fault:?}");
                killed += usize::from(fired.exists());
                let answer = program.ask("one");
                assert!(answer.starts_with('{'), "{fault:?}: the program answers {answer:?}");
                let next = Recorder::join(User::Root, program.pid(), &[]);
                let truth = program.ask("two");
                check_round(&format!("{fault:?}"), &truth, &next.leave());
                check_as_it_was(&format!("{fault:?}"), program.pid(), &before);
            }
        }
    }
    program.end();
    println!("killed {killed} times");
    assert!(killed >= 15 * times(), "only {killed} were killed on the way");
}
