//! What cgoprof says about itself, on stderr.

use std::fmt::Display;
use std::io::Write as _;

/// Says it, unless nobody listens any more: a broken pipe must not change the program's exit status.
pub(crate) fn say(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "cgoprof: {message}");
}
