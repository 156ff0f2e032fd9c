//! Code with places for probes, on which the probes' cost is measured.

use std::arch::global_asm;

/// Passes the probes `rounds` times, with a chain of frame pointers and a g.
///
/// # Safety
/// The frame pointers, and the memory to which g leads, must be there for the kernel to read.
pub(crate) unsafe fn probe_stage(rounds: u64, frames: *const [u64; 2], g: *const u64) {
    // SAFETY: the function keeps to the C ABI and reads no memory but its stack. The kernel reads memory for the probes
    // with care.
    unsafe { cgoprof_probe_stage(rounds, frames, g) }
}

/// Returns the places for probes, in the order in which the code passes them: one like `asmcgocall`'s first branch, and
/// two calls.
pub(crate) fn probe_places() -> [u64; 3] {
    let places = [&raw const cgoprof_stage_called, &raw const cgoprof_stage_first, &raw const cgoprof_stage_second];
    places.map(|place| place.addr() as u64)
}

unsafe extern "C" {
    fn cgoprof_probe_stage(rounds: u64, frames: *const [u64; 2], g: *const u64);
    static cgoprof_stage_called: u8;
    static cgoprof_stage_first: u8;
    static cgoprof_stage_second: u8;
}

global_asm!(
    ".text",
    ".balign 64",
    ".globl cgoprof_probe_stage",
    "cgoprof_probe_stage:",
    "push rbp",
    "push rbx",
    "sub rsp, 40",
    "mov rbx, rdi",
    "mov rbp, rsi",
    "mov rdi, rdx",
    "2:",
    "cmp rdi, 0",
    ".globl cgoprof_stage_called",
    "cgoprof_stage_called:",
    "je 4f",
    ".globl cgoprof_stage_first",
    "cgoprof_stage_first:",
    "call 5f",
    ".globl cgoprof_stage_second",
    "cgoprof_stage_second:",
    "call 5f",
    "dec rbx",
    "jnz 2b",
    "4:",
    "add rsp, 40",
    "pop rbx",
    "pop rbp",
    "ret",
    "5:",
    "ret",
);
