//! Memory that a process may still take, by its control groups (Documentation/admin-guide/cgroup-v2.rst,
//! cgroup-v1/memory.rst) and by the system (proc_meminfo(5)).

use std::path::Path;

use nix::unistd::Pid;

use super::proc_text;

/// Mount points of control groups: version 2 alone, or beside version 1; version 1's memory controller.
const MOUNTS: [(&str, Controller); 3] = [
    ("/sys/fs/cgroup", Controller::Unified),
    ("/sys/fs/cgroup/unified", Controller::Unified),
    ("/sys/fs/cgroup/memory", Controller::Memory),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Controller {
    Unified,
    Memory,
}

/// Returns the bytes that a process may still take; none if nothing is known of them.
pub(crate) fn of(pid: Pid) -> Option<u64> {
    let groups = proc_text::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let of_groups = MOUNTS
        .iter()
        .filter_map(|&(mount, controller)| free_in(Path::new(mount), group(&groups, controller)?, controller));
    let of_system = proc_text::read("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemAvailable:"));
    of_groups.chain(of_system).min()
}

/// Returns the group of a controller, from `/proc/PID/cgroup` (cgroups(7)).
pub(super) fn group(groups: &str, controller: Controller) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match controller {
            Controller::Unified => controllers.is_empty(),
            Controller::Memory => controllers.split(',').any(|name| name == "memory"),
        };
        is_it.then_some(path)
    })
}

/// Returns the bytes that a group and those around it leave.
fn free_in(mount: &Path, group: &str, controller: Controller) -> Option<u64> {
    let folder = mount.join(group.trim_start_matches('/'));
    let around = folder.ancestors().take_while(|folder| folder.starts_with(mount));
    around.filter_map(|folder| free_in_one(folder, controller)).min()
}

fn free_in_one(folder: &Path, controller: Controller) -> Option<u64> {
    let number = |name: &str| -> Option<u64> { proc_text::read(folder.join(name)).ok()?.trim().parse().ok() };
    let (limits, used): (&[&str], _) = match controller {
        Controller::Unified => (&["memory.max", "memory.high"], "memory.current"),
        Controller::Memory => (&["memory.limit_in_bytes"], "memory.usage_in_bytes"),
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
        let free = |group: &str| free_in(mount.path(), group, Controller::Unified);
        assert_eq!(free("/a/b"), Some(100), "files make room, but the group around it has none");
        assert_eq!(free("/a"), Some(100));
        assert_eq!(free("/"), None, "the root has no limit");
        assert_eq!(free("/gone"), None);
        write(mount.path().join("v1"), &[("memory.limit_in_bytes", "500\n"), ("memory.usage_in_bytes", "100\n")]);
        assert_eq!(free_in(mount.path(), "/v1", Controller::Memory), Some(400));
        write(
            mount.path().join("throttled"),
            &[("memory.max", "max\n"), ("memory.high", "500\n"), ("memory.current", "600\n")],
        );
        assert_eq!(free("/throttled"), Some(0));
    }

    #[test]
    fn groups_of_both_versions() {
        let text = "12:cpu,cpuacct:/x\n7:memory:/docker/1:2\n0::/user.slice\n";
        assert_eq!(group(text, Controller::Unified), Some("/user.slice"));
        assert_eq!(group(text, Controller::Memory), Some("/docker/1:2"));
        assert_eq!(group("junk\n\n1:2", Controller::Memory), None);
    }

    #[test]
    fn a_process_may_take_no_more_than_the_system_has() {
        let total = kilobytes(&fs::read_to_string("/proc/meminfo").unwrap(), "MemTotal:").unwrap();
        let free = of(Pid::this()).unwrap();
        assert!(free > 0 && free <= total, "{free} of {total}");
    }
}
