//! Files of `/proc` and tracefs that contain names of programs, threads or files.

use std::io;
use std::path::Path;

/// Reads such a file, and replaces bytes that are not UTF-8. Names are bytes of any kind, and the kernel cuts those of
/// threads at 15 bytes, even within a letter (`TASK_COMM_LEN`, include/linux/sched.h).
///
/// # Errors
/// If it can't be read.
pub(crate) fn read(path: impl AsRef<Path>) -> io::Result<String> {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
