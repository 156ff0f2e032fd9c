//! The programs and processes of a recording, in words.

use cgoprof_profile::Profile;

use crate::units::{count, printable};

/// Returns the name of the recorded program; of several, the names of the first ones.
pub(crate) fn programs(profile: &Profile) -> String {
    /// Programs that are named.
    const NAMED: usize = 3;
    if profile.processes.is_empty() {
        return program(profile);
    }
    let mut names: Vec<String> = Vec::new();
    for name in profile.processes.iter().map(|process| program(process)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    listed(names, NAMED)
}

/// Returns the recorded program and its process: `app (4711)`. A sum has no process.
pub fn process(profile: &Profile) -> String {
    match profile.target.pid {
        0 => program(profile),
        pid => format!("{} ({pid})", program(profile)),
    }
}

/// Returns the id of a process by its index; none in a recording of one process.
pub(crate) fn pid(profile: &Profile, process: usize) -> Option<u64> {
    profile.processes.get(process).map(|process| u64::from(process.target.pid))
}

/// Returns ` of process 4711`; nothing in a recording of one process.
pub(crate) fn of_process(profile: &Profile, process: usize) -> String {
    pid(profile, process).map_or_else(String::new, |pid| format!(" of process {pid}"))
}

/// Returns the processes of a recording of several, the first ones by their names.
pub fn processes(profile: &Profile) -> String {
    /// Processes that are named.
    const NAMED: usize = 5;
    listed(profile.processes.iter().map(|one| process(one)).collect(), NAMED)
}

/// Returns the name of the recorded program; of several, of the first one.
pub(crate) fn program(profile: &Profile) -> String {
    printable(profile.target.program())
}

/// Returns things with commas between them, and how many there are beyond the first ones.
fn listed(mut all: Vec<String>, most: usize) -> String {
    let more = all.len().saturating_sub(most);
    all.truncate(most);
    let listed = all.join(", ");
    if more > 0 { format!("{listed} and {} more", count(more as u64)) } else { listed }
}
