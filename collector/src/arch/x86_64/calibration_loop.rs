//! A loop of crossings that do nothing, on which the hooks' cost is measured.
//!
//! It builds the frames of `cgocall` and `asmcgocall` as Go 1.21 to 1.27 do, around a C function that returns at once.
//! Where Go enters and leaves the system call, the loop calls code that stands for that.

use std::arch::global_asm;
use std::mem::offset_of;

use crate::goruntime::plan::FrameLayout;

/// Data of the loop. It stands in for a goroutine, so that R14 leads to all of it.
#[repr(C)]
pub(crate) struct Goroutine {
    stack_low: u64,
    stack_high: u64,
    _unused: [u64; 4],
    pub(crate) m: u64,
    pub(crate) enter: u64,
    pub(crate) c: u64,
    pub(crate) exit: u64,
    pub(crate) c_function: u64,
    pub(crate) crossings: u64,
    pub(crate) exit_system_call: u64,
    pub(crate) status: u64,
    pub(crate) goid: u64,
}

impl Goroutine {
    /// Returns one that makes this many crossings. All else is 0.
    pub(crate) fn new(crossings: u64) -> Goroutine {
        Goroutine {
            stack_low: 0,
            stack_high: 0,
            _unused: [0; 4],
            m: 0,
            enter: 0,
            c: 0,
            exit: 0,
            c_function: address(cgoprof_stub_return),
            crossings,
            exit_system_call: 0,
            status: 0,
            goid: 1,
        }
    }
}

/// Layout of the loop's frames.
pub(crate) const FRAMES: FrameLayout = FrameLayout {
    taken: 16,
    saved_g: 16,
    saved_depth: 8,
    to_return: 8,
    to_frame: 16 + 0x28,
    spilled_fn: 16,
    spilled_arg: 24,
};
/// Stands for the return address into `cgocall`.
pub(crate) const AFTER_ASMCGOCALL: u64 = 0x1234;
/// `cgocall`'s epilogue: `add rsp, 0x28; pop rbp; ret`.
pub(crate) const EPILOGUE: [u8; 6] = [0x48, 0x83, 0xc4, 0x28, 0x5d, 0xc3];
/// One locked exchange of the goroutine's status: `xor eax, eax; lock cmpxchg [r14 + status], eax; ret`.
pub(crate) const EXCHANGE: [u8; 9] =
    [0x31, 0xc0, 0xf0, 0x41, 0x0f, 0xb1, 0x46, offset_of!(Goroutine, status) as u8, 0xc3];

/// Runs the loop.
///
/// # Safety
/// `g` must lead to code that may be called as the loop calls it, and to an M.
pub(crate) unsafe fn calibration_loop(g: &mut Goroutine) {
    // SAFETY: the loop keeps the C calling convention and works on its own stack and g; the rest is the caller's
    // promise.
    unsafe { cgoprof_calibration_loop(&raw mut *g) }
}

/// Address of a function that returns at once.
pub(crate) fn stub_return() -> u64 {
    address(cgoprof_stub_return)
}

/// Address of the code that stands for the C hook where there are no hooks.
pub(crate) fn stub_landing_pad() -> u64 {
    address(cgoprof_stub_landing_pad)
}

/// Address of the code that stands for the exit hook where there are no hooks.
pub(crate) fn stub_epilogue() -> u64 {
    address(cgoprof_stub_epilogue)
}

fn address(function: unsafe extern "C" fn()) -> u64 {
    function as *const () as u64
}

unsafe extern "C" {
    fn cgoprof_calibration_loop(g: *mut Goroutine);
    fn cgoprof_stub_return();
    fn cgoprof_stub_landing_pad();
    fn cgoprof_stub_epilogue();
}

global_asm!(
    ".balign 64",
    ".globl cgoprof_calibration_loop",
    "cgoprof_calibration_loop:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 40",
    "mov r14, rdi",
    "mov qword ptr [rsp], 0",          // the outermost frame: no frame pointer above it
    "mov qword ptr [rsp + 8], 0",
    "lea rax, [rsp + 40]",
    "mov [r14 + {stack_high}], rax",
    "mov [r14 + {stack_low}], rsp",
    "sub qword ptr [r14 + {stack_low}], 4096",
    "mov rbp, rsp",
    "20:",
    "call 30f",
    "dec qword ptr [r14 + {crossings}]",
    "jnz 20b",
    "add rsp, 40",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    // The wrapper, with fn and arg where cgocall spills them.
    "30:",
    "push rbp",
    "mov rbp, rsp",
    "sub rsp, 16",
    "mov rax, [r14 + {c_function}]",
    "mov [rsp], rax",
    "call 40f",
    "add rsp, 16",
    "pop rbp",
    "ret",
    // cgocall.
    "40:",
    "push rbp",
    "mov rbp, rsp",
    "sub rsp, 0x28",
    "call [r14 + {enter}]",
    "mov rax, [r14 + {c_function}]",
    // asmcgocall.
    "sub rsp, 16",
    "mov [rsp + 16], rax",
    "mov [rsp], rbp",
    "mov qword ptr [rsp + 8], {after_asmcgocall}",
    "mov rdx, rsp",
    "sub rsp, 16",
    "and rsp, -16",
    "mov [rsp + 8], r14",
    "mov rdi, [r14 + {stack_high}]",
    "sub rdi, rdx",
    "mov [rsp], rdi",
    "call [r14 + {c}]",
    "mov r14, [rsp + 8]",
    "mov rsi, [r14 + {stack_high}]",
    "sub rsi, [rsp]",
    "lea rsp, [rsi + 16]",
    "call [r14 + {exit_system_call}]",
    "jmp [r14 + {exit}]",
    ".globl cgoprof_stub_landing_pad",
    "cgoprof_stub_landing_pad:",
    "mov rdi, rbx",
    "jmp rax",
    ".globl cgoprof_stub_epilogue",
    "cgoprof_stub_epilogue:",
    "add rsp, 0x28",
    "pop rbp",
    ".globl cgoprof_stub_return",
    "cgoprof_stub_return:",
    "ret",
    after_asmcgocall = const AFTER_ASMCGOCALL,
    stack_low = const offset_of!(Goroutine, stack_low),
    stack_high = const offset_of!(Goroutine, stack_high),
    enter = const offset_of!(Goroutine, enter),
    c = const offset_of!(Goroutine, c),
    exit = const offset_of!(Goroutine, exit),
    c_function = const offset_of!(Goroutine, c_function),
    crossings = const offset_of!(Goroutine, crossings),
    exit_system_call = const offset_of!(Goroutine, exit_system_call),
);
