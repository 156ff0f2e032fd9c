//! State and owner of a process: `/proc/PID/status`.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{proc_text, time_namespace};

/// Why a process can't be attached to.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// There is no such process.
    #[error("there is no such process")]
    None,
    /// Its status can't be read.
    #[error("it can't be looked at: {0}")]
    Unreadable(std::io::Error),
    /// The number is that of a thread.
    #[error("it is a thread of process {0}; use -p {0}")]
    Thread(String),
    /// It has ended.
    #[error("it has ended already; its parent has not asked for its status yet (a zombie)")]
    Zombie,
    /// A signal has stopped it.
    #[error("it is stopped (SIGSTOP, or job control); let it go on first: kill -CONT {0}")]
    Stopped(Pid),
    /// It has given up its memory.
    #[error("it is about to end")]
    Ending,
    /// It is part of the kernel.
    #[error("it is a thread of the kernel, not a program")]
    Kernel,
    /// It belongs to another user.
    #[error("it belongs to another user; run as that user, or as root")]
    Foreign,
}

/// Status of a process, or of one of its threads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Status {
    /// One of R, S, D, T, t, Z, X, I.
    pub(crate) state: char,
    leader: String,
    /// The process that traces it.
    pub(crate) tracer: Option<Pid>,
    /// Its number in each namespace, ours first.
    pub(crate) numbers: Vec<i32>,
    user: Option<u32>,
    has_memory: bool,
    parent: Option<i64>,
    /// Number of its threads, including those that have ended and were not reaped by their tracer.
    pub(crate) thread_count: u32,
    /// Signals with a handler, the lowest bit for signal 1.
    handled: u64,
    /// Signals that are ignored, and those that are blocked.
    ignored: u64,
    blocked: u64,
    /// Number of its seccomp filters; 1 stands for one or more where the kernel does not count them (before 5.9).
    pub(crate) filters: u32,
}

/// The process that starts the kernel's threads (rest_init in init/main.c).
const KTHREADD: i64 = 2;

impl Status {
    pub(crate) fn read(pid: Pid) -> std::io::Result<Status> {
        proc_text::read(format!("/proc/{pid}/status")).map(|text| Status::parse(&text))
    }

    /// Reads the status of one of its threads.
    pub(crate) fn of_thread(pid: Pid, tid: Pid) -> std::io::Result<Status> {
        proc_text::read(format!("/proc/{pid}/task/{tid}/status")).map(|text| Status::parse(&text))
    }

    /// Whether a signal has a handler.
    pub(crate) fn handles(&self, signal: Signal) -> bool {
        self.handled & bit(signal) != 0
    }

    /// Whether a signal is ignored.
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        self.ignored & bit(signal) != 0
    }

    /// Whether a signal is blocked.
    pub(crate) fn blocks(&self, signal: Signal) -> bool {
        self.blocked & bit(signal) != 0
    }

    /// Returns the process that a thread belongs to.
    pub(crate) fn process(&self) -> Option<Pid> {
        self.leader.parse().ok().map(Pid::from_raw)
    }

    pub(super) fn parse(text: &str) -> Status {
        let mut status = Status { state: '?', ..Status::default() };
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            let number = || value.split_whitespace().next().and_then(|word| word.parse::<i64>().ok());
            match name {
                "State" => status.state = value.chars().next().unwrap_or('?'),
                "Tgid" => status.leader = value.to_owned(),
                "TracerPid" => {
                    status.tracer = number().filter(|&tracer| tracer != 0).map(|tracer| Pid::from_raw(tracer as i32));
                }
                "NSpid" => {
                    status.numbers = value.split_whitespace().filter_map(|number| number.parse().ok()).collect();
                }
                "Uid" => status.user = number().map(|user| user as u32),
                "VmSize" => status.has_memory = true,
                "PPid" => status.parent = number(),
                "Threads" => status.thread_count = number().map_or(0, |count| count as u32),
                "SigBlk" => status.blocked = signals(value),
                "SigIgn" => status.ignored = signals(value),
                "SigCgt" => status.handled = signals(value),
                "Seccomp" => status.filters = u32::from(value == "2"),
                "Seccomp_filters" => status.filters = number().map_or(status.filters, |count| count as u32),
                _ => {}
            }
        }
        status
    }

    /// Checks that this process can be attached to, as far as can be told from outside.
    pub(crate) fn check(&self, pid: Pid) -> Result<(), Unfit> {
        if self.leader != pid.to_string() {
            return Err(Unfit::Thread(self.leader.clone()));
        }
        // The first thread may have ended, or be about to, while others go on.
        let has_memory = if self.state == 'Z' || is_exiting(pid, pid) {
            let thread = living_thread(pid).ok_or(if self.state == 'Z' { Unfit::Zombie } else { Unfit::Ending })?;
            Status::of_thread(pid, thread).is_ok_and(|status| status.has_memory)
        } else {
            self.has_memory
        };
        match self.state {
            'X' => Err(Unfit::Zombie),
            'T' => Err(Unfit::Stopped(pid)),
            _ if !has_memory => Err(if self.parent == Some(KTHREADD) || pid.as_raw() as i64 == KTHREADD {
                Unfit::Kernel
            } else {
                Unfit::Ending
            }),
            _ if !nix::unistd::geteuid().is_root() && self.user != Some(nix::unistd::geteuid().as_raw()) => {
                Err(Unfit::Foreign)
            }
            _ => Ok(()),
        }
    }
}

/// Checks that there is a process of this number that can be attached to.
///
/// # Errors
/// See [`Unfit`].
pub(crate) fn check(pid: Pid) -> Result<(), Unfit> {
    match Status::read(pid) {
        Ok(status) => status.check(pid),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Unfit::None),
        // The process ended just then.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(Unfit::None),
        Err(error) => Err(Unfit::Unreadable(error)),
    }
}

/// Whether a thread is exiting: it may still have memory, but can no longer be traced or watched. False if that can't
/// be read.
fn is_exiting(pid: Pid, tid: Pid) -> bool {
    /// Flag of an exiting thread (include/linux/sched.h).
    const PF_EXITING: u64 = 0x4;
    let stat = proc_text::read(format!("/proc/{pid}/task/{tid}/stat")).unwrap_or_default();
    flags(&stat).is_some_and(|flags| flags & PF_EXITING != 0)
}

/// The place of a signal in a set.
fn bit(signal: Signal) -> u64 {
    1 << (signal as u64 - 1)
}

/// Reads a set of signals.
fn signals(value: &str) -> u64 {
    u64::from_str_radix(value, 16).unwrap_or(0)
}

/// Returns the kernel's flags of a thread (proc_pid_stat(5), field 9): the seventh field after its name, which may
/// contain anything.
pub(super) fn flags(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(6)?.parse().ok()
}

/// Returns a living thread of a process: its first one, unless that has ended while others go on. The process's memory
/// and files can be reached through any thread.
pub(crate) fn living_thread(pid: Pid) -> Option<Pid> {
    let lives = |&tid: &Pid| {
        let runs = Status::of_thread(pid, tid).is_ok_and(|status| !matches!(status.state, 'Z' | 'X'));
        runs && !is_exiting(pid, tid)
    };
    Some(pid).filter(lives).or_else(|| threads(pid).into_iter().find(lives))
}

/// Returns the path by which the file of a process's program can be read or opened.
pub(crate) fn program(pid: Pid) -> PathBuf {
    let thread = living_thread(pid).unwrap_or(pid);
    PathBuf::from(format!("/proc/{pid}/task/{thread}/exe"))
}

/// Returns one listing of a process's threads; it may miss some while others end.
pub(crate) fn threads(pid: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw).collect()
}

/// Returns the children of a process.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let of_thread = |tid: Pid| proc_text::read(format!("/proc/{pid}/task/{tid}/children"));
    let lists: Result<Vec<String>, _> = threads(pid).into_iter().map(of_thread).collect();
    if let Ok(lists) = lists {
        let numbers = lists.iter().flat_map(|list| list.split_whitespace());
        return numbers.filter_map(|number| number.parse().ok()).map(Pid::from_raw).collect();
    }
    // A kernel without CONFIG_PROC_CHILDREN has no such lists, nor has a thread that ended just then.
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw);
    let is_child = |&one: &Pid| Status::read(one).is_ok_and(|status| status.parent == Some(pid.as_raw().into()));
    processes.filter(is_child).collect()
}

/// Whether a thread is one of ours.
pub(crate) fn is_own_thread(tid: Pid) -> bool {
    Path::new(&format!("/proc/self/task/{tid}")).exists()
}

/// Returns the name of a process.
pub(crate) fn name(pid: Pid) -> Option<String> {
    let name = proc_text::read(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Returns when a process was started, in clock ticks since the system's start, whatever our time namespace; none if
/// there is no such process.
pub(crate) fn started(pid: Pid) -> Option<u64> {
    /// Nanoseconds of a clock tick (`USER_HZ`, include/asm-generic/param.h).
    const TICK: i64 = 10_000_000;
    let stat = proc_text::read(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything. The start is field 22.
    let (_, rest) = stat.rsplit_once(") ")?;
    let ticks: i64 = rest.split(' ').nth(19)?.parse().ok()?;
    u64::try_from(ticks - time_namespace::own().boottime / TICK).ok()
}

/// Whether a process is the one that was started then, and not a later one of the same number.
pub(crate) fn is_from(pid: Pid, started_then: u64) -> bool {
    // Ticks may be rounded the other way in another time namespace.
    started(pid).is_some_and(|found| found.abs_diff(started_then) <= 1)
}

/// Returns the number of the PID namespace that a process lives in.
pub(crate) fn pid_namespace(pid: Pid) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(Path::new(&format!("/proc/{pid}/ns/pid"))).ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_thread_with_any_name() {
        assert_eq!(flags("71 (a) R 4 (b)) R 1 71 71 0 -1 4194308 146"), Some(4_194_308));
        assert_eq!(flags("71 (a) R 1"), None);
        assert!(!is_exiting(Pid::this(), Pid::this()));
    }

    fn check(what: &str, change: (&str, &str), refused: Option<&str>) {
        let own = std::fs::read_to_string("/proc/self/status").unwrap().replace(change.0, change.1);
        let refusal = Status::parse(&own).check(Pid::this()).err().map(|unfit| unfit.to_string());
        match (refusal, refused) {
            (None, None) => {}
            (Some(found), Some(words)) => assert!(found.contains(words), "{what}: {found}"),
            (found, wanted) => panic!("{what}: {found:?}, wanted {wanted:?}"),
        }
    }

    #[test]
    fn what_can_be_joined() {
        let state = std::fs::read_to_string("/proc/self/status").unwrap();
        let state = state.lines().find(|line| line.starts_with("State:")).unwrap().to_owned();
        let leader = format!("Tgid:\t{}", Pid::this());
        check("ourselves", ("", ""), None);
        check("stopped", (&state, "State:\tT (stopped)"), Some("kill -CONT"));
        check("dead", (&state, "State:\tX (dead)"), Some("ended"));
        check("a thread", (&leader, "Tgid:\t4711"), Some("use -p 4711"));
        check("on its way out", ("VmSize", "Nothing"), Some("about to end"));
    }

    #[test]
    fn a_thread_of_the_kernel_is_told_from_a_process_that_ends() {
        let unfit = |parent: &str| {
            let text = format!("State:\tS (sleeping)\nTgid:\t4711\nPPid:\t{parent}\n");
            Status::parse(&text).check(Pid::from_raw(4711)).expect_err("no memory").to_string()
        };
        assert!(unfit("2").contains("kernel") && unfit("1").contains("about to end"));
    }

    #[test]
    fn facts_of_our_own() {
        let status = Status::read(Pid::this()).unwrap();
        assert_eq!(status.numbers.first().copied(), Some(Pid::this().as_raw()));
        assert!(status.thread_count >= 1);
        let since = started(Pid::this()).unwrap();
        assert!(is_from(Pid::this(), since) && is_from(Pid::this(), since + 1) && !is_from(Pid::this(), since + 2));
        assert_eq!(started(Pid::from_raw(i32::MAX)), None);
        assert!(pid_namespace(Pid::this()).is_some());
        let child = std::process::Command::new("sleep").arg("10").spawn();
        let mut child = child.unwrap();
        assert!(children(Pid::this()).contains(&Pid::from_raw(child.id() as i32)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(threads(Pid::this()).contains(&nix::unistd::gettid()));
    }
}
