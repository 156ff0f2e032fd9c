//! Code that makes a system call and then restores every register by itself.

use super::registers::Registers;

/// Maximum bytes of this code, with data behind it.
pub(crate) const STUB_LENGTH: usize = 136;
/// First bytes of the code, whatever the registers: `syscall`, and the first half of `movabs rcx`.
pub(crate) const STUB_START: [u8; 4] = [0x0f, 0x05, 0x48, 0xb9];
/// A breakpoint instruction. A thread that ran it stands after it.
pub(crate) const BREAKPOINT: [u8; 1] = [0xcc];
/// `AUDIT_ARCH_X86_64`: the architecture that seccomp filters see (linux/audit.h).
pub(crate) const AUDIT_ARCHITECTURE: u32 = 0xc000_003e;

/// Number of `epoll_wait`.
pub(crate) const SYS_EPOLL_WAIT: i64 = libc::SYS_epoll_wait;
/// Number of `io_pgetevents` (arch/x86/entry/syscalls/syscall_64.tbl).
pub(crate) const SYS_IO_PGETEVENTS: i64 = 333;

/// Returns the name of the system call with this number; none of one that is newer than this list
/// (arch/x86/entry/syscalls/syscall_64.tbl, Linux 6.16).
pub(crate) fn system_call_name(number: u64) -> Option<&'static str> {
    system_calls().find(|&(own, _)| own == number).map(|(_, name)| name)
}

fn system_calls() -> impl Iterator<Item = (u64, &'static str)> {
    let lines = include_str!("system_calls.txt").lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(own, name)| Some((own.parse().ok()?, name)))
}

/// Returns the name of the system call that this function of the kernel is, or that ends in it: the compiler may have
/// made the call of another function its last jump (arch/x86/include/asm/syscall_wrapper.h, include/linux/syscalls.h).
pub(crate) fn system_call_of(function: &str) -> Option<&'static str> {
    const PREFIXES: [&str; 7] = ["__x64_sys_", "__ia32_sys_", "__do_sys_", "__se_sys_", "do_sys_", "ksys_", "__sys_"];
    // Functions that several system calls share are left out: `do_sys_open`, `do_nanosleep`.
    let name = match function {
        "do_readv" | "do_writev" | "do_preadv" | "do_pwritev" => &function["do_".len()..],
        "do_sys_open" => return None,
        function => PREFIXES.iter().find_map(|prefix| function.strip_prefix(prefix))?,
    };
    // Those whose number has another name than their function.
    let name = match name {
        "newstat" => "stat",
        "newfstat" => "fstat",
        "newlstat" => "lstat",
        "newuname" => "uname",
        "sendfile64" => "sendfile",
        "umount" => "umount2",
        "mmap_pgoff" => "mmap",
        "fadvise64_64" => "fadvise64",
        "openat2" if function.starts_with("do_sys_") => return None,
        name => name,
    };
    system_calls().map(|(_, known)| known).find(|&known| known == name)
}

/// Returns the code: `syscall`, then restoring all registers that this or its arguments have changed, then a jump to
/// where the thread was.
pub(crate) fn call_and_restore(before: &Registers) -> Vec<u8> {
    let (rip, rax) = resumption(before);
    let before = before.raw();
    let mut code = vec![0x0f, 0x05];
    // movabs: REX.W (with B for R8 to R15), B8 + register.
    let mut load = |register: u8, value: u64| {
        code.extend([0x48 | register >> 3, 0xb8 | register & 7]);
        code.extend(value.to_le_bytes());
    };
    let registers = [
        (1, before.rcx),
        (2, before.rdx),
        (6, before.rsi),
        (7, before.rdi),
        (8, before.r8),
        (9, before.r9),
        (10, before.r10),
        (11, before.r11),
    ];
    registers.into_iter().for_each(|(register, value)| load(register, value));
    // Restores the flags without the stack: overflow by an addition, the other arithmetic ones by SAHF, then direction.
    const OVERFLOW: u64 = 1 << 11;
    const DIRECTION: u64 = 1 << 10;
    let overflows = u8::from(before.eflags & OVERFLOW != 0);
    code.extend([0xb0, 0x7f, 0x04, overflows, 0xb4, before.eflags as u8, 0x9e]);
    code.push(if before.eflags & DIRECTION != 0 { 0xfd } else { 0xfc });
    code.extend([0x48, 0xb8]);
    code.extend(rax.to_le_bytes());
    // jmp [rip + 0].
    code.extend([0xff, 0x25, 0, 0, 0, 0]);
    code.extend(rip.to_le_bytes());
    code
}

/// Returns where a thread continues, and with which RAX: as the kernel does after it has interrupted a system call
/// (arch/x86/kernel/signal.c, `arch_do_signal_or_restart`, without a handler).
fn resumption(before: &Registers) -> (u64, u64) {
    const SYSCALL: u64 = 2;
    let in_call = before.system_call().is_some();
    let before = before.raw();
    match before.rax as i64 {
        // ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND.
        -514..=-512 if in_call => (before.rip - SYSCALL, before.orig_rax),
        // ERESTART_RESTARTBLOCK.
        -516 if in_call => (before.rip - SYSCALL, libc::SYS_restart_syscall as u64),
        _ => (before.rip, before.rax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(orig_rax: i64, rax: i64) -> Registers {
        Registers::made_up([0x1000, 0, 0], orig_rax, [0; 6], rax)
    }

    #[test]
    fn an_interrupted_system_call_is_taken_up_again() {
        let check = |orig_rax: i64, rax: i64, expected: (u64, u64)| {
            assert_eq!(resumption(&registers(orig_rax, rax)), expected, "{orig_rax} {rax}");
        };
        check(202, -512, (0xffe, 202));
        check(202, -514, (0xffe, 202));
        check(202, -516, (0xffe, 219));
        check(202, -4, (0x1000, -4i64 as u64));
        check(-1, -512, (0x1000, -512i64 as u64));
        check(-1, 7, (0x1000, 7));
    }

    #[test]
    fn the_code_fits_with_data_behind_it() {
        let code = call_and_restore(&registers(0, 0));
        assert!(code.starts_with(&STUB_START) && code.len() + 16 <= STUB_LENGTH);
    }
}
