//! In which direction a tree grows.

/// Direction in which a tree grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Direction {
    /// From the functions that goroutines began with.
    #[default]
    Down,
    /// From C functions, or what they called, to their callers.
    Up,
}
