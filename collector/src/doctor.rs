//! Finds out what this machine lets this user do. Each ability is tried, not guessed from settings.

use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, Uid, fork};

use crate::engines::uprobe::{self, UprobeError};
use crate::perf::{Frequency, PerfError, Session, Wanted};
use crate::process::{inherited_signals, proc_text};

/// Findings about this machine and this user.
#[derive(Clone, Debug)]
pub struct Findings {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub machine: String,
    /// Effective user id.
    pub uid: u32,
    /// Effective capabilities, a bit each (capabilities(7)).
    pub capabilities: Option<u64>,
    /// 0 none, 1 strict, 2 filter (`/proc/PID/status`).
    pub seccomp: Option<u64>,
    /// Yama's setting, where there is Yama.
    pub ptrace_scope: Option<i64>,
    /// The kernel's setting `kernel.perf_event_paranoid`.
    pub perf_event_paranoid: Option<i64>,
    /// Path of tracefs, where uprobes are set by name, if it is mounted.
    pub tracefs: Option<&'static str>,
    /// Abilities, available or not.
    pub abilities: Vec<Ability>,
}

/// Something that a recording uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// Its name.
    pub name: &'static str,
    /// Data that a recording gets by it.
    pub gives: &'static str,
    /// Why it is not available; none if it is.
    pub why_not: Option<String>,
    /// Part of it that is not available, if any.
    pub without: Option<&'static str>,
    /// How to get what is missing.
    pub way_out: Option<&'static str>,
}

/// Name of the engine that `record` takes if it can.
pub const TRAMPOLINE: &str = "trampoline engine";
/// Name of the engine for programs that run already or forbid ptrace.
pub const UPROBE: &str = "uprobe engine";
/// Name of the engine without which nothing is recorded.
pub const SAMPLE: &str = "sample engine";
/// Name of the perf session.
pub const SAMPLES: &str = "samples and switches";

impl Findings {
    /// Tries all abilities. Starts a process that ends at once.
    pub fn gather() -> Findings {
        inherited_signals::take_over();
        let uname = nix::sys::utsname::uname().ok();
        let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
        let status = proc_text::read("/proc/self/status").unwrap_or_default();
        let machine = uname.as_ref().map(|uname| text(uname.machine())).unwrap_or_default();
        Findings {
            kernel: uname.as_ref().map(|uname| text(uname.release())).unwrap_or_default(),
            uid: Uid::effective().as_raw(),
            capabilities: status_field(&status, "CapEff").and_then(|text| u64::from_str_radix(text, 16).ok()),
            seccomp: status_field(&status, "Seccomp").and_then(|text| text.parse().ok()),
            ptrace_scope: setting("/proc/sys/kernel/yama/ptrace_scope"),
            perf_event_paranoid: setting("/proc/sys/kernel/perf_event_paranoid"),
            tracefs: uprobe::tracefs::mounted(),
            abilities: vec![trampoline(&machine), uprobe(), sample(), samples()],
            machine,
        }
    }

    /// Whether anything can be recorded.
    pub fn can_record(&self) -> bool {
        let engines = [TRAMPOLINE, UPROBE, SAMPLE];
        self.abilities.iter().any(|ability| engines.contains(&ability.name) && ability.why_not.is_none())
    }
}

fn trampoline(machine: &str) -> Ability {
    let (why_not, way_out) = if machine != "x86_64" {
        (Some(format!("this machine is {machine}, not x86_64")), None)
    } else if let Err(error) = try_ptrace() {
        let way_out = "in a container: --cap-add=SYS_PTRACE and a seccomp profile that allows ptrace; else run as root";
        (Some(format!("ptrace is not permitted ({error})")), Some(way_out))
    } else {
        (None, None)
    };
    let gives = "counts, times and stacks of every crossing of a program that `record` launches or joins";
    Ability { name: TRAMPOLINE, gives, why_not, without: None, way_out }
}

/// Makes a child that asks to be traced.
fn try_ptrace() -> nix::Result<()> {
    // SAFETY: the child makes system calls only.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let status = ptrace::traceme().err().map_or(0, |error| error as i32);
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(_, error) => Err(nix::errno::Errno::from_raw(error)),
            _ => Err(nix::errno::Errno::EPERM),
        },
    }
}

fn uprobe() -> Ability {
    let gives = "counts, C times and stacks of every crossing, of programs that run already too";
    let refused = uprobe::try_out().err();
    let way_out = refused.as_ref().map(UprobeError::way_out);
    Ability { name: UPROBE, gives, why_not: refused.map(|error| error.why()), without: None, way_out }
}

fn sample() -> Ability {
    let gives = "estimates of processor time in C by stack, of programs that run already too";
    let refused = open_session(true).err();
    let way_out = refused.as_ref().map(PerfError::way_out);
    Ability { name: SAMPLE, gives, why_not: refused.map(|error| error.to_string()), without: None, way_out }
}

/// Opens perf events on this process, as a recording has them.
fn open_session(only_samples: bool) -> Result<Session, PerfError> {
    let wanted = Wanted { frequency: Frequency(1), kernel: true, only_samples, switches: false, before_exec: false };
    let mut session = Session::new(Pid::this(), wanted, Vec::new())?;
    session.watch(Pid::this())?;
    Ok(session)
}

fn samples() -> Ability {
    let gives = "processor and blocked time, what C does inside";
    let found = open_session(false);
    let without_kernel = found.as_ref().is_ok_and(|session| !session.sees_kernel());
    let refused = found.err();
    let why_not = refused.as_ref().map(PerfError::to_string);
    let way_out = match (&refused, without_kernel) {
        (Some(error), _) => Some(error.way_out()),
        (None, true) => Some("sysctl kernel.perf_event_paranoid=1, or run as root"),
        (None, false) => None,
    };
    let without = without_kernel.then_some("samples in the kernel");
    Ability { name: SAMPLES, gives, why_not, without, way_out }
}

/// Returns a field of `/proc/PID/status`.
fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn setting(path: &str) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_status() {
        let status = "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\nCapEff:\t000001ffffffffff\n";
        let check = |name, expected| assert_eq!(status_field(status, name), expected, "{name}");
        check("Seccomp", Some("2"));
        check("Seccomp_filters", Some("1"));
        check("CapEff", Some("000001ffffffffff"));
        check("Cap", None);
        check("Absent", None);
    }
}
