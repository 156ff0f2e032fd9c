//! The machine code that Go and `asmcgocall` reach: it keeps their registers and calls the Rust hooks.
//!
//! Go holds nothing in registers over the patched calls but RSP, RBP, R14 (g) and X15 = 0; the arguments of
//! `reentersyscall` are kept too. Into Go there are only tail jumps. The C thunk is the one place that calls:
//! it runs on the thread's system stack, which the runtime never walks.

use core::arch::global_asm;
use core::mem::offset_of;

use crate::layout::{Cell, HOOK_FRAMES, Header, InFlight, MARKER_CELL, MEMO, Thread};
use crate::mapping::header;
use crate::params::{Params, holes};
use crate::{callback, crossing, direct, locks, plugins};

/// Offset of `g.sched.sp`, the same since Go 1.19 (runtime/runtime2.go).
const G_SCHED_SP: usize = 56;

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
unsafe extern "sysv64" fn cgoprof_arrived(g: u64, frame: u64) -> u64 {
    // SAFETY: the enter thunk passes R14 and RBP as they are in cgocall.
    unsafe { crossing::arrived(params(), g, frame) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_switched(g: u64, frame: u64, thread: *mut Thread) -> u64 {
    // SAFETY: as above; the thunk found the thread.
    unsafe { crossing::switched(params(), g, frame, thread) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_entered(g: u64, frame: u64, thread: *mut Thread) -> u64 {
    // SAFETY: as above.
    unsafe { crossing::entered(params(), g, frame, thread) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_timed(thread: *mut Thread, cell: *mut Cell) -> u64 {
    // SAFETY: the enter thunk found both for this M.
    unsafe { crossing::timed(thread, cell) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_returned(entry: *mut InFlight, slots: *mut u64, at: u64, p_lost: bool) {
    // SAFETY: the C thunk passes what it was entered with.
    unsafe { crossing::returned(params(), entry, at, slots, p_lost) }
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
unsafe extern "sysv64" fn cgoprof_direct_returned(entry: *mut InFlight, at: u64) {
    // SAFETY: the entry is the one this thunk got.
    unsafe { direct::returned(params(), entry, at) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_began(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::began(params(), g) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_acquired(g: u64, function: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::acquired(params(), g, function) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_ended(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::ended(params(), g) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_released(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::released(params(), g) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_attached(g: u64, from: u64) {
    // SAFETY: the thunk passes the g that the thread has got.
    unsafe { callback::attached(params(), g, from) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_parked(g: u64, frame: u64) {
    // SAFETY: the thunk passes R14 and RBP as they are in exitsyscall.
    unsafe { crossing::parked(params(), g, frame) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_plugin_loaded() {
    // SAFETY: the parameters describe the tables, which are mapped.
    let header = unsafe { header(params()) };
    plugins::wait(&header.plugin, plugins::CLAIM_TIMEOUT, plugins::RELEASE_TIMEOUT);
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_locked(g: u64, frame: u64, after: u64) {
    // SAFETY: the thunk passes R14 and RBP as they are where m.lockedExt is counted.
    unsafe { locks::locked(params(), g, frame, after) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_unwound(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::unwound(params(), g) }
}

global_asm!(
    // The address of the tables; 0 until all hooks are there, and once they are to be removed. Alone on a page
    // that is wiped in a forked child, which so leaves its parent's tables alone.
    ".section .here, \"aw\"",
    ".globl cgoprof_here",
    "cgoprof_here: .quad 0",
    ".section .params, \"aw\"",
    ".balign 64",
    ".globl cgoprof_params",
    "cgoprof_params: .zero {params_size}",
    ".text",

    // Calls a Rust hook on whatever stack this is, and restores X15. Nothing where there are no tables. The stack is not
    // aligned: how far each instruction is from the return address must be known beforehand, for Go's unwinder. The hooks
    // need no alignment, which a test of the collector's checks.
    ".macro hook name",
    "cmp qword ptr [rip + cgoprof_here], 0",
    "je 98f",
    "call \\name",
    "xorps xmm15, xmm15",
    "98:",
    ".endm",

    // A tail jump; the distance is filled in.
    ".macro to_entersyscall",
    ".byte 0xe9",
    ".long {ENTERSYSCALL}",
    ".endm",

    // Keeps every general register and the flags.
    ".macro save",
    "pushfq",
    "push rax", "push rbx", "push rcx", "push rdx", "push rsi", "push rdi",
    "push r8", "push r9", "push r10", "push r11",
    ".endm",
    ".macro restore",
    "pop r11", "pop r10", "pop r9", "pop r8",
    "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rbx", "pop rax",
    "popfq",
    ".endm",

    // In place of `call entersyscall` in cgocall. The whole way of a crossing whose stack this M remembers,
    // and that is not timed, is here; anything else goes to Rust.
    ".balign 64",
    ".globl thunk_enter",
    "thunk_enter:",
    "mov rcx, [r14 + 48]",                                   // m
    "mov r8, [rbp]",
    "mov rdx, [rip + cgoprof_here]",
    "mov r10, [r14 + 8]",
    "mov r11, [r14 + {G_GOID}]",
    "sub r10, rbp",                                          // depth of the stack
    "mov eax, [r8 + 8]",                                     // site
    "add eax, r10d",
    "and eax, {memo_mask}",
    "movzx edi, word ptr [r14 + 49]",
    "shr edi, 2",                                            // home
    "test rdx, rdx",
    "jz 4f",
    "mov rsi, [rdx + rdi*8 + {h_directory}]",                // thread
    "test rsi, rsi",
    "jz 7f",
    "cmp [rsi + {t_owner}], rcx",
    "jne 7f",
    "1:",
    "cmp r11, [rsi + {t_goid}]",
    "jne 6f",
    "inc qword ptr [rsi + {t_run}]",
    "mov rdi, [rsi + rax*8 + {t_memo}]",                     // cell
    "cmp r10d, [rdi + {c_stack_depth}]",
    "jne 9f",
    "mov rax, [rbp + {SPILLED_FN}]",
    "cmp rax, [rdi + {c_function}]",
    "jne 9f",
    "mov eax, [rsi + {t_enclosing}]",
    "cmp eax, [rdi + {c_enclosing}]",
    "jne 9f",
    "mov eax, [rcx + {M_LOCKED_EXT}]",
    "cmp eax, [rdi + {c_locks}]",
    "jne 9f",
    "lea r9, [rdi + {cell_size}]",
    "movzx r10d, word ptr [rdi + {c_blocks}]",
    "pcmpeqd xmm4, xmm4",
    "2:",
    "mov rax, [r9]",
    "movzx ecx, ax",
    "mov edx, eax",
    "shr edx, 16",
    "shr rax, 32",
    "movzx r8d, ax",
    "shr eax, 16",
    "movd xmm0, dword ptr [rbp + rcx*8]",
    "movd xmm1, dword ptr [rbp + rdx*8]",
    "movd xmm2, dword ptr [rbp + r8*8]",
    "movd xmm3, dword ptr [rbp + rax*8]",
    "punpckldq xmm0, xmm1",
    "punpckldq xmm2, xmm3",
    "punpcklqdq xmm0, xmm2",
    "pcmpeqd xmm0, [r9 + 16]",
    "pand xmm4, xmm0",
    "add r9, 32",
    "dec r10d",
    "jnz 2b",
    "pmovmskb eax, xmm4",
    "cmp eax, 0xffff",
    "jne 9f",
    "mov rdx, [rsi + {t_top}]",
    "mov rax, [rsi + {t_coarse}]",
    "mov rcx, [rdi + {c_calls}]",
    "inc rcx",
    "mov [rdi + {c_calls}], rcx",
    "cmp rcx, [rdi + {c_timed_at}]",
    "je 8f",
    // Puts it in flight.
    "mov [rdx + {f_cell}], rdi",
    "mov [rdx + {f_thread}], rsi",
    "mov [rdx + {f_coarse}], rax",
    "mov [rbp + {FRAME_RESULT}], rdx",
    "add rdx, {entry_size}",
    "mov [rsi + {t_top}], rdx",
    "to_entersyscall",
    "8:",
    "xchg rdi, rsi",
    "hook cgoprof_timed",
    "mov [rbp + {FRAME_RESULT}], rax",
    "to_entersyscall",
    // Not at home: perhaps next to it.
    "7:",
    "xor edi, 1",
    "mov rsi, [rdx + rdi*8 + {h_directory}]",
    "test rsi, rsi",
    "jz 3f",
    "cmp [rsi + {t_owner}], rcx",
    "je 1b",
    "3:",
    "mov rdi, r14",
    "mov rsi, rbp",
    "hook cgoprof_arrived",
    "jmp 5f",
    // Another goroutine than the last.
    "6:",
    "mov rdx, rsi",
    "mov rdi, r14",
    "mov rsi, rbp",
    "hook cgoprof_switched",
    "jmp 5f",
    // Another stack than remembered.
    "9:",
    "mov rdx, rsi",
    "mov rdi, r14",
    "mov rsi, rbp",
    "hook cgoprof_entered",
    "5:",
    "mov [rbp + {FRAME_RESULT}], rax",
    "to_entersyscall",
    // Without tables.
    "4:",
    "mov [rbp + {FRAME_RESULT}], rdx",
    "to_entersyscall",

    // A symbol for where C returns to, by which the unwinder of a sample finds the hook's frame.
    ".macro from_c",
    ".globl from_c_\\@",
    "from_c_\\@:",
    ".endm",

    // Back to asmcgocall. The word that was a return address is wiped: who leaves the program takes it for one, should it lie
    // in the frame of a later C function that was called without the hook.
    ".macro back",
    "mov qword ptr [rsp - 8], 0",
    "add rsp, 24",
    "ret",
    ".endm",

    // In place of the landing pad, or of `mov rcx, rbx; call rax`: RAX is the C function, RBX its argument.
    // asmcgocall needs no register afterwards but RSP and RBP. Neither may we: assembly that is called like C
    // (purego's) keeps only those, so that everything else waits on the stack.
    // `p_lost LABEL` goes there if the P was taken meanwhile; RCX is m. From Go 1.26 on that shows in m.p;
    // before, oldp.status is no longer _Psyscall, or its tick has moved on.
    ".macro p_lost_wired label",
    "cmp qword ptr [rcx + {M_P}], 0",
    "je \\label",
    ".endm",
    ".macro p_lost_released label",
    "mov r9, [rip + cgoprof_params + {p_m_oldp}]",
    "mov r9, [rcx + r9]",
    "test r9, r9",
    "jz 7f",
    "cmp dword ptr [r9 + 4], 2",
    "jne \\label",
    "mov r9d, [r9 + 20]",
    "mov r10, [rip + cgoprof_params + {p_m_syscalltick}]",
    "cmp r9d, [rcx + r10]",
    "jne \\label",
    "7:",
    ".endm",
    // RDX is the goroutine's stack pointer in asmcgocall. What the enter hook left in its frame tells a crossing;
    // after C only RSP can be trusted, and the goroutine's stack may have moved in a callback.
    ".macro c_thunk p_lost",
    "cmp dword ptr [rdx + {RETURN}], {AFTER_ASMCGOCALL}",
    "jne 31f",
    "mov r12, [rdx + {RESULT}]",                             // entry, odd if timed
    "sub rsp, 24",
    "mov [rsp], r12",
    // Its upper half is 0 where there is none: who joins a program that runs sets that of crossings that have not passed
    // the enter hook.
    "mov r8, r12",
    "shr r8, 32",
    "jz 14f",
    "test r12b, 1",
    "jnz 12f",
    // What the unwinder of a sample finds at the frame of this call.
    "mov r8, [r12 + {f_cell}]",
    "mov [rsp + {marker_cell}], r8",
    "mov rdi, rbx",
    "call rax",
    "from_c",
    "cmp qword ptr [rip + cgoprof_here], 0",
    "je 18f",
    "mov r12, [rsp]",
    "mov rcx, [rsp + {SAVED_G_BELOW}]",
    "mov r13, [r12 + {f_thread}]",
    "mov rcx, [rcx + 48]",                                   // m
    "mov r8, [r13 + {t_coarse}]",
    "sub r8, [r12 + {f_coarse}]",
    "cmp r8, 2",
    "jae 13f",
    "\\p_lost 16f",
    "mov [r13 + {t_top}], r12",
    "back",

    // Of an M without a table: already counted. Or begun before we came.
    "14:",
    "mov qword ptr [rsp + {marker_cell}], 0",
    "mov rdi, rbx",
    "call rax",
    "from_c",
    "18:",
    "back",

    // Timed: notes when C is called, and when it is back. EAX is C's errno.
    "12:",
    "mov r8, [r12 - 1 + {f_cell}]",
    "mov [rsp + {marker_cell}], r8",
    "mov r8, rax",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "mov [r12 - 1 + {f_called}], rdx",
    "mov rdi, rbx",
    "call r8",
    "from_c",
    "cmp qword ptr [rip + cgoprof_here], 0",
    "je 18b",
    "mov rbx, rax",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "mov r12, [rsp]",
    "dec r12",
    "mov rcx, [rsp + {SAVED_G_BELOW}]",
    "mov rcx, [rcx + 48]",
    "xor r8d, r8d",
    "\\p_lost 15f",
    "jmp 17f",
    // Untimed, but long or without its P.
    "13:",
    "mov rbx, rax",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "xor r8d, r8d",
    "\\p_lost 15f",
    "jmp 17f",
    "16:",
    "mov rbx, rax",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "15:",
    "mov r8d, 1",
    // The Rust hook adds its times, takes it out of flight and fills the slots.
    "17:",
    "mov rcx, [rsp + {SAVED_G_BELOW}]",
    "mov rcx, [rcx + 8]",
    "sub rcx, [rsp + {SAVED_DEPTH_BELOW}]",
    "lea rsi, [rcx + {FIRST_SLOT}]",
    "mov rdi, r12",
    "mov ecx, r8d",
    "call cgoprof_returned",
    "mov eax, ebx",
    "back",

    // Not a crossing: direct. The g of the thread where no goroutine was switched from.
    "31:",
    "mov r14, [rsp + {SAVED_G}]",
    "test r14, r14",
    "jnz 32f",
    "mov r14, qword ptr fs:[{GOROUTINE}]",
    "32:",
    "sub rsp, 24",
    "mov [rsp], rax",
    "mov rdi, r14",
    "mov rsi, rax",
    "mov rcx, rbp",
    "xor eax, eax",
    "cmp qword ptr [rip + cgoprof_here], 0",
    "je 35f",
    "call cgoprof_direct_entered",
    "35:",
    "mov rcx, [rsp]",
    "mov [rsp], rax",
    "test rax, rax",
    "jz 34f",
    "mov rax, [rax + {f_cell}]",
    "34:",
    "mov [rsp + {marker_cell}], rax",
    "mov rdi, rbx",
    "call rcx",
    "from_c",
    "mov rdi, [rsp]",
    "test rdi, rdi",
    "jz 33f",
    "cmp qword ptr [rip + cgoprof_here], 0",
    "je 33f",
    "mov [rsp], rax",
    "rdtsc",
    "shl rdx, 32",
    "mov rsi, rdx",
    "or rsi, rax",
    "call cgoprof_direct_returned",
    "mov eax, [rsp]",
    "33:",
    "back",
    ".endm",
    ".balign 64",
    ".globl thunk_c_wired",
    "thunk_c_wired:",
    "c_thunk p_lost_wired",
    ".balign 64",
    ".globl thunk_c_released",
    "thunk_c_released:",
    "c_thunk p_lost_released",

    // In place of cgocall's epilogue: the words that were asmcgocall's arguments lie at RSP.
    ".balign 64",
    ".globl thunk_exit",
    "thunk_exit:",
    "cmp byte ptr [rsp + 7], 0",
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

    // In place of cgocallbackg's `call cgocallbackg1`, whose arguments are in registers: the first is the Go function.
    ".balign 16",
    ".globl thunk_callback_acquired",
    "thunk_callback_acquired:",
    "save",
    "mov rdi, r14",
    "mov rsi, rax",
    "hook cgoprof_callback_acquired",
    "restore",
    "jmp [rip + cgoprof_params + {p_cgocallbackg1}]",

    // In place of cgocallbackg's epilogue, which follows. It returns nothing.
    ".balign 16",
    ".globl thunk_callback_release",
    "thunk_callback_release:",
    "mov rdi, r14",
    "hook cgoprof_callback_released",
    ".globl thunk_callback_release_epilogue",
    "thunk_callback_release_epilogue:",
    ".fill 16, 1, 0xcc",

    // Its address is loaded in place of needm's or needAndBindM's in cgocallback, on a foreign thread's own stack: there
    // is no g before, and nothing but RSP and RBP is kept by them.
    ".balign 16",
    ".globl thunk_attach",
    "thunk_attach:",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "push rdx",
    "xor eax, eax",
    "call [rip + cgoprof_params + {p_needm}]",
    "pop rsi",
    "mov rdi, qword ptr fs:[{GOROUTINE}]",
    "hook cgoprof_attached",
    "ret",

    // In place of exitsyscall's `call mcall` where there is no P; RAX is mcall's argument.
    ".balign 16",
    ".globl thunk_park",
    "thunk_park:",
    "save",
    "mov rdi, r14",
    "mov rsi, rbp",
    "hook cgoprof_parked",
    "restore",
    "jmp [rip + cgoprof_params + {p_mcall}]",

    // Keeps the vector registers that Go may use; X15 is 0.
    ".macro save_vectors",
    "sub rsp, 240",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14",
    "movups [rsp + 16*\\n], xmm\\n",
    ".endr",
    ".endm",
    ".macro restore_vectors",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14",
    "movups xmm\\n, [rsp + 16*\\n]",
    ".endr",
    "add rsp, 240",
    ".endm",

    // The four that follow are amid functions of Go's, in place of an instruction: that comes first, in a piece of code of
    // the place's own, which calls the thunk and jumps back.

    // Where LockOSThread has counted m.lockedExt, which may be amid any function: keeps everything. RDX is where the jump
    // behind the call leads.
    ".balign 16",
    ".globl thunk_lock",
    "thunk_lock:",
    "save",
    "mov rdx, [rsp + {saved}]",
    "movsxd rcx, dword ptr [rdx + 1]",
    "lea rdx, [rdx + rcx + 5]",
    "save_vectors",
    "mov rdi, r14",
    "mov rsi, rbp",
    "hook cgoprof_locked",
    "restore_vectors",
    "restore",
    "ret",

    // Where cgocallbackg has reentersyscall inlined.
    ".balign 16",
    ".globl thunk_callback_end_inlined",
    "thunk_callback_end_inlined:",
    "save",
    "mov rdi, r14",
    "hook cgoprof_callback_ended",
    "restore",
    "ret",

    // Where UnlockOSThread has counted m.lockedExt, amid any function: keeps everything, vectors too, and only
    // notes when it was, if the goroutine is not locked any more.
    ".balign 16",
    ".globl thunk_unlock",
    "thunk_unlock:",
    "pushfq",
    "push rax", "push rcx", "push rdx", "push rsi", "push rdi",
    "mov rcx, [r14 + 48]",
    "cmp dword ptr [rcx + {M_LOCKED_EXT}], 0",
    "jne 3f",
    "mov rdx, [rip + cgoprof_here]",
    "test rdx, rdx",
    "jz 3f",
    "movzx edi, word ptr [r14 + 49]",
    "shr edi, 2",
    "mov rsi, [rdx + rdi*8 + {h_directory}]",
    "test rsi, rsi",
    "jz 4f",
    "cmp [rsi + {t_owner}], rcx",
    "je 1f",
    "4:",
    "xor edi, 1",
    "mov rsi, [rdx + rdi*8 + {h_directory}]",
    "test rsi, rsi",
    "jz 2f",
    "cmp [rsi + {t_owner}], rcx",
    "jne 2f",
    "1:",
    "rdtsc",
    "shl rdx, 32",
    "or rdx, rax",
    "mov [rsi + {t_unlocked}], rdx",
    "3:",
    "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rax",
    "popfq",
    "ret",
    "2:",
    "mov rsi, [rip + cgoprof_params + {p_tables}]",
    "lock inc qword ptr [rsi + {h_unlocks_missed}]",
    "jmp 3b",

    // In place of plugin.open's `call lastmoduleinit`.
    ".balign 16",
    ".globl thunk_plugin_loaded",
    "thunk_plugin_loaded:",
    "save",
    "hook cgoprof_plugin_loaded",
    "restore",
    "jmp [rip + cgoprof_params + {p_lastmoduleinit}]",

    // In place of cgocallbackg's `call reentersyscall`, whose arguments are in registers.
    ".balign 16",
    ".globl thunk_callback_end",
    "thunk_callback_end:",
    "save",
    "mov rdi, r14",
    "hook cgoprof_callback_ended",
    "restore",
    "jmp [rip + cgoprof_params + {p_reentersyscall}]",

    // In unwindm, where it has set `mp.incgo = false`.
    ".balign 16",
    ".globl thunk_unwind",
    "thunk_unwind:",
    "save",
    "mov rdi, r14",
    "hook cgoprof_unwound",
    // As C has not returned to its hook, what that has left on the system stack is wiped here. Nobody is on that, up to
    // where it was left for C (m.g0.sched.sp), which unwindm has just set.
    "mov rdi, [r14 + 48]",
    "mov rdi, [rdi]",
    "mov rdi, [rdi + {G_SCHED_SP}]",
    "sub rdi, {hook_frames}",
    "xor eax, eax",
    "mov ecx, {hook_frames} / 8",
    "rep stosq",
    "restore",
    "ret",

    params_size = const size_of::<Params>(),
    saved = const 11 * size_of::<u64>(),
    M_P = const holes::M_P,
    M_LOCKED_EXT = const holes::M_LOCKED_EXT,
    SPILLED_FN = const holes::SPILLED_FN,
    FRAME_RESULT = const holes::FRAME_RESULT,
    RESULT = const holes::RESULT,
    RETURN = const holes::RETURN,
    FIRST_SLOT = const holes::FIRST_SLOT,
    SAVED_G = const holes::SAVED_G,
    SAVED_G_BELOW = const holes::SAVED_G_BELOW,
    GOROUTINE = const holes::GOROUTINE,
    AFTER_ASMCGOCALL = const holes::AFTER_ASMCGOCALL,
    ENTERSYSCALL = const holes::ENTERSYSCALL,
    SAVED_DEPTH_BELOW = const holes::SAVED_DEPTH_BELOW,
    p_exitsyscall = const offset_of!(Params, exitsyscall),
    p_reentersyscall = const offset_of!(Params, reentersyscall),
    p_tables = const offset_of!(Params, tables),
    h_unlocks_missed = const offset_of!(Header, unlocks_missed),
    t_unlocked = const offset_of!(Thread, unlocked),
    p_lastmoduleinit = const offset_of!(Params, lastmoduleinit),
    p_mcall = const offset_of!(Params, mcall),
    p_cgocallbackg1 = const offset_of!(Params, cgocallbackg1),
    p_needm = const offset_of!(Params, needm),
    G_SCHED_SP = const G_SCHED_SP,
    hook_frames = const HOOK_FRAMES,
    G_GOID = const holes::G_GOID,
    t_goid = const offset_of!(Thread, goid),
    t_run = const offset_of!(Thread, run),
    p_m_oldp = const offset_of!(Params, m_oldp),
    p_m_syscalltick = const offset_of!(Params, m_syscalltick),
    h_directory = const offset_of!(Header, directory),
    memo_mask = const MEMO - 1,
    t_coarse = const offset_of!(Thread, coarse),
    t_owner = const offset_of!(Thread, owner),
    t_memo = const offset_of!(Thread, memo),
    t_top = const offset_of!(Thread, top),
    t_enclosing = const offset_of!(Thread, enclosing),
    marker_cell = const MARKER_CELL,
    entry_size = const size_of::<InFlight>(),
    f_cell = const offset_of!(InFlight, tagged_cell),
    f_called = const offset_of!(InFlight, called),
    f_coarse = const offset_of!(InFlight, coarse),
    f_thread = const offset_of!(InFlight, thread),
    cell_size = const size_of::<Cell>(),
    c_calls = const offset_of!(Cell, calls),
    c_timed_at = const offset_of!(Cell, timed_at),
    c_function = const offset_of!(Cell, function),
    c_stack_depth = const offset_of!(Cell, stack_depth),
    c_enclosing = const offset_of!(Cell, enclosing),
    c_locks = const offset_of!(Cell, locks),
    c_blocks = const offset_of!(Cell, blocks),
);
