//! Puts single events of perf and of an engine together: samples with crossings, context switches with slow events.

mod correlator;
mod every_wait;
mod nested;
pub(crate) mod offcpu;
pub(crate) mod pump;
#[cfg(test)]
mod replay;
pub(crate) mod samples;
mod sightings;
pub(crate) mod slow;
pub(crate) mod source;
pub(crate) mod threads;
pub(crate) mod timeline;
pub(crate) mod waits;
