//! From a profile to eyes: analysis, reports and flame graphs. No operating system here.

pub mod advice;
pub mod analysis;
pub mod flamegraph;
pub mod report;
pub mod scheduler;
pub mod units;
