//! The machine code that Go and `asmcgocall` reach: it keeps their registers and calls the Rust hooks.
//!
//! Go holds nothing in registers over the patched calls but RSP, RBP, R14 (g) and X15 = 0; the arguments of
//! `reentersyscall` are kept too. Into Go there are only tail jumps. The C thunk is the one place that calls:
//! it runs on the thread's system stack, which the runtime never walks.

use core::arch::global_asm;
use core::mem::offset_of;

use crate::layout::{Coarse, Header, IN_FLIGHT, InFlight, THREADS, Thread};
use crate::params::Params;
use crate::{callback, crossing, direct};

unsafe extern "C" {
    #[link_name = "cgoprof_params"]
    static PARAMS: Params;
}

/// The parameters at the start of the code page.
#[inline(always)]
fn params() -> &'static Params {
    // SAFETY: the linker script puts the symbol at the page's start, which the recorder fills before it patches.
    unsafe { &PARAMS }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_entered(g: u64, frame: u64) {
    // SAFETY: the enter thunk passes R14 and RBP as they are in cgocall.
    unsafe { crossing::entered(params(), g, frame) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_returned(thread: *mut Thread, entry: *mut InFlight, at: u64, slots: *mut u64, p_lost: bool) {
    // SAFETY: the C thunk passes what it was entered with.
    unsafe { crossing::returned(params(), thread, entry, at, slots, p_lost) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_exited(g: u64, packed: u64, from: u64, to: u64) {
    // SAFETY: the exit thunk passes R14 and cgocall's dead argument words.
    unsafe { crossing::exited(params(), g, packed, from, to) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_direct_entered(g: u64, function: u64, saved: u64, rbp: u64) -> *mut InFlight {
    // SAFETY: the C thunk runs on the system stack.
    unsafe { direct::entered(params(), g, function, saved, rbp) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_direct_returned(g: u64, entry: *mut InFlight, at: u64) {
    // SAFETY: the entry is the one this thunk got.
    unsafe { direct::returned(params(), g, entry, at) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_began(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::began(params(), g) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_ended(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::ended(params(), g) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_unwound(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::unwound(params(), g) }
}

global_asm!(
    ".section .params, \"aw\"",
    ".balign 64",
    ".globl cgoprof_params",
    "cgoprof_params: .zero {params_size}",
    ".text",

    // Calls a Rust hook on whatever stack this is: aligns it, keeps it in RBX, restores X15.
    ".macro hook name",
    "mov rbx, rsp",
    "and rsp, -16",
    "call \\name",
    "mov rsp, rbx",
    "xorps xmm15, xmm15",
    ".endm",

    // Keeps every register that the surrounding code may hold something in.
    ".macro save",
    "push rax", "push rbx", "push rcx", "push rdx", "push rsi", "push rdi",
    "push r8", "push r9", "push r10", "push r11",
    ".endm",
    ".macro restore",
    "pop r11", "pop r10", "pop r9", "pop r8",
    "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rbx", "pop rax",
    ".endm",

    // In place of `call entersyscall` in cgocall.
    ".balign 64",
    ".globl thunk_enter",
    "thunk_enter:",
    "mov rdi, r14",
    "mov rsi, rbp",
    "hook cgoprof_entered",
    "jmp [rip + cgoprof_params + {p_entersyscall}]",

    // In place of the landing pad, or of `mov rcx, rbx; call rax`: RAX is the C function, RBX its argument.
    // R12 to R15, RBX and RBP keep their values over the C call; asmcgocall needs none of them afterwards.
    ".balign 64",
    ".globl thunk_c",
    "thunk_c:",
    "mov rcx, [rip + cgoprof_params + {p_saved_g}]",
    "mov r14, [rsp + rcx]",
    "mov rdx, [rip + cgoprof_params + {p_saved_depth}]",
    "test r14, r14",
    "jz 30f",
    "mov r15, [r14 + 8]",
    "sub r15, [rsp + rdx]",                                  // goroutine's stack pointer in asmcgocall
    "mov rcx, [r14 + 48]",                                   // m
    "mov rsi, [rip + cgoprof_params + {p_m_id}]",
    "mov rdx, [rcx + rsi]",
    "mov esi, edx",
    "and esi, {threads_mask}",
    "imul rsi, rsi, {thread_size}",
    "add rsi, [rip + cgoprof_params + {p_threads}]",
    "inc rdx",
    "cmp [rsi + {t_owner}], rdx",
    "jne 20f",
    "10:",
    "mov rdx, [rip + cgoprof_params + {p_to_frame}]",
    "add rdx, r15",
    "cmp rdx, [rsi + {t_pending_frame}]",
    "jne 31f",
    // A crossing: puts it in flight.
    "mov r13, rsi",
    "mov qword ptr [rsi + {t_pending_frame}], 0",
    "mov edx, [rsi + {t_depth}]",
    "lea ecx, [rdx + 1]",
    "mov [rsi + {t_depth}], ecx",
    "sub rsp, 24",
    "mov [rsp + 16], rdx",
    "mov ecx, {in_flight_last}",
    "cmp edx, ecx",
    "cmova edx, ecx",
    "shl rdx, 6",
    "lea r12, [rsi + rdx + {t_in_flight}]",
    "mov rcx, [rsi + {t_pending_cell}]",
    "mov [r12 + {f_cell}], rcx",
    "mov rdi, [rsi + {t_pending_entered}]",
    "mov [r12 + {f_entered}], rdi",
    "mov r8, [rip + cgoprof_params + {p_tables}]",
    "mov r8, [r8 + {h_sequence}]",
    "mov [r12 + {f_coarse}], r8",
    // What the unwinder of a sample finds at the frame of this call: the cell and the entry.
    "mov [rsp], r12",
    "mov [rsp + 8], rcx",
    "test rdi, rdi",
    "jnz 12f",
    "11:",
    "mov rdi, rbx",
    "mov rcx, rbx",
    "call rax",
    ".globl cgoprof_c_return",
    "cgoprof_c_return:",
    "mov rcx, [r12 + {f_entered}]",
    "test rcx, rcx",
    "jnz 13f",
    "mov r8, [rip + cgoprof_params + {p_tables}]",
    "mov r8, [r8 + {h_sequence}]",
    "sub r8, [r12 + {f_coarse}]",
    "cmp r8, 2",
    "jae 13f",
    "mov rdx, [rsp + 16]",
    "mov [r13 + {t_depth}], edx",
    "add rsp, 24",
    // Was the P taken meanwhile? Then the exit is timed.
    "mov rcx, [r14 + 48]",
    "cmp qword ptr [rip + cgoprof_params + {p_p_stays_wired}], 0",
    "je 15f",
    "mov rdx, [rip + cgoprof_params + {p_m_p}]",
    "cmp qword ptr [rcx + rdx], 0",
    "je 16f",
    "14:",
    "mov rcx, [rip + cgoprof_params + {p_saved_depth}]",
    "mov rdx, [r14 + 8]",
    "sub rdx, [rsp + rcx]",
    "mov rcx, [rip + cgoprof_params + {p_to_slots}]",
    "mov qword ptr [rdx + rcx + 8], 0",
    "ret",

    // Timed: notes when C is called.
    "12:",
    "mov ecx, [rsi + {t_pending_gap}]",
    "mov [r12 + {f_gap}], ecx",
    "mov qword ptr [r12 + {f_callback_ticks}], 0",
    "mov r8, rax",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "mov [r12 + {f_called}], rdx",
    "mov rax, r8",
    "jmp 11b",

    // P lost, Go 1.25 and before: oldp.status is no longer _Psyscall, or its tick has moved on.
    "15:",
    "mov rdx, [rip + cgoprof_params + {p_m_oldp}]",
    "mov rdx, [rcx + rdx]",
    "test rdx, rdx",
    "jz 14b",
    "cmp dword ptr [rdx + 4], 2",
    "jne 16f",
    "mov rdx, [rdx + 20]",
    "mov r8, [rip + cgoprof_params + {p_m_syscalltick}]",
    "cmp edx, [rcx + r8]",
    "je 14b",
    "16:",
    "sub rsp, 24",
    "mov edx, [r13 + {t_depth}]",
    "mov [rsp + 16], rdx",

    // Timed, long or without a P: the Rust hook adds its times and fills the slots. EAX is C's errno.
    "13:",
    "mov rbx, rax",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "mov rcx, [rsp + 16]",
    "mov [r13 + {t_depth}], ecx",
    "add rsp, 24",
    "mov rcx, [rip + cgoprof_params + {p_saved_depth}]",
    "mov rdi, [r14 + 8]",
    "sub rdi, [rsp + rcx]",
    "mov rcx, [rip + cgoprof_params + {p_to_slots}]",
    "add rcx, rdi",
    "mov rsi, r12",
    "xor r8d, r8d",
    "mov rdi, [r14 + 48]",
    "cmp qword ptr [rip + cgoprof_params + {p_p_stays_wired}], 0",
    "je 18f",
    "mov r9, [rip + cgoprof_params + {p_m_p}]",
    "cmp qword ptr [rdi + r9], 0",
    "sete r8b",
    "jmp 19f",
    "18:",
    "mov r9, [rip + cgoprof_params + {p_m_oldp}]",
    "mov r9, [rdi + r9]",
    "test r9, r9",
    "jz 19f",
    "cmp dword ptr [r9 + 4], 2",
    "setne r8b",
    "mov r9d, [r9 + 20]",
    "mov r10, [rip + cgoprof_params + {p_m_syscalltick}]",
    "cmp r9d, [rdi + r10]",
    "setne r9b",
    "or r8b, r9b",
    "19:",
    "movzx r8d, r8b",
    "mov rdi, r13",
    "sub rsp, 8",
    "call cgoprof_returned",
    "add rsp, 8",
    "mov eax, ebx",
    "ret",

    // The M's table is not at its home: the neighbours, as in threads.rs.
    "20:",
    "mov r8d, {thread_probes} - 1",
    "21:",
    "add rsi, {thread_size}",
    "mov r9, [rip + cgoprof_params + {p_threads}]",
    "mov r10, r9",
    "add r10, {threads_bytes}",
    "cmp rsi, r10",
    "cmovae rsi, r9",
    "cmp [rsi + {t_owner}], rdx",
    "je 10b",
    "dec r8d",
    "jnz 21b",
    "jmp 31f",

    // No goroutine was switched from: the g of the thread, if any; the saved word is the stack pointer.
    "30:",
    "mov r15, [rsp + rdx]",
    "mov r14, qword ptr fs:[-8]",
    // Not a crossing in the M's table: direct, or begun before we came.
    "31:",
    "mov r12, rax",
    "mov rdi, r14",
    "mov rsi, rax",
    "mov rdx, r15",
    "mov rcx, rbp",
    "sub rsp, 8",
    "call cgoprof_direct_entered",
    "mov r13, rax",
    "mov rdi, rbx",
    "mov rcx, rbx",
    "call r12",
    ".globl cgoprof_direct_return",
    "cgoprof_direct_return:",
    "test r13, r13",
    "jz 32f",
    "mov ebx, eax",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "mov rdi, r14",
    "mov rsi, r13",
    "call cgoprof_direct_returned",
    "mov eax, ebx",
    "32:",
    "add rsp, 8",
    // An exit hook must not take what this crossing's frame holds for ours.
    "test r14, r14",
    "jz 33f",
    "mov rcx, [rip + cgoprof_params + {p_saved_g}]",
    "cmp [rsp + rcx], r14",
    "jne 33f",
    "mov rcx, [rip + cgoprof_params + {p_saved_depth}]",
    "mov rdx, [r14 + 8]",
    "sub rdx, [rsp + rcx]",
    "mov rcx, [rip + cgoprof_params + {p_to_return}]",
    "mov r8, [rdx + rcx]",
    "cmp r8, [rip + cgoprof_params + {p_after_asmcgocall}]",
    "jne 33f",
    "mov rcx, [rip + cgoprof_params + {p_to_slots}]",
    "mov qword ptr [rdx + rcx + 8], 0",
    "33:",
    "ret",

    // In place of cgocall's epilogue: the words that were asmcgocall's arguments lie at RSP.
    ".balign 64",
    ".globl thunk_exit",
    "thunk_exit:",
    "cmp qword ptr [rsp + 8], 0",
    "jne 51f",
    ".globl thunk_exit_epilogue",
    "50:",
    "thunk_exit_epilogue:",
    ".fill 16, 1, 0xcc",
    "51:",
    "mov r8, rax",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "mov rcx, rdx",
    "mov rsi, [rsp]",
    "mov rdx, [rsp + 8]",
    "push r8",
    "mov rdi, r14",
    "hook cgoprof_exited",
    "pop rax",
    "jmp 50b",

    // In place of cgocallbackg's `call exitsyscall`.
    ".balign 16",
    ".globl thunk_callback_begin",
    "thunk_callback_begin:",
    "mov rdi, r14",
    "hook cgoprof_callback_began",
    "jmp [rip + cgoprof_params + {p_exitsyscall}]",

    // In place of cgocallbackg's `call reentersyscall`, whose arguments are in registers.
    ".balign 16",
    ".globl thunk_callback_end",
    "thunk_callback_end:",
    "save",
    "mov rdi, r14",
    "hook cgoprof_callback_ended",
    "restore",
    "jmp [rip + cgoprof_params + {p_reentersyscall}]",

    // In unwindm, in place of `mp.incgo = false`: that instruction and the way back follow.
    ".balign 16",
    ".globl thunk_unwind",
    "thunk_unwind:",
    "save",
    "mov rdi, r14",
    "hook cgoprof_unwound",
    "restore",
    ".globl thunk_unwind_displaced",
    "thunk_unwind_displaced:",
    ".fill 16, 1, 0xcc",

    params_size = const size_of::<Params>(),
    p_entersyscall = const offset_of!(Params, entersyscall),
    p_exitsyscall = const offset_of!(Params, exitsyscall),
    p_reentersyscall = const offset_of!(Params, reentersyscall),
    p_saved_g = const offset_of!(Params, saved_g),
    p_saved_depth = const offset_of!(Params, saved_depth),
    p_m_id = const offset_of!(Params, m_id),
    p_m_p = const offset_of!(Params, m_p),
    p_m_oldp = const offset_of!(Params, m_oldp),
    p_m_syscalltick = const offset_of!(Params, m_syscalltick),
    p_p_stays_wired = const offset_of!(Params, p_stays_wired),
    p_threads = const offset_of!(Params, threads),
    p_tables = const offset_of!(Params, tables),
    p_to_frame = const offset_of!(Params, to_frame),
    p_to_return = const offset_of!(Params, to_return),
    p_to_slots = const offset_of!(Params, to_slots),
    p_after_asmcgocall = const offset_of!(Params, after_asmcgocall),
    h_sequence = const offset_of!(Header, coarse) + offset_of!(Coarse, sequence),
    threads_mask = const THREADS - 1,
    threads_bytes = const THREADS * size_of::<Thread>(),
    thread_size = const size_of::<Thread>(),
    thread_probes = const crate::layout::THREAD_PROBES,
    in_flight_last = const IN_FLIGHT - 1,
    t_owner = const offset_of!(Thread, owner),
    t_pending_frame = const offset_of!(Thread, pending_frame),
    t_pending_cell = const offset_of!(Thread, pending_cell),
    t_pending_entered = const offset_of!(Thread, pending_entered),
    t_pending_gap = const offset_of!(Thread, pending_gap),
    t_depth = const offset_of!(Thread, depth),
    t_in_flight = const offset_of!(Thread, in_flight),
    f_cell = const offset_of!(InFlight, cell),
    f_entered = const offset_of!(InFlight, entered),
    f_called = const offset_of!(InFlight, called),
    f_coarse = const offset_of!(InFlight, coarse),
    f_callback_ticks = const offset_of!(InFlight, callback_ticks),
    f_gap = const offset_of!(InFlight, gap),
);
