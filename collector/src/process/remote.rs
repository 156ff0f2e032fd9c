//! Acting in a process that is stopped under ptrace: its memory, and system calls made in its name.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use cgoprof_symbols::Avma;
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// A process stopped under our ptrace, at its first instruction and with one thread.
pub(crate) struct Stopped {
    pid: Pid,
    memory: File,
    /// Signals that arrived while we worked, to be handed on at the end.
    pending: Vec<Signal>,
}

/// What went wrong in the other process.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A system call on our side.
    #[error("ptrace: {0}")]
    Ptrace(#[from] Errno),
    /// Its memory.
    #[error("its memory can't be accessed: {0}")]
    Memory(#[from] std::io::Error),
    /// A system call on its side.
    #[error("{0} failed in the program: {1}")]
    Call(&'static str, Errno),
    /// It ended under our hands, with this exit status (128 + n for a signal).
    #[error("it ended before it began, with status {0}")]
    Ended(u8),
}

impl Stopped {
    pub(crate) fn new(pid: Pid) -> Result<Stopped, RemoteError> {
        let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        Ok(Stopped { pid, memory, pending: Vec::new() })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    pub(crate) fn read(&self, at: Avma, length: usize) -> Result<Vec<u8>, RemoteError> {
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, at.0)?;
        Ok(bytes)
    }

    /// Writes even where the process itself may not.
    pub(crate) fn write(&self, at: Avma, bytes: &[u8]) -> Result<(), RemoteError> {
        Ok(self.memory.write_all_at(bytes, at.0)?)
    }

    /// Makes a system call in the process's name, at the place where it stands.
    pub(crate) fn call(&mut self, name: &'static str, number: i64, args: [u64; 6]) -> Result<u64, RemoteError> {
        const SYSCALL: [u8; 2] = [0x0f, 0x05];
        let before = ptrace::getregs(self.pid)?;
        let here = Avma(before.rip);
        let original = self.read(here, SYSCALL.len())?;
        self.write(here, &SYSCALL)?;
        let mut registers = before;
        registers.rax = number as u64;
        registers.orig_rax = u64::MAX;
        [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9] = args;
        let stepped = ptrace::setregs(self.pid, registers).map_err(RemoteError::from).and_then(|()| self.step());
        let result = stepped.and_then(|()| Ok(ptrace::getregs(self.pid)?.rax as i64));
        self.write(here, &original)?;
        ptrace::setregs(self.pid, before)?;
        match result? {
            error @ -4095..0 => Err(RemoteError::Call(name, Errno::from_raw(-error as i32))),
            value => Ok(value as u64),
        }
    }

    /// Lets it run until it reaches an address, which must be code that it has not executed yet.
    pub(crate) fn run_to(&mut self, at: Avma) -> Result<(), RemoteError> {
        const BREAKPOINT: [u8; 1] = [0xcc];
        if ptrace::getregs(self.pid)?.rip == at.0 {
            return Ok(());
        }
        let original = self.read(at, BREAKPOINT.len())?;
        self.write(at, &BREAKPOINT)?;
        let mut signal = None;
        loop {
            ptrace::cont(self.pid, signal)?;
            match waitpid(self.pid, None)? {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => break,
                WaitStatus::Stopped(_, other) => signal = Some(other),
                status => return Err(RemoteError::Ended(exit_status(status))),
            }
        }
        self.write(at, &original)?;
        let mut registers = ptrace::getregs(self.pid)?;
        registers.rip = at.0;
        Ok(ptrace::setregs(self.pid, registers)?)
    }

    /// One instruction; signals that come meanwhile are kept.
    fn step(&mut self) -> Result<(), RemoteError> {
        loop {
            ptrace::step(self.pid, None)?;
            match waitpid(self.pid, None)? {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => return Ok(()),
                WaitStatus::Stopped(_, signal) => self.pending.push(signal),
                status => return Err(RemoteError::Ended(exit_status(status))),
            }
        }
    }

    /// Lets it run, untraced.
    pub(crate) fn release(self) -> Result<(), RemoteError> {
        let (first, rest) = match self.pending.split_first() {
            Some((&first, rest)) => (Some(first), rest),
            None => (None, &[][..]),
        };
        for &signal in rest {
            nix::sys::signal::kill(self.pid, signal)?;
        }
        Ok(ptrace::detach(self.pid, first)?)
    }
}

fn exit_status(status: WaitStatus) -> u8 {
    match status {
        WaitStatus::Exited(_, code) => code as u8,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32 as u8,
        _ => 0,
    }
}
