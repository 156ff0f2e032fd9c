//! Uprobes by name: definitions in tracefs (`Documentation/trace/uprobetracer.rst`), which perf events then refer to.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cgoprof_symbols::FileOffset;
use nix::unistd::Pid;

use crate::process::{proc_text, status};

/// Why probes can't be defined.
#[derive(Debug, thiserror::Error)]
#[error("{why}; to allow it: {way_out}", why = self.why(), way_out = self.way_out())]
pub enum TracefsError {
    /// Not mounted.
    Absent,
    /// Mounted, but the kernel has no uprobes.
    Unsupported,
    /// Mounted, but the recorder may not use it.
    Forbidden(std::io::Error),
    /// The kernel refused a definition.
    Refused {
        /// File and offset.
        place: String,
        /// The kernel's error.
        cause: std::io::Error,
    },
}

impl TracefsError {
    /// Returns the cause.
    pub(crate) fn why(&self) -> String {
        match self {
            TracefsError::Absent => "tracefs is not mounted".into(),
            TracefsError::Unsupported => "this kernel has no uprobe events".into(),
            TracefsError::Forbidden(error) => format!("uprobes are not permitted ({error})"),
            TracefsError::Refused { place, cause } => format!("the kernel takes no uprobe at {place} ({cause})"),
        }
    }

    /// Returns what the user can do about it.
    pub(crate) fn way_out(&self) -> &'static str {
        match self {
            TracefsError::Absent => "mount -t tracefs nodev /sys/kernel/tracing, as root",
            TracefsError::Unsupported => "a kernel built with CONFIG_UPROBE_EVENTS",
            TracefsError::Forbidden(_) => "run as root; in a container: --privileged, or on the host with -p",
            TracefsError::Refused { .. } => "end other tracers, and look at /sys/kernel/tracing/uprobe_events",
        }
    }
}

/// Places where tracefs may be mounted (`Documentation/trace/ftrace.rst`).
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// Start of the names of the recorder's groups. The recorder's PID namespace, its process and its start time follow.
const PREFIX: &str = "cgoprof_";

/// Probes of this recorder. Dropping them removes them.
pub(crate) struct Definitions {
    tracefs: PathBuf,
    group: String,
    names: Vec<String>,
}

impl Definitions {
    /// Opens tracefs, and removes probes that dead recorders have left there.
    ///
    /// # Errors
    /// See [`TracefsError`].
    pub(crate) fn new() -> Result<Definitions, TracefsError> {
        let tracefs = find()?;
        let listed = proc_text::read(tracefs.join("uprobe_events")).map_err(TracefsError::Forbidden)?;
        events(&tracefs).map_err(TracefsError::Forbidden)?;
        for name in left_behind(&listed, namespace(), |pid, since| status::is_from(Pid::from_raw(pid), since)) {
            // Another recorder may be doing the same, or an event may still be in use.
            let _ = write(&tracefs, &format!("-:{name}"));
        }
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let (own, number) = (Pid::this(), NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let group = format!("{PREFIX}{}_{own}_{}_{number}", namespace(), status::started(own).unwrap_or(0));
        Ok(Definitions { tracefs, group, names: Vec::new() })
    }

    /// Defines a probe of a file. `fetch` names its arguments. Returns the number by which perf knows it.
    ///
    /// # Errors
    /// See [`TracefsError`].
    pub(crate) fn add(&mut self, name: &str, file: &Path, at: FileOffset, fetch: &str) -> Result<u64, TracefsError> {
        let (group, place) = (&self.group, format!("{}:{:#x}", file.display(), at.0));
        let refused = |cause| TracefsError::Refused { place: place.clone(), cause };
        write(&self.tracefs, &format!("p:{group}/{name} {place} {fetch}")).map_err(refused)?;
        self.names.push(name.to_owned());
        let id = std::fs::read_to_string(self.tracefs.join("events").join(group).join(name).join("id"));
        id.map_err(refused)?.trim().parse().map_err(|_| refused(std::io::ErrorKind::InvalidData.into()))
    }
}

impl Drop for Definitions {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = write(&self.tracefs, &format!("-:{}/{name}", self.group));
        }
    }
}

/// Returns where tracefs is mounted, if it is and the recorder may see it.
pub(crate) fn mounted() -> Option<&'static str> {
    PLACES.into_iter().find(|place| Path::new(place).join("uprobe_events").exists())
}

fn find() -> Result<PathBuf, TracefsError> {
    for place in PLACES.map(Path::new) {
        match place.join("uprobe_events").metadata() {
            Ok(_) => return Ok(place.to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(TracefsError::Forbidden(error));
            }
            Err(_) if place.join("events").exists() => return Err(TracefsError::Unsupported),
            Err(_) => {}
        }
    }
    Err(TracefsError::Absent)
}

/// Opens the file of definitions. Opening it without appending would remove everybody's.
fn events(tracefs: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).open(tracefs.join("uprobe_events"))
}

fn write(tracefs: &Path, line: &str) -> std::io::Result<()> {
    events(tracefs)?.write_all(format!("{line}\n").as_bytes())
}

/// Returns the names of cgoprof's probes in `uprobe_events` whose recorder is gone. `lives` tells whether a process of
/// the recorder's own namespace, with this start time, is alive.
fn left_behind(listed: &str, namespace: u64, lives: impl Fn(i32, u64) -> bool) -> Vec<String> {
    let names = listed.lines().filter_map(|line| line.split_once(':')?.1.split(' ').next());
    let dead = |name: &&str| {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| {
            let mut numbers = rest.split_once('/')?.0.split('_');
            numbers.next()?.parse().ok().filter(|&theirs: &u64| theirs == namespace)?;
            Some((numbers.next()?.parse().ok()?, numbers.next()?.parse::<u64>().ok()?))
        });
        owner.is_some_and(|(pid, since)| !lives(pid, since))
    };
    names.filter(dead).map(str::to_owned).collect()
}

/// Returns the namespace in which the recorder has its process id; 0 if there is none.
fn namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |file| file.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_of_dead_runs_and_no_others_are_left_behind() {
        let listed = "p:cgoprof_7_10_500_0/called /proc/9/exe:0x00000000000800da fn=+16(%sp):x64\n\
                      p:cgoprof_7_11_600_0/called /x:0x1\n\
                      p:cgoprof_7_12_700_3/called /x:0x1\n\
                      p:cgoprof_8_12_700_3/called /x:0x1\n\
                      p:probe_libc/malloc /lib/libc.so:0x1\n\
                      r:cgoprof_x/called /x:0x1\n\
                      p:cgoprof_13/called /x:0x1\n";
        let lives = |pid, since| (pid, since) == (10, 500);
        assert_eq!(left_behind(listed, 7, lives), ["cgoprof_7_11_600_0/called", "cgoprof_7_12_700_3/called"]);
    }
}
