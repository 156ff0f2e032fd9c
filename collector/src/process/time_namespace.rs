//! Offsets that a time namespace adds to the clocks that we read (time_namespaces(7)). Times in perf's records are the
//! kernel's own.

use std::sync::OnceLock;

use super::proc_text;

/// Nanoseconds that are added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Offsets {
    /// To CLOCK_MONOTONIC.
    pub(crate) monotonic: i64,
    /// To the time since the system's start, which `/proc/PID/stat` also uses for the starts of processes.
    pub(crate) boottime: i64,
}

/// Returns the offsets of our own namespace.
pub(crate) fn own() -> Offsets {
    static OWN: OnceLock<Offsets> = OnceLock::new();
    *OWN.get_or_init(|| {
        // The file holds the offsets that our children get.
        let namespace = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
        let is_ours = namespace("time") == namespace("time_for_children");
        let text = proc_text::read("/proc/self/timens_offsets").unwrap_or_default();
        if is_ours { Offsets::parse(&text) } else { Offsets::default() }
    })
}

impl Offsets {
    /// Parses lines of a clock's name, seconds and nanoseconds.
    pub(super) fn parse(text: &str) -> Offsets {
        let offset = |clock: &str| -> Option<i64> {
            let mut fields = text.lines().find_map(|line| line.strip_prefix(clock))?.split_whitespace();
            let (seconds, nanos): (i64, i64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
        };
        let number = |clock| offset(clock).unwrap_or(0);
        Offsets { monotonic: number("monotonic "), boottime: number("boottime ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_both_clocks() {
        let text = "monotonic      100000         5\nboottime        -1000 500000000\n";
        let expected = Offsets { monotonic: 100_000_000_000_005, boottime: -999_500_000_000 };
        assert_eq!(Offsets::parse(text), expected);
        assert_eq!(Offsets::parse(""), Offsets::default());
        assert_eq!(Offsets::parse("monotonic 99999999999999 0\nboottime x"), Offsets::default());
    }
}
