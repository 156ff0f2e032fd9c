//! Long output on a terminal, shown by a pager as git does.

use std::io::{IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use nix::sys::signal::{SigHandler, Signal, signal};

/// Writes a text to standard output; on a terminal through the pager of `CGOPROF_PAGER`, `PAGER`, or `less`.
///
/// # Errors
/// If standard output can't be written.
pub(crate) fn print(text: &str, paged: bool) -> std::io::Result<()> {
    if paged
        && std::io::stdout().is_terminal()
        && pager(|name| std::env::var(name).ok(), is_there("less")).is_some_and(|pager| show(&pager, text))
    {
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

/// Why `--no-pager` is refused beside other formats.
pub(crate) const ONLY_TEXT: &str = "--no-pager is for text: other formats never go through a pager";

/// Whether heads may be bold: on a terminal that wants colours, by a pager that was not told otherwise.
pub(crate) fn shows_bold() -> bool {
    let is_set = |name| std::env::var_os(name).is_some();
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_set("LESS")
}

/// Returns the shell's command line for the pager; none where there is none. `has_less` tells whether the usual one is there.
fn pager(variable: impl Fn(&str) -> Option<String>, has_less: bool) -> Option<String> {
    let chosen = variable("CGOPROF_PAGER").or_else(|| variable("PAGER"));
    let chosen = chosen.or_else(|| has_less.then(|| "less".to_owned()))?;
    Some(chosen).filter(|chosen| !matches!(chosen.trim(), "" | "cat"))
}

/// Whether there is a program of this name.
fn is_there(name: &str) -> bool {
    let search = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&search).any(|folder| folder.join(name).is_file())
}

/// Shows a text by a pager. Returns whether it was shown.
fn show(pager: &str, text: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", pager]).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Ends at once where all fits, shows bold heads, and leaves the text on the screen.
        command.env("LESS", "FRX");
    }
    let Ok(mut child) = command.spawn() else { return false };
    // Ctrl-C and Ctrl-\ are the pager's: it goes on, and the terminal is its own until it ends.
    let keys = [Signal::SIGINT, Signal::SIGQUIT];
    // SAFETY: to ignore a signal needs no handler.
    let before = keys.map(|key| unsafe { signal(key, SigHandler::SigIgn) });
    // The user may leave before all is read.
    let _ = child.stdin.take().map(|mut input| input.write_all(text.as_bytes()));
    let ended = child.wait();
    for (key, before) in keys.into_iter().zip(before) {
        // SAFETY: this was the disposition before.
        let _ = before.map(|before| unsafe { signal(key, before) });
    }
    /// Exit statuses of a shell that can't execute the command, finds none, or does not understand it.
    const NOT_SHOWN: [i32; 3] = [2, 126, 127];
    ended.is_ok_and(|status| !status.code().is_some_and(|code| NOT_SHOWN.contains(&code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pager_is_the_users() {
        let check = |set: &[(&str, &str)], has_less, expected: Option<&str>| {
            let variable = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(pager(variable, has_less).as_deref(), expected, "{set:?}");
        };
        check(&[], true, Some("less"));
        check(&[], false, None);
        check(&[("PAGER", "more -s")], false, Some("more -s"));
        check(&[("PAGER", "more"), ("CGOPROF_PAGER", "less -S")], true, Some("less -S"));
        check(&[("PAGER", "cat")], true, None);
        check(&[("PAGER", "more"), ("CGOPROF_PAGER", "")], true, None);
    }
}
