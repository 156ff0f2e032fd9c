//! Looks at the labels of goroutines that have been in C for a while.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::tables::{LongInC, Tables};
use crate::arch;
use crate::clock::{own_time, ticks};
use crate::counts::label_looks::{Look, SharedLooks};
use crate::goruntime::Target;
use crate::goruntime::labels::read_labels;
use crate::process::memory::Memory;

/// Pause between two looks, as a multiple of the processor time that a look takes.
const REST: u32 = 100;

/// Reads labels from the program's memory. While a goroutine is in C, nobody changes its labels, and they can't be freed.
pub(super) struct LabelReader {
    memory: Memory,
    /// Offset of `m.curg`.
    m_curg: u64,
    /// Offset of `g.labels`.
    g_labels: u64,
    /// Of the Go release.
    minor: u32,
    /// The crossings of the last look, by thread.
    seen: HashMap<u64, LongInC>,
    due: Instant,
    looks: SharedLooks,
}

impl LabelReader {
    /// Returns a reader of a process; none if its memory can't be read, or the Go release is not known.
    pub(super) fn of(pid: Pid, target: &Target<'_>) -> Option<LabelReader> {
        let offsets = arch::sample_plan(target).offsets?;
        Some(LabelReader {
            memory: Memory::open(pid).ok()?,
            m_curg: offsets.m_curg.into(),
            g_labels: offsets.g_labels.into(),
            minor: target.build.version?.minor,
            seen: HashMap::new(),
            due: Instant::now(),
            looks: Arc::default(),
        })
    }

    /// Returns what it finds, now and later.
    pub(super) fn looks(&self) -> SharedLooks {
        Arc::clone(&self.looks)
    }

    /// Looks at those threads that have been in a crossing since before the last tick, if it is time to. Returns the processor
    /// time that this took.
    pub(super) fn look(&mut self, tables: &Tables) -> Duration {
        let now = Instant::now();
        if now < self.due {
            return Duration::ZERO;
        }
        let before = own_time();
        let found: HashMap<u64, LongInC> = tables.long_in_c().map(|one| (one.tid, one)).collect();
        let is_new = |one: &&LongInC| self.seen.get(&one.tid).is_none_or(|seen| !seen.is_same(one));
        let new: Vec<LongInC> = found.values().filter(is_new).copied().collect();
        self.seen = found;
        if !new.is_empty() {
            self.read(tables, &new);
        }
        let cost = own_time() - before;
        self.due = now + REST * cost;
        cost
    }

    fn read(&self, tables: &Tables, found: &[LongInC]) {
        let gs = self.memory.words::<1>(found.iter().map(|one| one.m + self.m_curg));
        let g_of = |[g]: &[u64; 1]| if *g == 0 { 0 } else { *g + self.g_labels };
        let labels = self.memory.words::<1>(gs.iter().map(g_of));
        for (one, [at]) in found.iter().zip(labels).filter(|(_, [at])| *at != 0) {
            let read = |at, length| self.memory.read(at, length).ok();
            let Some(labels) = read_labels(read, Avma(at), self.minor) else { continue };
            let now = ticks();
            if tables.is_still(one) && !labels.is_empty() {
                let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
                looks.add(one.tid, Look { cell: one.cell, entered_by: one.entered_by, at: now, labels });
            }
        }
    }
}
