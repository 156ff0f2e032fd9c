//! What the world outside is asked to do.

use super::super::effect::Effect;

/// What has been asked for, and whether somebody has asked to leave.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) effects: Vec<Effect>,
    pub(crate) leaving: Leaving,
}

/// Whether somebody has asked to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Leaving {
    #[default]
    No,
    /// What is to be written comes first.
    WhenWritten,
    Now,
}
