//! The tables of all Go modules that have hooks: one profile is made of them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use nix::unistd::Pid;

use super::policy::{Budget, Outliers};
use super::tables::{MOST_MODULES, Tables};
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::SlowEvent;
use crate::counts::snapshot::{BirthCopy, GoroutineCopy, InCSnapshot, Snapshot};

/// Tables in the order in which their modules got hooks; shared by the threads of a recorder.
#[derive(Clone)]
pub(crate) struct TableSet(Arc<RwLock<Vec<OfModule>>>);

#[derive(Clone)]
struct OfModule {
    tables: Arc<Tables>,
    /// Number of the module that contains the runtime with which this module works.
    runtime: usize,
}

impl TableSet {
    /// Creates a set with the tables of the first module.
    pub(crate) fn of(first: Tables) -> TableSet {
        TableSet(Arc::new(RwLock::new(vec![OfModule { tables: Arc::new(first), runtime: 0 }])))
    }

    /// Adds another module's tables and returns them; none if there are too many. A plugin works with the first
    /// module's runtime.
    pub(crate) fn add(&self, tables: Tables, is_plugin: bool) -> Option<Arc<Tables>> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        (all.len() < MOST_MODULES).then(|| {
            let tables = Arc::new(tables.numbered(all.len()));
            let runtime = if is_plugin { 0 } else { all.len() };
            all.push(OfModule { tables: Arc::clone(&tables), runtime });
            tables
        })
    }

    /// Returns the tables of all modules.
    pub(crate) fn all(&self) -> Vec<Arc<Tables>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|module| Arc::clone(&module.tables)).collect()
    }

    /// Returns the tables of the first module.
    pub(crate) fn first(&self) -> Arc<Tables> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)[0].tables)
    }

    /// See [`Tables::tick`].
    pub(crate) fn tick(&self, now: u64) {
        self.each(|tables| tables.tick(now));
    }

    /// See [`Tables::note_locked`].
    pub(crate) fn note_locked(&self, locked: u64) {
        self.each(|tables| tables.note_locked(locked));
    }

    /// Number of cells so far whose C function is not in their module's own file.
    pub(crate) fn foreign_cells(&self) -> u64 {
        self.all().iter().map(|tables| tables.foreign_cells()).sum()
    }

    /// See [`Tables::read_events`].
    pub(crate) fn read_events(&self, mut visit: impl FnMut(SlowEvent)) {
        self.each(|tables| tables.read_events(&mut visit));
    }

    /// See [`Tables::read_births`].
    pub(crate) fn read_births(&self, mut visit: impl FnMut(BirthCopy)) {
        self.each(|tables| tables.read_births(&mut visit));
    }

    /// See [`Tables::apply_policy`].
    pub(crate) fn apply_policy(&self, microsecond: f64, budget: Budget, outliers: impl Fn(CellId) -> Outliers) {
        self.each(|tables| tables.apply_policy(microsecond, budget, &outliers));
    }

    /// See [`Tables::release_ended`].
    pub(crate) fn release_ended(&self, pid: Pid) {
        self.each(|tables| tables.release_ended(pid));
    }

    /// See [`Tables::end_locks`].
    pub(crate) fn end_locks(&self, now: u64) {
        self.each(|tables| tables.end_locks(now));
    }

    /// Number of threads that are in C.
    pub(crate) fn in_c_count(&self) -> usize {
        match &self.all()[..] {
            [only] => only.in_c().count(),
            _ => self.look(0).in_c.len(),
        }
    }

    /// Returns the threads that are in C, with their crossings. For a thread that is in C in several modules, it is the
    /// crossing of the last module.
    pub(crate) fn look(&self, now: u64) -> InCSnapshot {
        match &self.all()[..] {
            [only] => only.look(now),
            all => {
                let in_c: HashMap<u64, CellId> = all.iter().flat_map(|tables| tables.in_c()).collect();
                InCSnapshot { at: now, in_c: in_c.into_iter().collect() }
            }
        }
    }

    /// See [`Tables::in_c_since`]. Of several modules' crossings, returns the one that began last.
    pub(crate) fn in_c_since(&self, tid: u64, at: u64) -> Option<CellId> {
        let found =
            self.all().iter().filter_map(|tables| tables.in_c_since(tid, at)).max_by_key(|&(entered, _)| entered);
        found.map(|(_, cell)| cell)
    }

    /// Returns the threads that are in C, each with its crossing.
    pub(crate) fn in_c(&self) -> HashMap<u64, CellId> {
        self.all().iter().flat_map(|tables| tables.in_c().collect::<Vec<_>>()).collect()
    }

    /// See [`Tables::snapshot`].
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut goroutines: HashMap<(usize, u64), GoroutineCopy> = HashMap::new();
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        for OfModule { tables, runtime } in all {
            let mut of_module = tables.snapshot();
            for goroutine in of_module.goroutines.drain(..) {
                let key = (runtime, goroutine.goid);
                goroutines.entry(key).and_modify(|known| known.merge(&goroutine)).or_insert(goroutine);
            }
            snapshot.append(of_module);
        }
        snapshot.goroutines = goroutines.into_values().collect();
        snapshot
    }

    fn each(&self, visit: impl FnMut(&Tables)) {
        self.all().iter().map(Arc::as_ref).for_each(visit);
    }
}
