//! What the hooks tell of single events: taken out of the tables by the ticker, and kept until it is put together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::table_set::TableSet;
use crate::clock::{Monotonic, Rate};
use crate::correlate::source::Source;
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::SlowEvent;
use crate::counts::snapshot::Look;

/// Shared by the ticker, which puts events in, and the thread that takes them out.
#[derive(Clone)]
pub(super) struct HookEvents {
    /// Slow crossings as they come from the tables.
    slow: Arc<Mutex<Vec<SlowEvent>>>,
    /// Looks at who is in C.
    looks: Arc<Mutex<Vec<Look>>>,
    /// By cell, the ticks in suspicious crossings in which their threads were not preempted.
    confirmed: Arc<Mutex<HashMap<CellId, f64>>>,
    tables: TableSet,
}

impl HookEvents {
    pub(super) fn new(tables: TableSet) -> HookEvents {
        let (slow, looks, confirmed) = (Arc::default(), Arc::default(), Arc::default());
        HookEvents { slow, looks, confirmed, tables }
    }

    /// Slow crossings, in the order in which they were found.
    pub(super) fn slow(&self) -> MutexGuard<'_, Vec<SlowEvent>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks, in the order in which they were taken.
    pub(super) fn looks(&self) -> MutexGuard<'_, Vec<Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is confirmed of suspicious crossings.
    pub(super) fn confirmed(&self) -> MutexGuard<'_, HashMap<CellId, f64>> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for HookEvents {
    fn take_slow_events(&mut self) -> Vec<SlowEvent> {
        std::mem::take(&mut *self.slow())
    }

    fn take_looks(&mut self, _: Monotonic) -> Vec<Look> {
        std::mem::take(&mut *self.looks())
    }

    fn in_c_since(&self, tid: u64, time: Monotonic, rate: Rate) -> Option<CellId> {
        self.tables.in_c_since(tid, rate.ticks(time))
    }

    fn confirm(&mut self, confirmed: HashMap<CellId, f64>) {
        let mut all = self.confirmed();
        for (cell, ticks) in confirmed {
            *all.entry(cell).or_default() += ticks;
        }
    }
}
