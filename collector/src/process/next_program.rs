//! The program that a stopped thread is about to execute.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::memory;
use crate::arch::Registers;

/// Returns a path to the file that a thread is about to execute, which stands at the start or the end of a system call; none if
/// that is another call, or its end.
pub(super) fn file(task: Pid) -> Option<PathBuf> {
    let registers = Registers::read(task).ok()?;
    // The kernel puts that there before the call has a result (arch/x86/entry/entry_64.S).
    if registers.result() != -i64::from(libc::ENOSYS) {
        return None;
    }
    let [first, second, _, _, fifth, _] = registers.arguments();
    match registers.system_call()? {
        libc::SYS_execve => Some(seen_by(task, "cwd".as_ref(), &string(task, first)?)),
        libc::SYS_execveat => {
            let folder = match first as i32 {
                libc::AT_FDCWD => PathBuf::from("cwd"),
                descriptor => PathBuf::from(format!("fd/{descriptor}")),
            };
            let path = string(task, second)?;
            let is_folder = path.as_os_str().is_empty() && fifth & libc::AT_EMPTY_PATH as u64 != 0;
            Some(if is_folder { in_proc(task).join(folder) } else { seen_by(task, &folder, &path) })
        }
        _ => None,
    }
}

/// Returns the path by which we see a file that a process knows by this path.
fn seen_by(task: Pid, folder: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(path) => in_proc(task).join("root").join(path),
        Err(_) => in_proc(task).join(folder).join(path),
    }
}

fn in_proc(task: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{task}"))
}

/// Reads a path, which ends with a zero byte.
fn string(task: Pid, at: u64) -> Option<PathBuf> {
    let mut found = Vec::new();
    while found.len() < libc::PATH_MAX as usize {
        let from = at.checked_add(found.len() as u64)?;
        // What follows on the next page may not be there.
        let mut piece = vec![0; PAGE - (from as usize % PAGE)];
        let length = memory::read(task, Avma(from), &mut piece).filter(|&length| length > 0)?;
        piece.truncate(length);
        if let Some(end) = memchr::memchr(0, &piece) {
            found.extend(&piece[..end]);
            return Some(OsString::from_vec(found).into());
        }
        found.extend(piece);
    }
    None
}

/// Bytes of a page.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_the_kernel_reads_them() {
        let own = |text: &[u8]| string(Pid::this(), text.as_ptr() as u64);
        assert_eq!(own(b"/bin/true\0more"), Some("/bin/true".into()));
        assert_eq!(own(b"\0"), Some("".into()));
        let long = [vec![b'a'; 4095], vec![0]].concat();
        assert_eq!(own(&long).map(|path| path.as_os_str().len()), Some(4095));
        assert_eq!(own(&[vec![b'a'; 3 * PAGE], vec![0]].concat()), None);
        assert_eq!(string(Pid::this(), 16), None);
    }

    #[test]
    fn a_path_is_seen_from_the_processs_own_places() {
        let task = Pid::from_raw(7);
        assert_eq!(seen_by(task, "cwd".as_ref(), "/bin/id".as_ref()), Path::new("/proc/7/root/bin/id"));
        assert_eq!(seen_by(task, "cwd".as_ref(), "bin/id".as_ref()), Path::new("/proc/7/cwd/bin/id"));
        assert_eq!(seen_by(task, "fd/3".as_ref(), "id".as_ref()), Path::new("/proc/7/fd/3/id"));
    }
}
