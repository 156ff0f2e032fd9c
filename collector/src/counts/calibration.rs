//! What an engine itself costs.

/// Costs on this machine, in ticks of the engine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calibration {
    /// The hooks' share of an enter phase.
    pub enter: f64,
    /// Their share of a C phase.
    pub c: f64,
    /// Their share of an exit phase.
    pub exit: f64,
    /// What an untimed crossing costs the program.
    pub untimed_crossing: f64,
    /// What a timed crossing costs the program.
    pub timed_crossing: f64,
    /// One reading of the clock.
    pub clock_read: f64,
}
