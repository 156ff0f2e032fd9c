//! Messages of cgoprof itself, on stderr.

use std::fmt::Display;
use std::io::Write as _;

/// Prints a message. Errors are ignored, because a broken pipe must not change the program's exit status.
pub(crate) fn say(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "cgoprof: {message}");
}
