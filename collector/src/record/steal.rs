//! Time that the host of a virtual machine takes from processors while threads run on them. The kernel tells how much it
//! is in all (steal), and not whose it was: it is in all times that we measure, and in processor times.

/// What all processors had done by a moment, in ticks of the kernel's: the first line of `/proc/stat` (proc_stat(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processors {
    /// Running something, or wanting to.
    busy: u64,
    /// Of that, not running because of the host.
    stolen: u64,
}

/// Ticks of less say nothing: each thread's last one may be told late.
const FEWEST: u64 = 5;
/// A share of less is not worth a word.
const LEAST: f64 = 0.02;

impl Processors {
    pub(crate) fn by_now() -> Option<Processors> {
        parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// What to say of what was stolen since an earlier moment, if it was much.
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
