//! The sets of labels of a timeline's crossings.

use std::collections::HashMap;
use std::sync::Arc;

use crate::counts::cell_id::CellId;
use crate::counts::label_looks::LabelLooks;
use crate::goruntime::labels::Labels;

/// Sets that crossings refer to, each once.
pub(super) struct LabelSets<'a> {
    looks: Option<&'a LabelLooks>,
    all: Vec<Labels>,
    /// By the address of a set: each set is in memory once.
    indices: HashMap<*const Labels, u32>,
}

impl<'a> LabelSets<'a> {
    /// Without `looks` no crossing has labels.
    pub(super) fn new(looks: Option<&'a LabelLooks>) -> LabelSets<'a> {
        LabelSets { looks, all: Vec::new(), indices: HashMap::new() }
    }

    /// Returns the index of the labels that a crossing had, which was in C between two times, in ticks.
    pub(super) fn of(&mut self, tid: u64, cell: CellId, from: u64, to: u64) -> Option<u32> {
        let labels = self.looks?.of(tid, cell, from, to)?;
        let index = self.indices.entry(Arc::as_ptr(labels)).or_insert_with(|| {
            self.all.push((**labels).clone());
            self.all.len() as u32 - 1
        });
        Some(*index)
    }

    /// Returns the sets, in the order of their indices.
    pub(super) fn into_sets(self) -> Vec<Labels> {
        self.all
    }
}
