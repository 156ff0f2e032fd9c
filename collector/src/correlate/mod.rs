//! From single events of perf and of an engine to what belongs together: samples to crossings, switches to what was slow.

mod correlator;
mod nested;
pub(crate) mod offcpu;
pub(crate) mod pump;
#[cfg(test)]
mod replay;
pub(crate) mod samples;
pub(crate) mod slow;
pub(crate) mod source;
pub(crate) mod threads;
pub(crate) mod timeline;
