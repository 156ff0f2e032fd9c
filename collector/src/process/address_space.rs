//! Address space that a process may still map, and the part that it has locked into memory: `/proc/PID/limits` and
//! `/proc/PID/status` (proc_pid_limits(5), proc_pid_status(5)).

use nix::unistd::Pid;

use super::proc_text;

/// Mapped and locked memory of a process, and its limit, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AddressSpace {
    mapped: u64,
    /// Memory that is locked.
    pub(crate) locked: u64,
    /// RLIMIT_AS; none if there is no limit.
    pub(crate) limit: Option<u64>,
}

impl AddressSpace {
    /// Reads the values of a process. Sizes that can't be read count as zero, and a limit as none.
    pub(crate) fn of(pid: Pid) -> AddressSpace {
        let read = |name: &str| proc_text::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        AddressSpace::parse(&read("status"), &read("limits"))
    }

    /// Returns the bytes that may still be mapped; none if there is no limit.
    pub(crate) fn free(&self) -> Option<u64> {
        Some(self.limit?.saturating_sub(self.mapped))
    }

    pub(super) fn parse(status: &str, limits: &str) -> AddressSpace {
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        // The first number is the limit in force, the second the highest value that it can be set to.
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
        AddressSpace {
            mapped: kilobytes("VmSize") << 10,
            locked: kilobytes("VmLck") << 10,
            limit: limit.and_then(|line| line.split_whitespace().next()?.parse().ok()),
        }
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
        assert_eq!(expected.free(), Some(3_072_000_000 - (800 << 10)));
        let unlimited = LIMITS.replace("3072000000", "unlimited ");
        assert_eq!(AddressSpace::parse(status, &unlimited), AddressSpace { limit: None, ..expected });
        assert_eq!(AddressSpace::parse("", "junk"), AddressSpace::default());
        assert_eq!(AddressSpace { mapped: 5, limit: Some(3), ..AddressSpace::default() }.free(), Some(0));
    }
}
