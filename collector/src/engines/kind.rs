//! Kinds of engines.

use std::fmt;

/// A way to count crossings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineKind {
    /// Hooks in the program.
    Trampoline,
    /// Breakpoints of the kernel.
    Uprobe,
    /// Samples alone.
    Sample,
}

impl EngineKind {
    /// All engines, the best first.
    pub const ALL: [EngineKind; 3] = [EngineKind::Trampoline, EngineKind::Uprobe, EngineKind::Sample];

    /// Returns its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Trampoline => "trampoline",
            EngineKind::Uprobe => "uprobe",
            EngineKind::Sample => "sample",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
