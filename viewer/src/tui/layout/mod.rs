//! What is on the screen and where, computed from the state: views draw it, keys and clicks go by it.

pub(crate) mod areas;
pub(crate) mod columns;
pub(crate) mod detail;
pub(crate) mod help;
mod histogram;
