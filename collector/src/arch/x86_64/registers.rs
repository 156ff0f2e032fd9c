//! The registers of a thread that is stopped under ptrace.

use libc::user_regs_struct;
use nix::sys::ptrace;
use nix::unistd::Pid;

/// Registers of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Registers(user_regs_struct);

/// Arguments of a system call.
pub(crate) type Arguments = [u64; 6];

impl Registers {
    /// Reads the registers of a stopped thread that the caller traces.
    pub(crate) fn read(tid: Pid) -> nix::Result<Registers> {
        ptrace::getregs(tid).map(Registers)
    }

    /// Writes the registers to such a thread.
    pub(crate) fn write(self, tid: Pid) -> nix::Result<()> {
        ptrace::setregs(tid, self.0)
    }

    /// Instruction pointer.
    pub(crate) fn ip(&self) -> u64 {
        self.0.rip
    }

    /// Stack pointer.
    pub(crate) fn sp(&self) -> u64 {
        self.0.rsp
    }

    /// Frame pointer.
    pub(crate) fn fp(&self) -> u64 {
        self.0.rbp
    }

    /// Thread pointer, from which thread-local variables are addressed.
    pub(crate) fn tp(&self) -> u64 {
        self.0.fs_base
    }

    /// Number of the system call that the thread is in.
    pub(crate) fn system_call(&self) -> Option<i64> {
        Some(self.0.orig_rax as i64).filter(|&number| number >= 0)
    }

    /// Arguments of that system call.
    pub(crate) fn arguments(&self) -> Arguments {
        [self.0.rdi, self.0.rsi, self.0.rdx, self.0.r10, self.0.r8, self.0.r9]
    }

    /// Result of a system call: a negative errno if it failed.
    pub(crate) fn result(&self) -> i64 {
        self.0.rax as i64
    }

    /// Address of the function that `asmcgocall` or `cgocallback` is about to call. Holds in their code before such a
    /// call.
    pub(crate) fn called(&self) -> u64 {
        self.0.rax
    }

    /// Returns the same registers at another instruction.
    #[must_use]
    pub(crate) fn at(self, ip: u64) -> Registers {
        Registers(user_regs_struct { rip: ip, ..self.0 })
    }

    /// Returns the same registers with another stack pointer.
    #[must_use]
    pub(super) fn with_sp(self, sp: u64) -> Registers {
        Registers(user_regs_struct { rsp: sp, ..self.0 })
    }

    /// Returns the same registers with another result of a system call.
    #[must_use]
    pub(crate) fn with_result(self, result: i64) -> Registers {
        Registers(user_regs_struct { rax: result as u64, ..self.0 })
    }

    /// Returns the same registers before a system call instruction, and in no system call that the kernel could
    /// restart.
    #[must_use]
    pub(crate) fn before_call(self, ip: u64, number: i64, [rdi, rsi, rdx, r10, r8, r9]: Arguments) -> Registers {
        let (rax, orig_rax) = (number as u64, u64::MAX);
        Registers(user_regs_struct { rip: ip, rax, orig_rax, rdi, rsi, rdx, r10, r8, r9, ..self.0 })
    }

    pub(super) fn raw(&self) -> &user_regs_struct {
        &self.0
    }

    /// Makes up registers: in a system call, or in none if its number is negative.
    #[cfg(test)]
    pub(crate) fn made_up([ip, sp, tp]: [u64; 3], system_call: i64, arguments: Arguments, result: i64) -> Registers {
        // SAFETY: all registers are plain numbers.
        let zero: user_regs_struct = unsafe { std::mem::zeroed() };
        let registers = Registers(zero).before_call(ip, result, arguments).with_sp(sp);
        Registers(user_regs_struct { fs_base: tp, orig_rax: system_call as u64, ..registers.0 })
    }
}
