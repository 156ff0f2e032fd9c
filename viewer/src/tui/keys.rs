//! What keys do: the one table that input, footer and help go by.

use ratatui::crossterm::event::KeyCode;

use super::screen::Screen;

/// A way to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Move {
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
}

/// What a key asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Quit,
    Help,
    Show(Screen),
    Beside(isize),
    Go(Move),
    Open,
    Back,
    Search,
    Match(isize),
    Sort(isize),
    Invert,
    Value,
    Part,
    Unfold,
    Zoom(isize),
    Whole,
    Mark,
    Copy,
    Export,
    Freeze,
    Reset,
    Window,
    Save,
}

/// When a key is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Where {
    Everywhere,
    /// On these screens.
    On(&'static [Screen]),
    /// While a program is watched.
    Live,
}

/// Keys that do the same.
pub(crate) struct Binding {
    codes: &'static [KeyCode],
    action: Action,
    place: Where,
    /// The keys, for people.
    pub(crate) keys: &'static str,
    /// What they do, for the help.
    pub(crate) text: &'static str,
    /// The same in a word for the footer, if it is to be there.
    pub(crate) brief: Option<&'static str>,
}

const TABLES: &[Screen] = &[Screen::Functions, Screen::Threads, Screen::Callbacks, Screen::Advice];
const TREES: &[Screen] = &[Screen::Tree, Screen::Flame];
const TREE: &[Screen] = &[Screen::Tree];
const TIMELINE: &[Screen] = &[Screen::Timeline];
const FLAME: &[Screen] = &[Screen::Flame];
const THREADS: &[Screen] = &[Screen::Threads];
const OPENED: &[Screen] = &[Screen::Functions, Screen::Advice, Screen::Timeline];

const fn bind(
    codes: &'static [KeyCode],
    action: Action,
    place: Where,
    keys: &'static str,
    text: &'static str,
    brief: Option<&'static str>,
) -> Binding {
    Binding { codes, action, place, keys, text, brief }
}

use Action as A;
use KeyCode as K;
use Where::{Everywhere, Live, On};

/// All of them, in the order of the help. A key's first binding that is there counts.
pub(crate) const BINDINGS: &[Binding] = &[
    bind(&[K::Enter], A::Open, On(OPENED), "Enter", "open the function in Detail", Some("open")),
    bind(&[K::Enter], A::Open, On(TREE), "Enter", "open or close what it calls", Some("open")),
    bind(&[K::Enter], A::Open, On(FLAME), "Enter", "zoom into the frame", Some("zoom")),
    bind(
        &[K::Char('<'), K::Left, K::Char('h')],
        A::Sort(-1),
        On(TABLES),
        "< \u{2190}",
        "sort by the previous column",
        None,
    ),
    bind(
        &[K::Char('>'), K::Right, K::Char('l')],
        A::Sort(1),
        On(TABLES),
        "> \u{2192}",
        "sort by the next column",
        Some("sort"),
    ),
    bind(&[K::Char('i')], A::Invert, On(TABLES), "i", "reverse the order", None),
    bind(&[K::Char('v')], A::Part, On(THREADS), "v", "next of threads, goroutines, locks", Some("next table")),
    bind(
        &[K::Char('i')],
        A::Invert,
        On(TREES),
        "i",
        "from Go's roots down, or from C up to its callers",
        Some("invert"),
    ),
    bind(&[K::Char('v')], A::Value, On(TREES), "v", "next of calls, total, C, overhead, blocked, CPU", Some("value")),
    bind(&[K::Char('*')], A::Unfold, On(TREE), "*", "open all below", Some("open all")),
    bind(&[K::Char('+'), K::Char('=')], A::Zoom(1), On(TIMELINE), "+", "zoom in at the cursor", Some("zoom")),
    bind(&[K::Char('-')], A::Zoom(-1), On(TIMELINE), "-", "zoom out", None),
    bind(&[K::Char('0')], A::Whole, On(TIMELINE), "0", "the whole time", None),
    bind(
        &[K::Char('m')],
        A::Mark,
        On(TIMELINE),
        "m",
        "mark the begin, then the end of a span of time; other screens then show only that",
        Some("mark span"),
    ),
    bind(&[K::Char('0')], A::Whole, On(FLAME), "0", "zoom all the way out", None),
    bind(&[K::Up, K::Char('k')], A::Go(Move::Up), Everywhere, "\u{2191} k", "up", None),
    bind(&[K::Down, K::Char('j')], A::Go(Move::Down), Everywhere, "\u{2193} j", "down", None),
    bind(
        &[K::Left, K::Char('h')],
        A::Go(Move::Left),
        Everywhere,
        "\u{2190} h",
        "left: close, previous sibling, earlier",
        None,
    ),
    bind(
        &[K::Right, K::Char('l')],
        A::Go(Move::Right),
        Everywhere,
        "\u{2192} l",
        "right: open, next sibling, later",
        None,
    ),
    bind(&[K::PageUp], A::Go(Move::PageUp), Everywhere, "PgUp", "a page up", None),
    bind(&[K::PageDown, K::Char(' ')], A::Go(Move::PageDown), Everywhere, "PgDn Space", "a page down", None),
    bind(&[K::Home, K::Char('g')], A::Go(Move::Home), Everywhere, "Home g", "to the start", None),
    bind(&[K::End, K::Char('G')], A::Go(Move::End), Everywhere, "End G", "to the end", None),
    bind(
        &[K::Char('/')],
        A::Search,
        Everywhere,
        "/",
        "filter or search as you type: a text or a regular expression",
        Some("search"),
    ),
    bind(&[K::Char('n')], A::Match(1), Everywhere, "n", "next match", None),
    bind(&[K::Char('N')], A::Match(-1), Everywhere, "N", "previous match", None),
    bind(&[K::Char('f')], A::Freeze, Live, "f", "freeze what is shown; recording goes on", Some("freeze")),
    bind(&[K::Char('z')], A::Reset, Live, "z", "count from now on", Some("zero")),
    bind(
        &[K::Char('t')],
        A::Window,
        Live,
        "t",
        "next of: since the start, the last 5, 10, 30, 60 seconds",
        Some("window"),
    ),
    bind(&[K::Char('w')], A::Save, Live, "w", "write the recording so far to a file", Some("save")),
    bind(
        &[K::Esc, K::Backspace],
        A::Back,
        Everywhere,
        "Esc",
        "back: leave Detail, a zoom, a filter, a span of time",
        None,
    ),
    bind(&[K::Char('y')], A::Copy, Everywhere, "y", "copy the name to the clipboard", None),
    bind(
        &[K::Char('e')],
        A::Export,
        Everywhere,
        "e",
        "write the table as CSV, or the zoomed flame graph as SVG",
        Some("export"),
    ),
    bind(&[K::Tab], A::Beside(1), Everywhere, "Tab", "next screen", None),
    bind(&[K::BackTab], A::Beside(-1), Everywhere, "Shift-Tab", "previous screen", None),
    bind(&[K::Char('1')], A::Show(Screen::Functions), Everywhere, "1 to 8", "a screen by its number", None),
    bind(&[K::Char('2')], A::Show(Screen::Detail), Everywhere, "", "", None),
    bind(&[K::Char('3')], A::Show(Screen::Tree), Everywhere, "", "", None),
    bind(&[K::Char('4')], A::Show(Screen::Flame), Everywhere, "", "", None),
    bind(&[K::Char('5')], A::Show(Screen::Timeline), Everywhere, "", "", None),
    bind(&[K::Char('6')], A::Show(Screen::Threads), Everywhere, "", "", None),
    bind(&[K::Char('7')], A::Show(Screen::Callbacks), Everywhere, "", "", None),
    bind(&[K::Char('8')], A::Show(Screen::Advice), Everywhere, "", "", None),
    bind(&[K::Char('?'), K::F(1)], A::Help, Everywhere, "?", "this help", Some("help")),
    bind(&[K::Char('q')], A::Quit, Everywhere, "q Ctrl-C", "quit", Some("quit")),
];

impl Binding {
    /// Whether it is there on a screen, of a program that is watched or not.
    pub(crate) fn is_there(&self, screen: Screen, live: bool) -> bool {
        match self.place {
            Everywhere => true,
            On(screens) => screens.contains(&screen),
            Live => live,
        }
    }
}

/// What a key asks for on a screen.
pub(crate) fn action(code: KeyCode, screen: Screen, live: bool) -> Option<Action> {
    let binding = BINDINGS.iter().find(|binding| binding.codes.contains(&code) && binding.is_there(screen, live));
    binding.map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_screen_has() {
        let check =
            |code, screen, live, expected| assert_eq!(action(code, screen, live), expected, "{code:?} {screen:?}");
        check(K::Left, Screen::Functions, false, Some(A::Sort(-1)));
        check(K::Left, Screen::Tree, false, Some(A::Go(Move::Left)));
        check(K::Char('i'), Screen::Flame, false, Some(A::Invert));
        check(K::Char('i'), Screen::Timeline, false, None);
        check(K::Char('f'), Screen::Timeline, true, Some(A::Freeze));
        check(K::Char('f'), Screen::Timeline, false, None);
        check(K::Char('5'), Screen::Advice, false, Some(A::Show(Screen::Timeline)));
    }

    #[test]
    fn screens_have_the_numbers_of_their_tabs() {
        for (at, screen) in Screen::ALL.into_iter().enumerate() {
            let number = K::Char(char::from(b'1' + at as u8));
            assert_eq!(action(number, Screen::Functions, false), Some(A::Show(screen)));
        }
    }

    #[test]
    fn no_key_of_a_screen_is_hidden_by_another() {
        for screen in Screen::ALL {
            for binding in BINDINGS.iter().filter(|binding| binding.is_there(screen, true)) {
                assert!(action(binding.codes[0], screen, true).is_some());
                let shown = action(binding.codes[0], screen, true) == Some(binding.action);
                assert!(shown || binding.place == Everywhere, "{} on {screen:?}", binding.keys);
            }
        }
    }
}
