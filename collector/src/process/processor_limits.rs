//! How many processors a process may use: those that it is allowed on (sched_getaffinity(2)), and the quotas of its control
//! groups (Documentation/admin-guide/cgroup-v2.rst, `cpu.max`; scheduler/sched-bwc.rst).

use std::path::{Path, PathBuf};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use super::control_group::{self, Controller, Version};
use super::proc_text;

/// Returns the number of processors that a process may run on; none if the system does not tell it.
pub(crate) fn allowed(pid: Pid) -> Option<u32> {
    let set = sched_getaffinity(pid).ok()?;
    let processors = (0..CpuSet::count()).filter(|&processor| set.is_set(processor).unwrap_or(false));
    Some(processors.count() as u32).filter(|&count| count > 0)
}

/// Returns how many processors' time the control groups of a process may take; none without a quota.
pub(crate) fn quota_of(pid: Pid) -> Option<f64> {
    smallest(control_group::folders(pid, Controller::Processors))
}

fn smallest(folders: Vec<(PathBuf, Version)>) -> Option<f64> {
    folders.into_iter().filter_map(|(folder, version)| quota_in(&folder, version)).min_by(f64::total_cmp)
}

fn quota_in(folder: &Path, version: Version) -> Option<f64> {
    let read = |name: &str| proc_text::read(folder.join(name)).ok();
    match version {
        Version::Two => quota(&read("cpu.max")?),
        Version::One => quota(&format!("{} {}", read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?.trim())),
    }
}

/// Reads `QUOTA PERIOD`: processor time, and the time in which it may be taken. Without a quota, it is `max` or -1.
pub(super) fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.trim().parse().ok()?);
    (period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_quota_holds() {
        let mount = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let file = mount.path().join(name);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(file, text).expect("a file");
        };
        let check = |group: &str, version: Version, expected: Option<f64>| {
            let folders = control_group::around(mount.path(), group).into_iter().map(|folder| (folder, version));
            assert_eq!(smallest(folders.collect()), expected, "{group}");
        };
        write("a/cpu.max", "150000 100000\n");
        write("a/b/cpu.max", "400000 100000\n");
        write("c/cpu.max", "max 100000\n");
        check("/a/b", Version::Two, Some(1.5));
        check("/c", Version::Two, None);
        check("/gone", Version::Two, None);
        write("v1/cpu.cfs_quota_us", "50000\n");
        write("v1/cpu.cfs_period_us", "100000\n");
        check("/v1", Version::One, Some(0.5));
        write("v1/cpu.cfs_quota_us", "-1\n");
        check("/v1", Version::One, None);
        for text in ["", "1", "1 0", "x 1", "1 x"] {
            assert_eq!(quota(text), None, "{text}");
        }
    }

    #[test]
    fn a_process_runs_on_some_processor() {
        let status = proc_text::read("/proc/self/status").expect("a status");
        let mask = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed:")).expect("a mask");
        let bits = mask.chars().filter_map(|digit| digit.to_digit(16)).map(u32::count_ones).sum::<u32>();
        assert_eq!(allowed(Pid::this()), Some(bits));
    }
}
