//! The program's own profiler and tracebacks, while its threads stand in hooks.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, command, profile_path, succeeds};

/// Shares of a CPU profile by function, with all that it calls.
fn shares(release: &str, profile: &std::path::Path) -> BTreeMap<String, f64> {
    let mut pprof = Command::new(go::command(release));
    pprof.args(["tool", "pprof", "-top", "-cum", "-nodecount=200"]).arg(profile).env("GOTOOLCHAIN", "local");
    let text = String::from_utf8(succeeds(&mut pprof).stdout).expect("text");
    let rows = text.lines().skip_while(|line| !line.trim_start().starts_with("flat")).skip(1);
    let share = |row: &str| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        Some((columns.get(5)?.to_string(), columns.get(4)?.trim_end_matches('%').parse().ok()?))
    };
    rows.filter_map(share).collect()
}

/// Once a quarter of the samples of such a program were `runtime._System`'s.
#[test]
fn the_programs_own_profile_has_its_stacks() {
    for release in ["1.19", "1.21.13", "1.25.5", "1.27.3"].into_iter().filter(|release| go::is_covered(release)) {
        let program = go::build("tracebacks", Build::of(release));
        let own = shared_dir().join(format!("tracebacks-{release}.pprof"));
        let own_path = own.to_str().expect("a path");
        succeeds(Command::new(&program).args(["1500", own_path]));
        let bare = shares(release, &own);
        let mut recorder = command(User::Root);
        recorder.args(["record", "-q", "-o"]).arg(profile_path(User::Root)).arg("--").arg(&program);
        succeeds(recorder.args(["1500", own_path]));
        let recorded = shares(release, &own);
        let share = |shares: &BTreeMap<String, f64>, name: &str| shares.get(name).copied().unwrap_or(0.0);
        let crossing = "main.crossing";
        let (found, expected) = (share(&recorded, crossing), share(&bare, crossing));
        assert!(found > expected - 2.0, "{release}: {found} % of {expected} % in {crossing}: {recorded:?}");
        let lost = share(&recorded, "runtime._System") + share(&recorded, "runtime._ExternalCode");
        assert!(lost < 2.0, "{release}: {lost} % without stack: {recorded:?}");
        assert!(recorded.keys().any(|name| name.contains("cgoprof_enter")), "{release}: the hooks are seen at work");
    }
}

/// Whether an address is in the C library, by the lines of `/proc/PID/maps`.
fn is_in_c_library(maps: &str, address: u64) -> bool {
    let holds = |line: &str| {
        let (begin, end) = line.split_once(' ')?.0.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some((number(begin)?..number(end)?).contains(&address))
    };
    maps.lines().any(|line| line.ends_with("/libc.so.6") && holds(line) == Some(true))
}

/// Once one dump in three said "unknown pc" of a goroutine in a hook, and left it out.
#[test]
fn a_dump_on_sigquit_has_every_goroutine() {
    const DUMPS: usize = 25;
    for release in ["1.21.13", "1.27.3"].into_iter().filter(|release| go::is_covered(release)) {
        let program = go::build("tracebacks", Build::of(release));
        for _ in 0..DUMPS {
            let mut recorder = command(User::Root);
            recorder
                .args(["record", "-q", "--timing", "every", "-o"])
                .arg(profile_path(User::Root))
                .arg("--")
                .arg(&program);
            let child =
                recorder.arg("5000").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("cgoprof runs");
            std::thread::sleep(Duration::from_millis(200));
            let children = succeeds(Command::new("pgrep").arg("-P").arg(child.id().to_string())).stdout;
            let pid: i32 = String::from_utf8_lossy(&children).trim().parse().expect("the program");
            let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
            kill(Pid::from_raw(pid), Signal::SIGQUIT).expect("a signal");
            let dump = child.wait_with_output().expect("it ends");
            assert_eq!(dump.status.code(), Some(2), "{release}");
            let dump = String::from_utf8_lossy(&dump.stderr).into_owned();
            // A thread that the C library lets wait, because the system is short of threads, has none without a recorder either.
            let mut unknown = dump.split("unknown pc 0x").skip(1).map(|rest| {
                let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default();
                u64::from_str_radix(digits, 16).expect("an address")
            });
            assert!(unknown.all(|pc| is_in_c_library(&maps, pc)), "{release}: {dump}");
            // What runs on another thread and does not stop within the runtime's five milliseconds is told without its
            // stack, recorded or not.
            let (shown, running) = (dump.matches("main.crossing(").count(), dump.matches("stack unavailable").count());
            assert!(shown + running == 3 && shown > 0, "{release}: {dump}");
        }
    }
}
