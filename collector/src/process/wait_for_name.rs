//! Waits for a program of some name to start.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Pid;

use super::status;

/// Sleep between two looks: a Go program takes longer to its first crossing.
const BETWEEN_LISTINGS: Duration = Duration::from_millis(2);
/// Bytes of a name that the kernel keeps (`TASK_COMM_LEN`).
const KEPT: usize = 15;

/// Waits for a new process that has this name, by its file or by itself, and returns its number. Processes that run
/// already don't count.
pub fn wait_for(name: &str) -> Pid {
    let before: HashSet<Pid> = processes().collect();
    loop {
        if let Some(found) = processes().find(|pid| !before.contains(pid) && is_called(*pid, name)) {
            return found;
        }
        std::thread::sleep(BETWEEN_LISTINGS);
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = Pid::this();
    entries
        .filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)))
        .filter(move |&pid| pid != own)
}

fn is_called(pid: Pid, name: &str) -> bool {
    let wanted = name.as_bytes();
    if status::name(pid).is_some_and(|called| called.as_bytes() == &wanted[..wanted.len().min(KEPT)]) {
        return true;
    }
    let program = Path::new("/proc").join(pid.to_string()).join("exe").read_link();
    program.is_ok_and(|program| program.file_name().is_some_and(|file| file.as_encoded_bytes() == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_starts_is_found_and_one_that_ran_before_is_not() {
        // Under a name that no other process has.
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("waited-for");
        std::fs::copy("/bin/sleep", &program).unwrap();
        let sleep = || std::process::Command::new(&program).arg("100").spawn().unwrap();
        let mut before = sleep();
        let waiting = std::thread::spawn(|| wait_for("waited-for"));
        std::thread::sleep(Duration::from_millis(100));
        let mut wanted = sleep();
        assert_eq!(waiting.join().unwrap(), Pid::from_raw(wanted.id() as i32));
        for child in [&mut before, &mut wanted] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
