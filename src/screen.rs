//! The terminal for interactive screens, and the signals that ask to leave them.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::bail;
use cgoprof_viewer::tui::Files;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Opens the terminal that cgoprof was started on.
///
/// # Errors
/// If there is none.
pub(crate) fn open() -> anyhow::Result<File> {
    if !std::io::stdout().is_terminal() {
        bail!(
            "this needs a terminal, and the output is none; for a file or a pipe: cgoprof report, cgoprof flamegraph"
        );
    }
    match File::options().read(true).write(true).open("/dev/tty") {
        Ok(file) => Ok(file),
        Err(error) => bail!("this needs a terminal: /dev/tty: {error}"),
    }
}

/// Signals that ask to leave the screens. Keys come through the terminal.
pub(crate) struct Orders {
    file: SignalFd,
    /// The signal mask before the block.
    pub(crate) mask_before: SigSet,
}

impl Orders {
    /// Blocks the signals in this thread and in those that it starts, so that they don't end cgoprof at once.
    pub(crate) fn listen() -> nix::Result<Orders> {
        let mut set = SigSet::empty();
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT]
            .into_iter()
            .for_each(|signal| set.add(signal));
        let mask_before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Orders { file: SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?, mask_before })
    }

    /// Whether a signal has come.
    pub(crate) fn are_to_leave(&self) -> bool {
        matches!(self.file.read_signal(), Ok(Some(_)))
    }
}

/// Source files of the program, as far as they are on this machine.
pub(crate) struct Sources;

/// Folders with files of the kernel's.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Maximum bytes of a source file.
const LARGEST: u64 = 16 << 20;

impl Files for Sources {
    fn lines(&self, path: &str) -> Option<Vec<String>> {
        // A profile may name anything, and reading some files never ends.
        let path = std::fs::canonicalize(path).ok()?;
        if KERNEL.iter().any(|folder| path.starts_with(folder)) {
            return None;
        }
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        if length == 0 || length > LARGEST {
            return None;
        }
        let mut text = Vec::with_capacity(length as usize);
        file.take(LARGEST).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_files_of_text_is_a_source() {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/src/screen.rs");
        assert!(Sources.lines(own).is_some_and(|lines| lines.len() > 10));
        // Reading some of these never ends, or waits.
        for path in
            ["/dev/zero", "/proc/kmsg", "//proc/self/status", "/sys/kernel/tracing/trace_pipe", "/", "", "nowhere"]
        {
            assert_eq!(Sources.lines(path), None, "{path}");
        }
    }
}
