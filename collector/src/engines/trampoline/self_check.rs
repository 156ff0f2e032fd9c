//! Compares the hooks' counts with the Go runtime's own count. This happens while the program runs, because its memory
//! is gone at its end.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::tables::Tables;
use crate::arch;
use crate::clock::Monotonic;
use crate::clock::own_time;
use crate::engines::own_count::Counters;
use crate::goruntime::Image;
use crate::loaded::LoadedGo;

/// Pause between two looks, as a multiple of the time that a look takes.
const REST: u32 = 200;

/// Compares the two counts now and then.
pub(super) struct SelfCheck {
    counters: Option<Counters>,
    /// The library that the runtime is in, if it is not the program's.
    of_library: Option<String>,
    /// Tables of the modules that work with this runtime.
    tables: Vec<Arc<Tables>>,
    /// The runtime's count from before the recorder came. The first look determines it if the program ran already.
    before: Option<u64>,
    /// By how much `before` may be too small.
    unsure: u64,
    due: Instant,
    /// Differences that the last look found, and the one before it.
    found: [Option<Difference>; 2],
}

/// Two counts that should be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The runtime's count since the recorder came.
    runtime: u64,
    /// The hooks' count.
    hooks: u64,
    /// Time of the comparison.
    at: Monotonic,
}

impl SelfCheck {
    /// Creates the check of the runtime in an image. `joined` tells whether the program ran already when the recorder
    /// came. The check does nothing if the runtime's count can't be found.
    pub(super) fn of(image: Image<'_, '_>, tables: Arc<Tables>, joined: bool) -> SelfCheck {
        let offsets = arch::sample_plan(image.target).offsets;
        let counters = offsets.and_then(|offsets| Counters::find(image.target, offsets, image.bias));
        SelfCheck { tables: vec![tables], ..SelfCheck::new(counters, joined) }
    }

    /// Creates the check of the runtime in a library.
    pub(super) fn of_library(library: &LoadedGo, tables: Arc<Tables>, joined: bool) -> SelfCheck {
        SelfCheck { of_library: Some(library.name()), ..SelfCheck::of(library.image(), tables, joined) }
    }

    fn new(counters: Option<Counters>, joined: bool) -> SelfCheck {
        SelfCheck {
            counters,
            of_library: None,
            tables: Vec::new(),
            before: (!joined).then_some(0),
            unsure: 0,
            due: Instant::now(),
            found: [None; 2],
        }
    }

    /// Adds the tables of a plugin that works with this runtime.
    pub(super) fn add(&mut self, tables: Arc<Tables>) {
        self.tables.push(tables);
    }

    /// Restarts the comparison from the present counts. Returns how many crossings the hooks have missed so far; none
    /// if that can't be known.
    pub(super) fn start_anew(&mut self, pid: Pid) -> Option<u64> {
        let (runtime, crossings) = self.counts(pid)?;
        self.found = [None; 2];
        let before = self.before.take();
        self.set_before(runtime, &crossings);
        Some(runtime.saturating_sub(before?).saturating_sub(*crossings.end()))
    }

    /// Returns the runtime's count, and the hooks' counts just before and after that was read.
    fn counts(&self, pid: Pid) -> Option<(u64, RangeInclusive<u64>)> {
        let least = self.crossings();
        let runtime = self.counters?.read(pid)?;
        Some((runtime, least..=self.crossings()))
    }

    /// Sets `before` so that these counts are equal, as far as they are known.
    fn set_before(&mut self, runtime: u64, crossings: &RangeInclusive<u64>) {
        self.before = Some(runtime.saturating_sub(*crossings.end()));
        self.unsure = crossings.end() - crossings.start();
    }

    fn crossings(&self) -> u64 {
        self.tables.iter().map(|tables| tables.crossings()).sum()
    }

    /// Compares the counts, if it is time for that.
    pub(super) fn look(&mut self, pid: Pid, at: Monotonic) {
        if self.counters.is_none() || Instant::now() < self.due {
            return;
        }
        let start = own_time();
        if let Some((runtime, crossings)) = self.counts(pid) {
            if self.before.is_none() {
                self.set_before(runtime, &crossings);
            }
            let threads: u64 = self.tables.iter().map(|tables| tables.threads_in_use()).sum();
            let most = crossings.end() + self.unsure + threads;
            let counted = runtime.saturating_sub(self.before.unwrap_or(0));
            self.found = [difference(counted, *crossings.start()..=most, at), self.found[0]];
        }
        self.due = Instant::now() + (own_time() - start) * REST + Duration::from_millis(1);
    }

    /// Returns the note, for the end of the recording, on a difference that lasted.
    pub(super) fn note(&self, end: Monotonic) -> Option<String> {
        let [Some(last), Some(_)] = self.found else { return None };
        let before = end.0.saturating_sub(last.at.0) / 1_000_000;
        let of = self.of_library.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
        let why = "unless a note names a library whose crossings are not counted, please report it with the output of `cgoprof \
                   inspect`";
        Some(format!(
            "the Go runtime{of} had counted {} crossings {before} ms before the end, the hooks {}: this recording is not \
             complete; {why}",
            last.runtime, last.hooks
        ))
    }
}

/// Returns the difference of the counts, if there is one. `hooks` is a range, because the runtime counts a crossing
/// just before the hooks do, and both keep counting while they are read.
fn difference(runtime: u64, hooks: RangeInclusive<u64>, at: Monotonic) -> Option<Difference> {
    let nearest = if runtime < *hooks.start() { *hooks.start() } else { *hooks.end() };
    (!hooks.contains(&runtime)).then_some(Difference { runtime, hooks: nearest, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_differ_only_beyond_what_may_have_come_meanwhile() {
        let check = |runtime, hooks, expected: Option<u64>| {
            let found = difference(runtime, hooks, Monotonic(0));
            assert_eq!(found.map(|found| found.hooks), expected, "{runtime}");
        };
        check(100, 100..=103, None);
        check(103, 100..=103, None);
        check(104, 100..=103, Some(103));
        check(99, 100..=103, Some(100));
    }

    #[test]
    fn a_difference_that_does_not_last_is_not_told() {
        let mut check = SelfCheck::new(None, false);
        let one = Difference { runtime: 20, hooks: 0, at: Monotonic(1_000_000) };
        check.found = [Some(one), None];
        assert_eq!(check.note(Monotonic(5_000_000)), None);
        check.found = [Some(one), Some(one)];
        let note = check.note(Monotonic(5_000_000)).unwrap();
        assert!(note.contains("20 crossings 4 ms before the end, the hooks 0"), "{note}");
    }
}
