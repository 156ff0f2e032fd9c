//! Single events from the hooks. The ticker takes them out of the tables, and they are kept until the pump takes them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::table_set::TableSet;
use crate::clock::{Monotonic, Rate};
use crate::correlate::source::Source;
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::SlowEvent;
use crate::counts::snapshot::InCSnapshot;

/// Events shared by the ticker, which adds them, and the thread that takes them out.
#[derive(Clone)]
pub(super) struct HookEvents {
    /// Slow crossings as they come from the tables.
    slow: Arc<Mutex<Vec<SlowEvent>>>,
    /// Looks at the threads in C.
    looks: Arc<Mutex<Vec<InCSnapshot>>>,
    /// Ticks in suspicious crossings in which the threads were not preempted, by cell.
    confirmed: Arc<Mutex<HashMap<CellId, f64>>>,
    tables: TableSet,
}

impl HookEvents {
    pub(super) fn new(tables: TableSet) -> HookEvents {
        let (slow, looks, confirmed) = (Arc::default(), Arc::default(), Arc::default());
        HookEvents { slow, looks, confirmed, tables }
    }

    /// Returns the slow crossings, in the order in which they were found.
    pub(super) fn slow(&self) -> MutexGuard<'_, Vec<SlowEvent>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the looks, in the order in which they were taken.
    pub(super) fn looks(&self) -> MutexGuard<'_, Vec<InCSnapshot>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the confirmed ticks of suspicious crossings, by cell.
    pub(super) fn confirmed(&self) -> MutexGuard<'_, HashMap<CellId, f64>> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for HookEvents {
    fn take_slow_events(&mut self) -> Vec<SlowEvent> {
        std::mem::take(&mut *self.slow())
    }

    fn take_looks(&mut self, _: Monotonic) -> Vec<InCSnapshot> {
        std::mem::take(&mut *self.looks())
    }

    fn in_c_since(&self, tid: u64, time: Monotonic, rate: Rate) -> Option<CellId> {
        self.tables.in_c_since(tid, rate.ticks(time))
    }

    fn in_c(&self) -> HashMap<u64, CellId> {
        self.tables.in_c()
    }

    fn confirm(&mut self, confirmed: HashMap<CellId, f64>) {
        let mut all = self.confirmed();
        for (cell, ticks) in confirmed {
            *all.entry(cell).or_default() += ticks;
        }
    }
}
