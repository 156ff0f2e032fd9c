//! Memory that a process may still take, by its control groups (Documentation/admin-guide/cgroup-v2.rst,
//! cgroup-v1/memory.rst) and by the system (proc_meminfo(5)).

use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::control_group::{self, Controller, Version};
use super::proc_text;

/// Returns the bytes that a process may still take; none if nothing is known of them.
pub(crate) fn of(pid: Pid) -> Option<u64> {
    let of_groups = free_in(control_group::folders(pid, Controller::Memory));
    let of_system = proc_text::read("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemAvailable:"));
    of_groups.into_iter().chain(of_system).min()
}

/// Returns the bytes that groups leave.
fn free_in(folders: Vec<(PathBuf, Version)>) -> Option<u64> {
    folders.into_iter().filter_map(|(folder, version)| free_in_one(&folder, version)).min()
}

fn free_in_one(folder: &Path, version: Version) -> Option<u64> {
    let number = |name: &str| -> Option<u64> { proc_text::read(folder.join(name)).ok()?.trim().parse().ok() };
    let (limits, used): (&[&str], _) = match version {
        Version::Two => (&["memory.max", "memory.high"], "memory.current"),
        Version::One => (&["memory.limit_in_bytes"], "memory.usage_in_bytes"),
    };
    let limit = limits.iter().filter_map(|name| number(name)).min()?;
    // The kernel reclaims inactive file pages first, so they count as free.
    let stat = proc_text::read(folder.join("memory.stat")).unwrap_or_default();
    let files = ["inactive_file ", "total_inactive_file "].iter().filter_map(|name| value(&stat, name)).max();
    Some(limit.saturating_sub(number(used)?.saturating_sub(files.unwrap_or(0))))
}

/// Returns the number on the line that begins with `name`.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().split(' ').next()?.parse().ok())
}

pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    value(text, name).map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn write(folder: PathBuf, files: &[(&str, &str)]) {
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }

    #[test]
    fn the_group_that_leaves_least_counts() {
        let mount = tempfile::tempdir().unwrap();
        write(
            mount.path().join("a"),
            &[("memory.max", "1000\n"), ("memory.high", "max\n"), ("memory.current", "900\n")],
        );
        let stat = ("memory.stat", "anon 100\ninactive_file 150\n");
        write(mount.path().join("a/b"), &[("memory.max", "300\n"), ("memory.current", "250\n"), stat]);
        let folders = |group: &str, version: Version| -> Vec<_> {
            control_group::around(mount.path(), group).into_iter().map(|folder| (folder, version)).collect()
        };
        let free = |group: &str| free_in(folders(group, Version::Two));
        assert_eq!(free("/a/b"), Some(100), "files make room, but the group around it has none");
        assert_eq!(free("/a"), Some(100));
        assert_eq!(free("/"), None, "the root has no limit");
        assert_eq!(free("/gone"), None);
        write(mount.path().join("v1"), &[("memory.limit_in_bytes", "500\n"), ("memory.usage_in_bytes", "100\n")]);
        assert_eq!(free_in(folders("/v1", Version::One)), Some(400));
        write(
            mount.path().join("throttled"),
            &[("memory.max", "max\n"), ("memory.high", "500\n"), ("memory.current", "600\n")],
        );
        assert_eq!(free("/throttled"), Some(0));
    }

    #[test]
    fn a_process_may_take_no_more_than_the_system_has() {
        let total = kilobytes(&fs::read_to_string("/proc/meminfo").unwrap(), "MemTotal:").unwrap();
        let free = of(Pid::this()).unwrap();
        assert!(free > 0 && free <= total, "{free} of {total}");
    }
}
