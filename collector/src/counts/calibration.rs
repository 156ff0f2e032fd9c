//! Cost of an engine's own work.

/// Costs on this machine, in ticks of the engine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calibration {
    /// The hooks' share of an enter phase.
    pub enter: f64,
    /// The hooks' share of a C phase.
    pub c: f64,
    /// The hooks' share of an exit phase.
    pub exit: f64,
    /// Cost of an untimed crossing to the program.
    pub untimed_crossing: f64,
    /// Cost of a timed crossing to the program.
    pub timed_crossing: f64,
    /// One reading of the clock.
    pub clock_read: f64,
}
