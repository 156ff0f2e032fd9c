//! Whether a process has room for more mapped memory: `/proc/PID/limits` and `/proc/PID/status` (proc_pid_limits(5),
//! proc_pid_status(5)).

use nix::unistd::Pid;

use super::proc_text;

/// Why a process can't have more mapped memory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cramped {
    /// RLIMIT_AS leaves too little.
    #[error(
        "its address space is limited to {} MB (ulimit -v), of which {} MB are free; the hooks' tables need {} MB, and may take a \
         quarter of that",
        .limit >> 20, .free >> 20, .needed >> 20
    )]
    Limited {
        /// Bytes.
        limit: u64,
        /// Bytes.
        free: u64,
        /// Bytes.
        needed: u64,
    },
    /// Whatever is mapped takes real memory (MCL_FUTURE).
    #[error("it locks its memory (mlockall), and the hooks' tables would take {} MB of real memory", .needed >> 20)]
    Locked {
        /// Bytes.
        needed: u64,
    },
}

/// Share of the free address space that we may take.
const SHARE: u64 = 4;

/// What a process has mapped, and how much it may. Bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct AddressSpace {
    mapped: u64,
    locked: u64,
    /// None if there is no limit.
    limit: Option<u64>,
}

/// Checks that a process has room for so many bytes more, used sparsely. What can't be read is no obstacle.
///
/// # Errors
/// If they would take what the program may need itself.
pub(crate) fn check(pid: Pid, needed: u64) -> Result<(), Cramped> {
    let read = |name: &str| proc_text::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    AddressSpace::parse(&read("status"), &read("limits")).check(needed)
}

/// Bytes of a process that are locked into memory; 0 if that can't be read.
pub(crate) fn locked(pid: Pid) -> u64 {
    AddressSpace::parse(&proc_text::read(format!("/proc/{pid}/status")).unwrap_or_default(), "").locked
}

impl AddressSpace {
    fn parse(status: &str, limits: &str) -> AddressSpace {
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        // The first number is the limit that holds, the second the highest that it can be set to.
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
        AddressSpace {
            mapped: kilobytes("VmSize") << 10,
            locked: kilobytes("VmLck") << 10,
            limit: limit.and_then(|line| line.split_whitespace().next()?.parse().ok()),
        }
    }

    fn check(&self, needed: u64) -> Result<(), Cramped> {
        let Some(limit) = self.limit else { return Ok(()) };
        let free = limit.saturating_sub(self.mapped);
        if free / SHARE < needed { Err(Cramped::Limited { limit, free, needed }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                          Max cpu time              unlimited            unlimited            seconds   \n\
                          Max address space         3072000000           unlimited            bytes     \n";

    #[test]
    fn what_is_mapped_locked_and_allowed() {
        let status = "Name:\tapp\nVmPeak:\t  900 kB\nVmSize:\t  800 kB\nVmLck:\t       4 kB\n";
        let expected = AddressSpace { mapped: 800 << 10, locked: 4 << 10, limit: Some(3_072_000_000) };
        assert_eq!(AddressSpace::parse(status, LIMITS), expected);
        let unlimited = LIMITS.replace("3072000000", "unlimited ");
        assert_eq!(AddressSpace::parse(status, &unlimited), AddressSpace { limit: None, ..expected });
        assert_eq!(AddressSpace::parse("", "junk"), AddressSpace::default());
    }

    #[test]
    fn a_program_keeps_three_quarters_of_what_it_may_still_map() {
        let check = |limit: Option<u64>, fits: bool| {
            let space = AddressSpace { mapped: 1000, locked: 0, limit };
            assert_eq!(space.check(100).is_ok(), fits, "{space:?}");
        };
        check(None, true);
        check(Some(1400), true);
        check(Some(1399), false);
        check(Some(900), false);
    }
}
