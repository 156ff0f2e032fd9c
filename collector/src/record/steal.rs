//! Steal: time that the host of a virtual machine takes from processors while threads run on them. The kernel tells the
//! total, but not which threads lost it. So it is in all measured times, and in processor times.

/// Times of all processors up to a moment, in the kernel's ticks: the first line of `/proc/stat` (proc_stat(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processors {
    /// Time in which they ran something, or had something to run.
    busy: u64,
    /// Part of `busy` in which they did not run because of the host.
    stolen: u64,
}

/// Minimum stolen ticks for a note. Fewer tell nothing, because each thread's last tick may be counted late.
const FEWEST: u64 = 5;
/// Minimum share of busy time for a note.
const LEAST: f64 = 0.02;

impl Processors {
    pub(crate) fn by_now() -> Option<Processors> {
        parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// Returns a note on the time stolen since an earlier moment, if it was much.
    pub(crate) fn note_since(self, then: Processors) -> Option<String> {
        let stolen = self.stolen.saturating_sub(then.stolen);
        let share = stolen as f64 / self.busy.saturating_sub(then.busy).max(1) as f64;
        (stolen >= FEWEST && share >= LEAST).then(|| {
            format!(
                "the machine's host took {:.0} % of the time of busy processors: it is in all times here, and in \
                 processor times too",
                share * 100.0
            )
        })
    }
}

fn parse(stat: &str) -> Option<Processors> {
    let all = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = all.split_whitespace().map_while(|ticks| ticks.parse().ok()).collect();
    let &[user, nice, system, _idle, _io, interrupts, soft_interrupts, stolen, ..] = ticks.as_slice() else {
        return None;
    };
    Some(Processors { busy: user + nice + system + interrupts + soft_interrupts + stolen, stolen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_told_and_little_is_not() {
        let check = |then: &str, now: &str, expected: Option<&str>| {
            let note = parse(now).unwrap().note_since(parse(then).unwrap());
            assert_eq!(note.as_deref().and_then(|note| note.split(" of the time").next()), expected, "{now}");
        };
        let begun = "cpu  100 10 20 5000 30 0 5 40 0 0\ncpu0 1 2 3";
        check(begun, "cpu  180 10 20 9000 30 0 5 60 0 0", Some("the machine's host took 20 %"));
        check(begun, "cpu  180 10 20 9000 30 0 5 44 0 0", None);
        check(begun, "cpu  1100 10 20 9000 30 0 5 55 0 0", None);
        check(begun, begun, None);
        assert_eq!(parse("cpu  1 2 3"), None);
        assert_eq!(parse(""), None);
        assert!(Processors::by_now().is_some_and(|now| now.busy > 0));
    }
}
