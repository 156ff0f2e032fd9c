//! From a profile to eyes: analysis, reports, flame graphs and the terminal UI. No operating system here, but for the
//! terminal.

pub mod advice;
pub mod analysis;
pub mod benchmark;
pub mod blocked;
mod comma_separated;
pub mod cpu_split;
pub mod diff;
pub mod export;
pub mod measured;
mod numbered;
pub mod oversubscription;
pub mod page;
pub mod paths;
pub mod programs;
pub mod report;
pub mod scheduler;
pub mod slowest;
pub mod stat;
pub mod tables;
mod text_width;
pub mod tui;
pub mod units;
pub mod value;
mod waits;
