//! What a pattern matches in a tree.

use super::super::pattern::Pattern;
use crate::value::Value;

/// The matches among the nodes that have any of a value.
#[derive(Debug)]
pub(crate) struct Matches {
    pub(super) text: String,
    pub(super) value: Value,
    /// By rank.
    pub(super) functions: Vec<bool>,
    /// Of each node whether it is a match, or leads to one.
    pub(super) leads: Vec<bool>,
    pub(crate) count: usize,
    /// Of all matches, those below others not counted again.
    pub(crate) sum: f64,
}

impl Matches {
    pub(super) fn is_of(&self, pattern: &Pattern, value: Value) -> bool {
        self.text == pattern.text() && self.value == value
    }
}
