//! Folders of the control groups that a process is in, and of those around them: their limits hold for it too
//! (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/cgroups.rst; cgroups(7)).

use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::proc_text;

/// What a group limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Controller {
    Memory,
    Processors,
}

/// Version of control groups: their files differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    One,
    Two,
}

impl Controller {
    /// As version 1 names it, in `/proc/PID/cgroup` and as a mount point.
    fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Processors => "cpu",
        }
    }

    /// Mount points: version 2 alone, or beside version 1.
    fn mounts(self) -> [(PathBuf, Version); 3] {
        let root = Path::new("/sys/fs/cgroup");
        [(root.to_owned(), Version::Two), (root.join("unified"), Version::Two), (root.join(self.name()), Version::One)]
    }
}

/// Returns the folders of a process's groups and of those around them, whether they exist or not.
pub(super) fn folders(pid: Pid, controller: Controller) -> Vec<(PathBuf, Version)> {
    let groups = proc_text::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = controller.mounts().into_iter();
    let of_mount = mounts.filter_map(|(mount, version)| {
        let around = around(&mount, group(&groups, controller, version)?);
        Some(around.into_iter().map(move |folder| (folder, version)))
    });
    of_mount.flatten().collect()
}

/// Returns the folders of a group and of those around it, the innermost first.
pub(super) fn around(mount: &Path, group: &str) -> Vec<PathBuf> {
    let folder = mount.join(group.trim_start_matches('/'));
    folder.ancestors().take_while(|folder| folder.starts_with(mount)).map(Path::to_owned).collect()
}

/// Returns a process's group, from `/proc/PID/cgroup`.
pub(super) fn group(groups: &str, controller: Controller, version: Version) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match version {
            Version::Two => controllers.is_empty(),
            Version::One => controllers.split(',').any(|name| name == controller.name()),
        };
        is_it.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions() {
        let text = "12:cpu,cpuacct:/x\n7:memory:/docker/1:2\n0::/user.slice\n";
        for (controller, version, expected) in [
            (Controller::Memory, Version::Two, Some("/user.slice")),
            (Controller::Memory, Version::One, Some("/docker/1:2")),
            (Controller::Processors, Version::One, Some("/x")),
        ] {
            assert_eq!(group(text, controller, version), expected);
        }
        assert_eq!(group("junk\n\n1:2", Controller::Memory, Version::Two), None);
    }

    #[test]
    fn limits_of_groups_around_hold_too() {
        let mount = Path::new("/sys/fs/cgroup");
        let expected = ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"].map(PathBuf::from);
        assert_eq!(around(mount, "/a/b"), expected);
        assert_eq!(around(mount, "/"), [mount]);
    }
}
