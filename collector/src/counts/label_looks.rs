//! Labels of goroutines that were found in C.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use super::cell_id::CellId;
use crate::goruntime::labels::Labels;

/// Maximum looks that are kept of a thread.
const MOST_OF_THREAD: usize = 20_000;
/// Maximum looks that are kept of all threads.
const MOST_LOOKS: usize = 500_000;
/// Maximum different sets that are kept.
const MOST_SETS: usize = 100_000;

/// The looks, which another thread adds to.
pub(crate) type SharedLooks = Arc<Mutex<LabelLooks>>;

/// Results of looks at threads in C.
#[derive(Debug, Default)]
pub(crate) struct LabelLooks {
    by_thread: HashMap<u64, VecDeque<Look<Arc<Labels>>>>,
    /// Number of looks.
    count: usize,
    /// Each set of labels once.
    sets: HashSet<Arc<Labels>>,
}

/// Result of a look at a thread in a crossing.
#[derive(Debug)]
pub(crate) struct Look<L> {
    pub(crate) cell: CellId,
    /// End of the coarse tick in which the crossing was entered, in ticks of the counter.
    pub(crate) entered_by: u64,
    /// Time of the look, in ticks of the counter.
    pub(crate) at: u64,
    pub(crate) labels: L,
}

impl LabelLooks {
    /// Adds a look at a thread. Those at one thread come in the order of time.
    pub(crate) fn add(&mut self, tid: u64, look: Look<Labels>) {
        let Look { cell, entered_by, at, labels } = look;
        if self.count >= MOST_LOOKS || self.sets.len() >= MOST_SETS {
            self.forget_half();
        }
        let labels = match self.sets.get(&labels) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::new(labels);
                self.sets.insert(Arc::clone(&new));
                new
            }
        };
        let looks = self.by_thread.entry(tid).or_default();
        if looks.len() >= MOST_OF_THREAD {
            looks.pop_front();
            self.count -= 1;
        }
        looks.push_back(Look { cell, entered_by, at, labels });
        self.count += 1;
    }

    /// Drops the older half of each thread's looks, and sets that only those had.
    fn forget_half(&mut self) {
        self.by_thread.retain(|_, looks| {
            looks.drain(..looks.len().div_ceil(2));
            !looks.is_empty()
        });
        self.count = self.by_thread.values().map(VecDeque::len).sum();
        self.sets.retain(|set| Arc::strong_count(set) > 1);
    }

    /// Returns the labels of the crossing of a cell in which a thread was between two times, in ticks, if a look found it.
    ///
    /// Where `from` is an estimate, it lies in the coarse tick in which the crossing was entered. So an earlier crossing of
    /// the cell, which was looked at after a whole tick, was entered before `from`, though the look itself may come after it.
    pub(crate) fn of(&self, tid: u64, cell: CellId, from: u64, to: u64) -> Option<&Arc<Labels>> {
        let looks = self.by_thread.get(&tid)?;
        let first = looks.partition_point(|look| look.at < from);
        let within = looks.iter().skip(first).take_while(|look| look.at <= to);
        let its = within.filter(|look| look.cell == cell && look.entered_by >= from);
        its.map(|look| &look.labels).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_the_latest_looks_are_kept() {
        let mut looks = LabelLooks::default();
        for at in 0..MOST_LOOKS as u64 + 1000 {
            let labels = vec![("request".to_owned(), at.to_string())];
            looks.add(at % 1000, Look { cell: CellId(7), entered_by: at, at, labels });
        }
        let last = MOST_LOOKS as u64 + 999;
        assert!(looks.count <= MOST_LOOKS && looks.sets.len() <= MOST_SETS);
        assert!(looks.of(last % 1000, CellId(7), last, last).is_some() && looks.of(0, CellId(7), 0, 0).is_none());
        assert_eq!(looks.count, looks.by_thread.values().map(VecDeque::len).sum::<usize>());
    }

    #[test]
    fn a_look_within_a_crossing_tells_its_labels() {
        let mut looks = LabelLooks::default();
        let labels = |value: &str| vec![("request".to_owned(), value.to_owned())];
        let mut add = |tid, cell, at, value| {
            looks.add(tid, Look { cell: CellId(cell), entered_by: at - 5, at, labels: labels(value) });
        };
        add(1, 7, 100, "a");
        add(1, 7, 200, "b");
        add(1, 8, 210, "inner");
        add(2, 7, 150, "other");
        let of = |tid, cell, from, to| looks.of(tid, CellId(cell), from, to).map(|labels| labels[0].1.as_str());
        assert_eq!(of(1, 7, 90, 110), Some("a"));
        assert_eq!(of(1, 7, 190, 300), Some("b"));
        assert_eq!(of(1, 8, 190, 300), Some("inner"));
        assert_eq!(of(2, 7, 100, 200), Some("other"));
        assert_eq!((of(1, 7, 101, 199), of(3, 7, 0, 1000)), (None, None));
        // The look at 100 was at a crossing that had been entered by 95: the one from about 98 on is the next.
        assert_eq!(of(1, 7, 98, 120), None);
    }
}
