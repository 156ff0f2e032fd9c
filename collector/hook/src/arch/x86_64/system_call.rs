//! System calls of the hooks.

use core::arch::asm;
use core::sync::atomic::AtomicU32;

/// `SYS_futex` and `SYS_gettid` (arch/x86/entry/syscalls/syscall_64.tbl).
const FUTEX: u64 = 202;
const GETTID: u64 = 186;
/// `FUTEX_WAIT`, on a word that processes share (futex(2)).
const WAIT: u64 = 0;
/// Longest sleep, as a timespec.
const MOMENT: [u64; 2] = [0, 10_000_000];

/// Returns the number of this thread in its own namespace.
#[inline(always)]
pub(crate) fn thread_number() -> u32 {
    // SAFETY: the call takes no arguments and changes no memory.
    unsafe { system_call(GETTID, [0; 4]) as u32 }
}

/// Sleeps until somebody wakes those who wait at a word, or for a moment; not at all if the word has another value.
#[inline(always)]
pub(crate) fn sleep_at(word: &AtomicU32, value: u32) {
    let args = [word.as_ptr() as u64, WAIT, u64::from(value), MOMENT.as_ptr() as u64];
    // SAFETY: the kernel reads the word and the time, which are both alive.
    unsafe { system_call(FUTEX, args) };
}

/// # Safety
/// The call must be sound with these arguments.
#[inline(always)]
unsafe fn system_call(number: u64, args: [u64; 4]) -> i64 {
    let result;
    // SAFETY: the kernel changes RAX, RCX and R11 only (arch/x86/entry/entry_64.S); the rest is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2], in("r10") args[3],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}
