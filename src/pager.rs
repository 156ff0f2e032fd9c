//! Long output on a terminal, shown by a pager as git does.

use std::io::{IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

/// Writes a text to standard output; on a terminal through the pager of `CGOPROF_PAGER`, `PAGER`, or `less`.
///
/// # Errors
/// If standard output can't be written.
pub(crate) fn print(text: &str, paged: bool) -> std::io::Result<()> {
    if paged && std::io::stdout().is_terminal() && show(&pager(|name| std::env::var(name).ok()), text) {
        return Ok(());
    }
    std::io::stdout().write_all(text.as_bytes())
}

/// Returns the width of the terminal that is standard output, if it is one.
pub(crate) fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    // SAFETY: zeroes are a valid winsize, which the kernel fills (ioctl_tty(2)).
    let (known, size) = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) == 0, size)
    };
    (known && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Returns the shell's command line for the pager; empty for none.
fn pager(variable: impl Fn(&str) -> Option<String>) -> String {
    let chosen = variable("CGOPROF_PAGER").or_else(|| variable("PAGER"));
    chosen.map_or_else(|| "less".to_owned(), |chosen| if chosen.trim() == "cat" { String::new() } else { chosen })
}

/// Shows a text by a pager. Returns whether it was shown.
fn show(pager: &str, text: &str) -> bool {
    if pager.trim().is_empty() {
        return false;
    }
    let mut command = Command::new("sh");
    command.args(["-c", pager]).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Ends at once where all fits, shows bold heads, and leaves the text on the screen.
        command.env("LESS", "FRX");
    }
    let Ok(mut child) = command.spawn() else { return false };
    // The user may leave before all is read.
    let _ = child.stdin.take().map(|mut input| input.write_all(text.as_bytes()));
    /// Exit status of a shell that finds no such command.
    const NOT_FOUND: i32 = 127;
    child.wait().is_ok_and(|status| status.code() != Some(NOT_FOUND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pager_is_the_users() {
        let check = |set: &[(&str, &str)], expected: &str| {
            let variable = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(pager(variable), expected, "{set:?}");
        };
        check(&[], "less");
        check(&[("PAGER", "more -s")], "more -s");
        check(&[("PAGER", "more"), ("CGOPROF_PAGER", "less -S")], "less -S");
        check(&[("PAGER", "cat")], "");
        check(&[("PAGER", "more"), ("CGOPROF_PAGER", "")], "");
    }
}
