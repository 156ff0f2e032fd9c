//! System calls made by a thread that is stopped by our ptrace.
//!
//! The recorder may be killed amid such a call, and the thread then continues where it was put. So it is put to a stub
//! in the code cave, which makes the call and then restores every register by itself. Normally the thread is stopped
//! again after the call, and its registers are restored by ptrace. They include the state that the kernel needs to
//! restart a system call that was interrupted.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cgoprof_symbols::Avma;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

use super::code_cave;
use super::inherited_signals;
use super::maps::{self, Mapping};
use super::memory::Memory;
use super::status::{self, Status};
use super::tracee::{Stop, Tracee};
use crate::arch::{BREAKPOINT, STUB_LENGTH, STUB_START, call_and_restore};

/// A launched program with one thread, which is stopped at its first instruction.
pub(crate) struct Stopped {
    pid: Pid,
    thread: Tracee,
    memory: Memory,
}

/// How a program has inherited SIGTRAP. While it is traced, breakpoints change that (kernel/signal.c, `force_sig_info_to_task`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trap {
    is_blocked: bool,
    is_ignored: bool,
}

impl Trap {
    /// Of a program that we start: `mask` is what was blocked when we were started.
    pub(crate) fn ours(mask: &SigSet) -> Trap {
        Trap { is_blocked: mask.contains(Signal::SIGTRAP), is_ignored: inherited_signals::trap_was_ignored() }
    }

    /// Of a program that stands at its first instruction.
    pub(crate) fn of(pid: Pid) -> std::io::Result<Trap> {
        let status = Status::read(pid)?;
        Ok(Trap { is_blocked: status.blocks(Signal::SIGTRAP), is_ignored: status.ignores(Signal::SIGTRAP) })
    }
}

/// A stopped thread that makes system calls in its process. Dropping it zeroes the code cave, unless the thread is
/// still inside.
pub(crate) struct Remote<'a> {
    pub(crate) pid: Pid,
    pub(crate) memory: &'a Memory,
    thread: &'a mut Tracee,
    cave: CodeCave,
    /// The thread is in the code cave, and leaves it by itself.
    is_inside: bool,
    /// A call has failed on its way, so the thread's place is unknown.
    is_lost: bool,
}

/// Code cave: unused bytes of a program's code, in which the system call stub is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeCave(Avma);

impl CodeCave {
    pub(crate) fn contains(self, address: u64) -> bool {
        (self.0.0..self.0.0 + STUB_LENGTH as u64).contains(&address)
    }

    /// Whether all bytes are zero: then it holds no stub, and no thread is there.
    pub(super) fn is_clear(self, memory: &Memory) -> Result<bool, RemoteError> {
        Ok(memory.read(self.0, STUB_LENGTH)?.iter().all(|&byte| byte == 0))
    }

    /// Zeroes it if a recorder's stub is there, else fails.
    pub(super) fn clear_what_was_left(self, memory: &Memory) -> Result<(), RemoteError> {
        let left = memory.read(self.0, STUB_START.len())?;
        if left != STUB_START { Err(RemoteError::NoRoom) } else { self.clear(memory) }
    }

    fn clear(self, memory: &Memory) -> Result<(), RemoteError> {
        Ok(memory.write(self.0, &[0; STUB_LENGTH])?)
    }

    /// Finds the code cave of a process.
    pub(crate) fn find(mappings: &[Mapping]) -> Result<CodeCave, RemoteError> {
        code_cave::find(mappings, STUB_LENGTH).map(CodeCave).ok_or(RemoteError::NoRoom)
    }
}

/// Why work in another process failed.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A system call on our side failed.
    #[error("ptrace: {0}")]
    Ptrace(Errno),
    /// Its memory can't be accessed.
    #[error("its memory can't be accessed: {0}")]
    Memory(std::io::Error),
    /// The process no longer exists.
    #[error("it has ended")]
    Gone,
    /// A system call on its side failed.
    #[error("{0} failed in the program: {1}")]
    Call(&'static str, Errno),
    /// It ended meanwhile, with this exit status (128 + n for a signal).
    #[error("it ended while it was worked on, with status {0}")]
    Ended(u8),
    /// It has become another program meanwhile.
    #[error("it became another program meanwhile")]
    Became,
    /// Its memory no longer exists.
    #[error("it has ended, or become another program")]
    Over,
    /// None of its threads can be borrowed.
    #[error("none of its threads is free to work with: all begin or make others")]
    Occupied,
    /// All of its code is in use, so it has no code cave.
    #[error("its code leaves no room to work with")]
    NoRoom,
    /// A thread made a call for a recorder that was killed, and has not returned from it.
    #[error("a thread has not come back yet from what it did for an earlier recorder")]
    RoomInUse,
    /// A system call on its side takes too long.
    #[error("{0} does not come back in the program")]
    Hung(&'static str),
}

impl RemoteError {
    /// Whether another attempt is useless.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, RemoteError::Gone | RemoteError::Ended(_) | RemoteError::Became | RemoteError::Over)
    }
}

impl From<Errno> for RemoteError {
    fn from(error: Errno) -> Self {
        if error == Errno::ESRCH { RemoteError::Gone } else { RemoteError::Ptrace(error) }
    }
}

impl From<std::io::Error> for RemoteError {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ESRCH | libc::ENOENT) => RemoteError::Gone,
            // The kernel reads and writes nothing of memory that no process has any more (fs/proc/base.c, `mem_rw`).
            None if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::WriteZero) => RemoteError::Over,
            _ => RemoteError::Memory(error),
        }
    }
}

impl<'a> Remote<'a> {
    pub(crate) fn new(pid: Pid, thread: &'a mut Tracee, memory: &'a Memory, cave: CodeCave) -> Remote<'a> {
        Remote { pid, memory, thread, cave, is_inside: false, is_lost: false }
    }

    /// Returns the path of a descriptor of the thread that makes the calls.
    pub(crate) fn descriptor(&self, fd: u64) -> PathBuf {
        self.descriptors().join(fd.to_string())
    }

    /// Returns the folder of all its descriptors.
    pub(crate) fn descriptors(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/task/{}/fd", self.pid, self.thread.tid()))
    }

    /// Makes a system call in the process. `data` is written behind the stub for the call to read; its address replaces
    /// the arguments given as [`DATA`].
    pub(crate) fn call(
        &mut self,
        name: &'static str,
        number: i64,
        args: [u64; 6],
        data: &[u8],
    ) -> Result<u64, RemoteError> {
        if self.is_lost {
            // The thread may still be in the code cave, where the stub leads it out, or amid the previous call.
            return Err(RemoteError::RoomInUse);
        }
        let before = self.thread.registers()?;
        let mut code = call_and_restore(&before);
        let data_at = code.len() as u64;
        code.extend_from_slice(data);
        let place = Some(self.cave.0).filter(|_| code.len() <= STUB_LENGTH).ok_or(RemoteError::NoRoom)?;
        self.memory.write(place, &code)?;
        let arg = |arg: u64| if arg == DATA { place.0 + data_at } else { arg };
        let registers = before.before_call(place.0, number, args.map(arg));
        self.is_inside = true;
        let called = self.thread.set_registers(registers).map_err(RemoteError::from);
        // The thread runs to the call's start, then to its end.
        let called = called.and_then(|()| self.run_to_call(name)).and_then(|()| self.run_to_call(name));
        let result = called.and_then(|()| Ok(self.thread.registers()?.result()));
        self.is_lost = result.is_err();
        match (self.thread.set_registers(before), result.as_ref().err()) {
            (Ok(()), _) => self.is_inside = false,
            (Err(error), None) => {
                self.is_lost = true;
                return Err(error.into());
            }
            (Err(_), Some(_)) => {}
        }
        match result? {
            error @ -4095..0 => Err(RemoteError::Call(name, Errno::from_raw(-error as i32))),
            value => Ok(value as u64),
        }
    }

    fn run_to_call(&mut self, name: &'static str) -> Result<(), RemoteError> {
        match self.thread.run_to_call() {
            Ok(Stop::Ended(status)) => Err(self.ended(status)),
            Ok(Stop::Became) => Err(RemoteError::Became),
            Ok(_) => Ok(()),
            Err(Errno::ETIMEDOUT) => Err(RemoteError::Hung(name)),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns why the thread has ended: its process ended, or another thread made that another program.
    fn ended(&self, status: u8) -> RemoteError {
        const DYING: Duration = Duration::from_millis(20);
        let since = Instant::now();
        while status::living_thread(self.pid).is_some() {
            if since.elapsed() > DYING {
                return RemoteError::Became;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        RemoteError::Ended(status)
    }
}

impl Drop for Remote<'_> {
    fn drop(&mut self) {
        // If the thread is still there, the next recorder clears the cave. Clearing fails if the process no longer
        // exists.
        if !self.is_inside {
            let _ = self.cave.clear(self.memory);
        }
    }
}

impl Stopped {
    pub(crate) fn launched(pid: Pid) -> Result<Stopped, RemoteError> {
        Ok(Stopped { pid, memory: Memory::open(pid)?, thread: Tracee::launched(pid)? })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns a [`Remote`] that makes system calls in it.
    pub(crate) fn remote(&mut self, cave: CodeCave) -> Remote<'_> {
        Remote::new(self.pid, &mut self.thread, &self.memory, cave)
    }

    /// Lets it run until it reaches an address, which must be code that it has not executed yet.
    pub(crate) fn run_to(&mut self, at: Avma) -> Result<(), RemoteError> {
        if self.thread.registers()?.ip() == at.0 {
            return Ok(());
        }
        let original = self.memory.read(at, BREAKPOINT.len())?;
        self.memory.write(at, &BREAKPOINT)?;
        let ran = self.thread.run();
        // The code must be the program's own again, whatever the run returned.
        let restored = self.memory.write(at, &original).or_else(|_| self.memory.write(at, &original));
        match ran? {
            Stop::Ended(status) => return Err(RemoteError::Ended(status)),
            Stop::Became => return Err(RemoteError::Became),
            _ => {}
        }
        restored?;
        Ok(self.move_to(at).or_else(|_| self.move_to(at))?)
    }

    fn move_to(&self, at: Avma) -> nix::Result<()> {
        self.thread.set_registers(self.thread.registers()?.at(at.0))
    }

    /// Restores whether SIGTRAP is blocked and ignored: until now it stopped the program for us.
    pub(crate) fn give_back_trap(&mut self, trap: Trap) -> Result<(), RemoteError> {
        // A library of the program may have set a handler by now.
        let is_handled = Status::read(self.pid)?.handles(Signal::SIGTRAP);
        if trap.is_ignored && !is_handled {
            /// Bytes below the stack pointer, beyond any frame that is still to be used.
            const BELOW: u64 = 512;
            let cave = CodeCave::find(&maps::read(self.pid)?)?;
            let place = self.thread.registers()?.sp() - BELOW;
            // Handler, flags, restorer, mask (rt_sigaction(2), `kernel_sigaction` of the C library).
            let action = [libc::SIG_IGN as u64, 0, 0, 0].map(u64::to_ne_bytes);
            self.memory.write(Avma(place), action.as_flattened())?;
            let args = [libc::SIGTRAP as u64, place, 0, size_of::<u64>() as u64, 0, 0];
            self.remote(cave).call("rt_sigaction", libc::SYS_rt_sigaction, args, &[])?;
        }
        if trap.is_blocked {
            self.thread.block(Signal::SIGTRAP)?;
        }
        Ok(())
    }

    /// Lets it run, untraced.
    pub(crate) fn release(self) {
        self.thread.release();
    }
}

/// Stands for the address of a call's data among its arguments.
pub(crate) const DATA: u64 = 0xcd47_a000_da7a_0001;
