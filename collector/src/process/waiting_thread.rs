//! Where a thread waits in the kernel: `/proc/PID/task/TID/syscall` (fs/proc/base.c, `proc_pid_syscall`), and its stack,
//! which does not move meanwhile.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::memory;

/// A thread that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaitingThread {
    /// Number of the system call that it waits in; none if it waits in none: for a page of a file, or a stopped signal.
    pub(crate) call: Option<u64>,
    /// The call's arguments; 0 without one.
    arguments: [u64; 6],
    /// Its stack pointer.
    pub(crate) sp: Avma,
    /// The instruction after the call, or the one that needs the page.
    pub(crate) ip: Avma,
}

/// The threads of a process. The files of those that were looked at stay open: to open one takes longer than to read it.
pub(crate) struct WaitingThreads {
    pid: Pid,
    files: HashMap<u64, File>,
}

/// Maximum files that stay open.
const MOST_FILES: usize = 64;
/// Maximum bytes of what the kernel writes: nine numbers.
const LONGEST: usize = 256;

impl WaitingThreads {
    pub(crate) fn of(pid: Pid) -> WaitingThreads {
        WaitingThreads { pid, files: HashMap::new() }
    }

    /// Returns where a thread waits; none if it runs, has ended, or may not be read.
    pub(crate) fn look(&mut self, tid: u64) -> Option<WaitingThread> {
        if !self.files.contains_key(&tid) {
            if self.files.len() >= MOST_FILES {
                self.files.clear();
            }
            let file = File::open(format!("/proc/{}/task/{tid}/syscall", self.pid)).ok()?;
            self.files.insert(tid, file);
        }
        let mut text = [0; LONGEST];
        match self.files[&tid].read_at(&mut text, 0) {
            Ok(read) => parse(std::str::from_utf8(&text[..read]).ok()?),
            // The thread has ended, and its number may be another's.
            Err(_) => {
                self.files.remove(&tid);
                None
            }
        }
    }

    /// Returns a copy of the stack of a thread that was seen to wait, at most so many bytes; none if it has gone on
    /// meanwhile.
    pub(crate) fn stack(&mut self, tid: u64, waits: &WaitingThread, most: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; most];
        let read = memory::read(Pid::from_raw(i32::try_from(tid).ok()?), waits.sp, &mut bytes)?;
        bytes.truncate(read);
        (self.look(tid).as_ref() == Some(waits)).then_some(bytes)
    }
}

pub(super) fn parse(text: &str) -> Option<WaitingThread> {
    let mut words = text.split_whitespace();
    let number: i64 = words.next()?.parse().ok()?;
    let hex = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let call = u64::try_from(number).ok();
    let mut arguments = [0; 6];
    if call.is_some() {
        for argument in &mut arguments {
            *argument = hex(words.next()?)?;
        }
    }
    let (sp, ip) = (Avma(hex(words.next()?)?), Avma(hex(words.next()?)?));
    words.next().is_none().then_some(WaitingThread { call, arguments, sp, ip })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_the_kernel_writes() {
        let found = parse("202 0x7f00 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd00000010 0x7f0000001234\n");
        let found = found.expect("a thread that waits");
        assert_eq!((found.call, found.sp, found.ip), (Some(202), Avma(0x7ffd_0000_0010), Avma(0x7f00_0000_1234)));
        assert_eq!(found.arguments, [0x7f00, 0x189, 0, 0, 0, 0xffff_ffff]);
        let found = parse("-1 0x7ffd00000010 0x7f0000001234\n").expect("a thread that waits for a page");
        assert_eq!((found.call, found.sp, found.ip), (None, Avma(0x7ffd_0000_0010), Avma(0x7f00_0000_1234)));
        for text in ["running\n", "", "202 0x1\n", "-1 0x1 0x2 0x3\n", "202 1 2 3 4 5 6 7 8\n"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_thread_that_waits_stands_with_its_stack_and_one_that_runs_does_not() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("cat");
        let (pid, tid) = (Pid::from_raw(child.id() as i32), u64::from(child.id()));
        let mut threads = WaitingThreads::of(pid);
        let found = (0..1000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            threads.look(tid).filter(|found| found.call == Some(libc::SYS_read as u64))
        });
        let found = found.expect("it reads");
        let stack = threads.stack(tid, &found, 1 << 20).expect("it has not gone on");
        // It has less than a mebibyte, so all of it was read, in whole words.
        assert!(stack.len() > 64 && stack.len() < 1 << 20, "{}", stack.len());
        let elsewhere = WaitingThread { arguments: [7; 6], ..found };
        assert_eq!(threads.stack(tid, &elsewhere, 64), None, "it waits, but in another call");
        child.stdin.take().expect("a pipe").write_all(b"on").expect("it reads");
        child.wait().expect("it ends");
        assert_eq!(threads.stack(tid, &found, 64), None);
    }
}
