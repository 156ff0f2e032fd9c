//! The screens.

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Screen {
    /// C functions.
    #[default]
    Functions,
    /// Calls as a tree, from either side.
    Tree,
    /// The same as a flame graph.
    Flame,
    /// Threads in time.
    Timeline,
    /// Threads, goroutines, locks.
    Threads,
    /// Go functions that C calls.
    Callbacks,
    /// What could be done.
    Advice,
    /// One C function.
    Detail,
}

impl Screen {
    /// In the order of their keys.
    pub const ALL: [Screen; 8] = [
        Screen::Functions,
        Screen::Detail,
        Screen::Tree,
        Screen::Flame,
        Screen::Timeline,
        Screen::Threads,
        Screen::Callbacks,
        Screen::Advice,
    ];

    /// For the tabs.
    pub fn name(self) -> &'static str {
        match self {
            Screen::Functions => "Functions",
            Screen::Detail => "Detail",
            Screen::Tree => "Tree",
            Screen::Flame => "Flame",
            Screen::Timeline => "Timeline",
            Screen::Threads => "Threads",
            Screen::Callbacks => "Callbacks",
            Screen::Advice => "Advice",
        }
    }

    /// The one so many further on.
    pub(crate) fn beside(self, by: isize) -> Screen {
        let at = Screen::ALL.iter().position(|&screen| screen == self).unwrap_or(0) as isize;
        Screen::ALL[(at + by).rem_euclid(Screen::ALL.len() as isize) as usize]
    }
}
