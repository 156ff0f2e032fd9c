//! The trampoline engine's plan: which bytes are replaced, and what the hooks must know.
//!
//! Every site is checked against what it must be, byte for byte; anything else refuses the engine. Nothing
//! is assumed from the Go version that the code itself can tell.

use cgoprof_symbols::runtime_offsets::{MEASURED, RuntimeOffsets};
use cgoprof_symbols::{Svma, dwarf_offsets};
use iced_x86::{FlowControl, Instruction, MemorySize, Mnemonic, OpKind, Register};

use super::Target;
use super::code::Code;
use super::functions::RuntimeFunctions;
use super::module::ModulePlan;
use super::probes::resumption;
use super::{callbacks, locks};

/// Why an engine can't be used on a binary.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum PlanError {
    /// A function is not in the pclntab.
    #[error("the binary has no {0}")]
    MissingFunction(&'static str),
    /// A function's bytes are not there or not code.
    #[error("the code of {0} can't be read")]
    Unreadable(String),
    /// The code is not as expected.
    #[error("{function} has an unknown shape: expected {expected}")]
    Shape {
        /// Where.
        function: String,
        /// What was looked for.
        expected: String,
    },
    /// A branch leads into bytes that would be replaced.
    #[error("{function} branches into the bytes to be patched, from {from}")]
    BranchInto {
        /// Where.
        function: String,
        /// The branch.
        from: Svma,
    },
    /// The struct offsets are neither known nor in DWARF.
    #[error("the struct offsets of its Go version ({0}) are not known and the binary has no DWARF that states them")]
    Offsets(String),
}

/// Which hook a patch leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// `cgocall` calls `entersyscall`.
    Enter,
    /// `asmcgocall` calls the C function.
    C,
    /// `cgocall` returns.
    Exit,
    /// `cgocallbackg` calls `exitsyscall`.
    CallbackBegin,
    /// `cgocallbackg` calls `cgocallbackg1`.
    CallbackAcquired,
    /// `cgocallbackg` calls `reentersyscall`.
    CallbackEnd,
    /// The same where it has that inlined.
    CallbackEndInlined,
    /// `cgocallbackg` returns.
    CallbackRelease,
    /// `cgocallback` loads the address of `needm` or `needAndBindM`.
    Attach,
    /// `unwindm` leaves a crossing.
    Unwind,
    /// `exitsyscall` calls `mcall` because there is no P.
    Park,
    /// `LockOSThread` counts, there or where it is inlined.
    Lock,
    /// `UnlockOSThread` counts, there or where it is inlined.
    Unlock,
    /// `plugin.open` calls `lastmoduleinit`: a plugin is there.
    PluginLoaded,
}

impl Hook {
    /// Whether its places are single instructions amid functions, of which there may be several.
    pub fn is_amid(self) -> bool {
        matches!(self, Hook::CallbackEndInlined | Hook::Unwind | Hook::Lock | Hook::Unlock)
    }
}

/// How the hook is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transfer {
    /// `call rel32`.
    Call,
    /// `jmp rel32`, followed by padding that is never executed.
    Jump,
    /// `lea rax, [rip + rel32]`, for a call that follows.
    Load,
}

/// One replaced piece of code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// Where the hook leads.
    pub hook: Hook,
    /// Function that is patched, for people.
    pub function: String,
    /// First byte.
    pub at: Svma,
    /// What must be there.
    pub original: Vec<u8>,
    /// What replaces it.
    pub transfer: Transfer,
    /// Bytes from the stack pointer there to the return address of the function, if its table tells.
    pub frame_size: Option<u32>,
}

impl Patch {
    /// The bytes that reach a hook from this patch, both at their place in memory; none if it is too far.
    pub fn bytes(&self, at: u64, hook: u64) -> Option<Vec<u8>> {
        let opcode: &[u8] = match self.transfer {
            Transfer::Call => &[0xe8],
            Transfer::Jump => &[0xe9],
            Transfer::Load => &LOAD_RAX,
        };
        let next = at as i64 + opcode.len() as i64 + 4;
        let distance = i32::try_from((hook as i64).wrapping_sub(next)).ok()?;
        let mut bytes = opcode.to_vec();
        bytes.extend(distance.to_le_bytes());
        bytes.resize(self.original.len(), 0xcc);
        Some(bytes)
    }
}

/// Instructions that a hook repeats because they were replaced. They are position independent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Displaced {
    /// The hook.
    pub hook: Hook,
    /// Where they were.
    pub at: Svma,
    /// The instructions.
    pub code: Vec<u8>,
    /// Where it goes on; none after an epilogue.
    pub back: Option<Svma>,
}

/// Everything that injection needs to know about a binary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What is replaced.
    pub patches: Vec<Patch>,
    /// What the hooks repeat.
    pub displaced: Vec<Displaced>,
    /// Places where goroutines lock themselves to their threads, or unlock, that are not as known, and not replaced.
    pub unseen_locks: usize,
    /// `runtime.mcall`.
    pub mcall: Svma,
    /// `plugin.lastmoduleinit`, if the program loads plugins.
    pub lastmoduleinit: Option<Svma>,
    /// `runtime.cgocallbackg1`.
    pub cgocallbackg1: Svma,
    /// What gets an M for a foreign thread.
    pub needm: Svma,
    /// `runtime.newm1`, which makes threads, and what it may be inlined into.
    pub newm1: Vec<std::ops::Range<Svma>>,
    /// `runtime.LockOSThread`, if the program has it.
    pub lock_os_thread: Option<std::ops::Range<Svma>>,
    /// Return address of `cgocall`'s call of `entersyscall`.
    pub after_entersyscall: Svma,
    /// Return address of `cgocall`'s call of `exitsyscall`.
    pub after_exitsyscall: Svma,
    /// `runtime.entersyscall`.
    pub entersyscall: Svma,
    /// `runtime.exitsyscall`.
    pub exitsyscall: Svma,
    /// `runtime.reentersyscall`, unless it is inlined.
    pub reentersyscall: Option<Svma>,
    /// Return address of `cgocall`'s call of `asmcgocall`.
    pub after_asmcgocall: Svma,
    /// Struct offsets.
    pub offsets: RuntimeOffsets,
    /// Go 1.26 on: the P stays wired to its M in a system call.
    pub p_stays_wired: bool,
    /// Layout of `asmcgocall`'s and `cgocall`'s frames.
    pub frames: FrameLayout,
    /// Where a thread keeps its g.
    pub goroutine: GoroutineSlot,
    /// purego's trampoline.
    pub purego: Option<Svma>,
    /// Where the runtime looks for functions.
    pub module: Option<ModulePlan>,
}

/// Where a thread keeps its g, from FS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GoroutineSlot {
    /// There, in any process.
    At(i32),
    /// There where this word says, which is filled in when the library is loaded.
    Stated(Svma),
}

/// Distances in bytes between what the hooks need in the frames of `cgocall` and `asmcgocall`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameLayout {
    /// Bytes that `asmcgocall` takes of the system stack, which it then aligns to 16.
    pub taken: u32,
    /// From the stack pointer at the C hook to the saved g.
    pub saved_g: u32,
    /// From the stack pointer at the C hook to the saved depth.
    pub saved_depth: u32,
    /// From the goroutine's stack pointer in `asmcgocall` to its return address.
    pub to_return: u32,
    /// From the goroutine's stack pointer in `asmcgocall` to `cgocall`'s frame pointer.
    pub to_frame: u32,
    /// From `cgocall`'s frame pointer to its spilled `fn`.
    pub spilled_fn: u32,
    /// From `cgocall`'s frame pointer to its spilled `arg`.
    pub spilled_arg: u32,
}

/// `mov rcx, rbx; call rax`: how `asmcgocall` calls C up to Go 1.21.
pub(crate) const CALL_C: [u8; 5] = [0x48, 0x89, 0xd9, 0xff, 0xd0];
/// `lea rax, [rip + ...]`.
pub(super) const LOAD_RAX: [u8; 3] = [0x48, 0x8d, 0x05];
/// `mov rdi, rbx; jmp rax`: the landing pad, from Go 1.22 on.
const LANDING_PAD: [u8; 5] = [0x48, 0x89, 0xdf, 0xff, 0xe0];
/// `mov rdi, rbx`: what begins the landing pad that jumps by `retpolineAX`.
const RETPOLINE_PAD: [u8; 3] = [0x48, 0x89, 0xdf];

impl Plan {
    /// The same without the hook that waits for plugins: only those that the first module loads are seen to.
    pub(crate) fn without_plugins(mut self) -> Plan {
        self.patches.retain(|patch| patch.hook != Hook::PluginLoaded);
        self.lastmoduleinit = None;
        self
    }

    /// Works out the plan.
    ///
    /// # Errors
    /// See [`PlanError`]: then the engine can't be used.
    pub fn new(target: &Target<'_>) -> Result<Plan, PlanError> {
        let functions = RuntimeFunctions::find(&target.pclntab)?;
        let cgocall = Code::decode(&target.binary, &functions.cgocall)?;
        let asmcgocall = Code::decode(&target.binary, &functions.asmcgocall)?;
        let unwindm = Code::decode(&target.binary, &functions.unwindm)?;

        let enter = cgocall.only_call(functions.entersyscall, "runtime.entersyscall")?;
        let asm = cgocall.only_call(functions.asmcgocall.start, "runtime.asmcgocall")?;
        let exit = cgocall.only_call(functions.exitsyscall.start, "runtime.exitsyscall")?;
        if !(enter < asm && asm < exit) {
            return Err(cgocall.unexpected("entersyscall, asmcgocall and exitsyscall in this order"));
        }
        let offsets = offsets(target, &cgocall.instructions[..exit])?;
        let (epilogue_at, epilogue) = epilogue(&cgocall, exit)?;
        check_slots_stay_dead(target, &cgocall, (asm, exit), epilogue_at)?;
        check_result_left_alone(target, &cgocall, enter, asm)?;
        let goroutine = goroutine_slot(&asmcgocall)?;
        let frames = frame_layout(&cgocall, &asmcgocall, enter, asm)?;
        check_stack_pointer_kept(&asmcgocall)?;

        let mut patches = vec![call_patch(Hook::Enter, &cgocall, enter)];
        patches.extend(c_patches(target, &functions, &asmcgocall)?);
        patches.push(Patch {
            hook: Hook::Exit,
            function: cgocall.name.clone(),
            at: epilogue_at,
            original: epilogue.clone(),
            transfer: Transfer::Jump,
            frame_size: None,
        });
        let mut displaced = vec![Displaced { hook: Hook::Exit, at: epilogue_at, code: epilogue, back: None }];
        let callback = callbacks::patches(target, &functions, &mut displaced)?;
        patches.extend(callback);
        let (attach, needm) = callbacks::attach(target, &functions)?;
        patches.push(attach);
        let mut amid = vec![unwind_patch(&unwindm, offsets)?];
        let exitsyscall = Code::decode(&target.binary, &functions.exitsyscall)?;
        let resumed = resumption(&exitsyscall, functions.mcall)?;
        patches.push(call_patch(Hook::Park, &exitsyscall, resumed - 1));
        patches.extend(plugin_patch(target, &functions));
        let (locks, unseen_locks) = locks::patches(target, &functions, offsets)?;
        amid.extend(locks);
        for (patch, repeated) in amid {
            patches.push(patch);
            displaced.push(repeated);
        }

        for patch in &mut patches {
            patch.frame_size = target.pclntab.frame_size_at(patch.at);
        }
        Ok(Plan {
            patches,
            displaced,
            unseen_locks,
            mcall: functions.mcall,
            lastmoduleinit: functions.lastmoduleinit,
            cgocallbackg1: functions.cgocallbackg1,
            needm,
            newm1: functions.newm1.clone(),
            lock_os_thread: functions.lock_os_thread.map(|function| function.start..function.end),
            after_entersyscall: Svma(cgocall.instructions[enter].next_ip()),
            after_exitsyscall: Svma(cgocall.instructions[exit].next_ip()),
            entersyscall: functions.entersyscall,
            exitsyscall: functions.exitsyscall.start,
            reentersyscall: functions.reentersyscall,
            after_asmcgocall: Svma(cgocall.instructions[asm].next_ip()),
            offsets,
            p_stays_wired: functions.p_stays_wired,
            frames,
            goroutine,
            purego: functions.purego,
            module: ModulePlan::find(target),
        })
    }
}

pub(super) fn call_patch(hook: Hook, code: &Code<'_>, index: usize) -> Patch {
    let call = &code.instructions[index];
    let original = code.bytes_of(call).to_vec();
    let (function, at) = (code.name.clone(), Svma(call.ip()));
    Patch { hook, function, at, original, transfer: Transfer::Call, frame_size: None }
}

/// Where a plugin has been loaded, in a program that loads some in the way that is known.
fn plugin_patch(target: &Target<'_>, functions: &RuntimeFunctions<'_>) -> Option<Patch> {
    let code = Code::decode_long(&target.binary, &functions.plugin_open?).ok()?;
    let call = code.only_call(functions.lastmoduleinit?, "plugin.lastmoduleinit").ok()?;
    Some(call_patch(Hook::PluginLoaded, &code, call))
}

/// Where `asmcgocall` reaches C: at its landing pad, or at each of its two calls. With `-spectre=ret` an indirect jump or call
/// goes by way of `retpolineAX` (runtime/asm_amd64.s).
fn c_patches(
    target: &Target<'_>,
    functions: &RuntimeFunctions<'_>,
    asmcgocall: &Code<'_>,
) -> Result<Vec<Patch>, PlanError> {
    let patch = |code: &Code<'_>, from: &Instruction, to: &Instruction, transfer| Patch {
        hook: Hook::C,
        function: code.name.clone(),
        at: Svma(from.ip()),
        original: code.bytes[(from.ip() - code.start.0) as usize..(to.next_ip() - code.start.0) as usize].to_vec(),
        transfer,
        frame_size: None,
    };
    if let Some(pad) = &functions.landing_pad {
        let code = Code::decode(&target.binary, pad)?;
        return match code.instructions.as_slice() {
            [load, jump, ..] if code.bytes.starts_with(&LANDING_PAD) => {
                Ok(vec![patch(&code, load, jump, Transfer::Jump)])
            }
            [load, jump, ..] if code.bytes.starts_with(&RETPOLINE_PAD) && functions.by_retpoline(jump) => {
                Ok(vec![patch(&code, load, jump, Transfer::Jump)])
            }
            _ => Err(code.unexpected("mov rdi, rbx; jmp rax")),
        };
    }
    let mut patches = Vec::new();
    for pair in asmcgocall.instructions.windows(2) {
        let start = (pair[0].ip() - asmcgocall.start.0) as usize;
        if asmcgocall.bytes[start..].starts_with(&CALL_C) && pair[1].flow_control() == FlowControl::IndirectCall {
            asmcgocall.check_no_branch_into(pair[0].ip()..pair[1].next_ip())?;
            patches.push(patch(asmcgocall, &pair[0], &pair[1], Transfer::Call));
        } else if functions.by_retpoline(&pair[1]) {
            patches.push(patch(asmcgocall, &pair[1], &pair[1], Transfer::Call));
        }
    }
    if patches.len() != 2 {
        return Err(asmcgocall.unexpected(format!("two of mov rcx, rbx; call rax, found {}", patches.len())));
    }
    Ok(patches)
}

/// The instruction of `unwindm` that stores `mp.incgo = false`, which only runs when a crossing is left: its index.
pub(super) fn incgo_cleared(unwindm: &Code<'_>, offsets: RuntimeOffsets) -> Result<usize, PlanError> {
    let clears = |instruction: &Instruction| {
        stores_byte(instruction, 0) && instruction.memory_displacement64() == u64::from(offsets.m_incgo)
    };
    let mut stores = (0..unwindm.instructions.len()).filter(|&index| clears(&unwindm.instructions[index]));
    match (stores.next(), stores.next()) {
        (Some(store), None) => Ok(store),
        _ => Err(unwindm.unexpected("one mp.incgo = false")),
    }
}

fn unwind_patch(unwindm: &Code<'_>, offsets: RuntimeOffsets) -> Result<(Patch, Displaced), PlanError> {
    check_no_vectors(unwindm)?;
    amid_patch(Hook::Unwind, unwindm, &unwindm.instructions[incgo_cleared(unwindm, offsets)?])
}

/// Replaces one instruction amid a function.
pub(super) fn amid_patch(hook: Hook, code: &Code<'_>, replaced: &Instruction) -> Result<(Patch, Displaced), PlanError> {
    let original = code.bytes_of(replaced).to_vec();
    if original.len() < 5 || replaced.is_ip_rel_memory_operand() || replaced.flow_control() != FlowControl::Next {
        return Err(code.unexpected("an instruction of 5 bytes and more that can be repeated elsewhere"));
    }
    code.check_no_branch_into(replaced.ip()..replaced.next_ip())?;
    let (function, at) = (code.name.clone(), Svma(replaced.ip()));
    let displaced = Displaced { hook, at, code: original.clone(), back: Some(Svma(replaced.next_ip())) };
    Ok((Patch { hook, function, at, original, transfer: Transfer::Jump, frame_size: None }, displaced))
}

/// Hooks amid a function keep the general registers and the flags, and X15, which Go keeps 0.
fn check_no_vectors(code: &Code<'_>) -> Result<(), PlanError> {
    let uses_vectors = |instruction: &Instruction| {
        (0..instruction.op_count()).any(|operand| {
            let register = instruction.op_register(operand);
            let is_vector = register.is_vector_register() && register != Register::XMM15;
            instruction.op_kind(operand) == OpKind::Register && is_vector
        })
    };
    if code.instructions.iter().any(uses_vectors) {
        return Err(code.unexpected("no vector register in use"));
    }
    Ok(())
}

/// The bytes from the end of a function's work to its only return, which follows its last call.
pub(super) fn epilogue(code: &Code<'_>, exit: usize) -> Result<(Svma, Vec<u8>), PlanError> {
    let returns: Vec<_> = (0..code.instructions.len())
        .filter(|&index| code.instructions[index].flow_control() == FlowControl::Return)
        .collect();
    let &[ret] = returns.as_slice() else {
        return Err(code.unexpected(format!("one return, found {}", returns.len())));
    };
    // `add rsp, F; pop rbp; ret`, or `mov rbp, [rsp+F]; add rsp, F; ret` up to Go 1.20; a `nop` may align any of them.
    let after_call = code.instructions.get(exit + 1..ret).unwrap_or_default();
    let mut before = after_call.iter().rev().filter(|one| one.mnemonic() != Mnemonic::Nop);
    let (Some(second), Some(first)) = (before.next(), before.next()) else {
        return Err(code.unexpected("an epilogue after its last call"));
    };
    let frees = |instruction: &Instruction| {
        matches!(instruction.mnemonic(), Mnemonic::Add | Mnemonic::Sub) && instruction.op0_register() == Register::RSP
    };
    let pops = second.mnemonic() == Mnemonic::Pop && second.op0_register() == Register::RBP;
    let loads = first.mnemonic() == Mnemonic::Mov
        && first.op0_register() == Register::RBP
        && first.memory_base() == Register::RSP;
    if !(frees(first) && pops || loads && frees(second)) {
        return Err(code.unexpected("an epilogue that frees the frame and restores RBP"));
    }
    let (start, end) = (first.ip(), code.instructions[ret].next_ip());
    code.check_no_branch_into(start..end)?;
    let from = (start - code.start.0) as usize;
    let bytes = code.bytes[from..from + (end - start) as usize].to_vec();
    if !(5..=16).contains(&bytes.len()) {
        return Err(code.unexpected("an epilogue of 5 to 16 bytes"));
    }
    Ok((Svma(start), bytes))
}

fn is_call(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
}

/// Whether a call leads to a function that writes nothing to its caller's frame. A function with arguments in registers may
/// write them there (Go's ABI specification, "spill space"), and does before it has its stack grown.
fn leaves_caller_alone(target: &Target<'_>, call: &Instruction) -> bool {
    let called = target.pclntab.function_at(Svma(call.near_branch_target()));
    let Some(code) = called.and_then(|function| Code::decode(&target.binary, &function).ok()) else { return false };
    if code.is_read_only() {
        return true;
    }
    let Ok(frame) = frame_size(&code) else { return false };
    let grows = |instruction: &Instruction| {
        let called = target.pclntab.function_at(Svma(instruction.near_branch_target()));
        is_call(instruction) && called.is_some_and(|called| called.name.starts_with("runtime.morestack"))
    };
    // The saved frame pointer and the return address lie between the frame and the caller's.
    let spills = |instruction: &Instruction| {
        instruction.op0_kind() == OpKind::Memory
            && instruction.memory_base() == Register::RSP
            && instruction.memory_displacement64() >= u64::from(frame) + 16
            && !matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test)
    };
    call.flow_control() == FlowControl::Call
        && !code.instructions.iter().any(|instruction| grows(instruction) || spills(instruction))
}

/// `asmcgocall`'s arguments must not be written again before the epilogue reads them.
fn check_slots_stay_dead(
    target: &Target<'_>,
    cgocall: &Code<'_>,
    (asm, exit): (usize, usize),
    epilogue: Svma,
) -> Result<(), PlanError> {
    let from_asm = cgocall.instructions.iter().enumerate().skip(asm + 1);
    for (index, instruction) in from_asm.take_while(|(_, instruction)| instruction.ip() < epilogue.0) {
        let touches = instruction.memory_base() == Register::RSP
            && (0..2).any(|operand| instruction.op_kind(operand) == OpKind::Memory)
            && instruction.memory_displacement64() < 16;
        // `exitsyscall` has no arguments.
        let calls_writer = index != exit && is_call(instruction) && !leaves_caller_alone(target, instruction);
        if touches || calls_writer {
            return Err(cgocall.unexpected("asmcgocall's argument words left alone after it"));
        }
    }
    Ok(())
}

/// Between the enter hook and the call of `asmcgocall` the word for its result carries the crossing: nothing may write
/// there. Without inlining (`-gcflags=-l`) `osPreemptExtEnter` is called there, which is empty on Linux
/// (runtime/preempt_nonwindows.go).
fn check_result_left_alone(target: &Target<'_>, cgocall: &Code<'_>, enter: usize, asm: usize) -> Result<(), PlanError> {
    const RESULT: std::ops::Range<u64> = 16..24;
    let between = &cgocall.instructions[enter + 1..asm];
    let writes = |instruction: &Instruction| {
        let at = instruction.memory_displacement64();
        instruction.op0_kind() == OpKind::Memory
            && instruction.memory_base() == Register::RSP
            && !matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test)
            && at < RESULT.end
            && at + instruction.memory_size().size() as u64 > RESULT.start
    };
    let calls_writer = |instruction: &Instruction| is_call(instruction) && !leaves_caller_alone(target, instruction);
    if between.iter().any(|instruction| writes(instruction) || calls_writer(instruction)) {
        return Err(cgocall.unexpected("asmcgocall's result word left alone before it"));
    }
    Ok(())
}

/// Where the thread keeps its g, from FS: -8 in most programs, further below where C code that is linked in has
/// thread-local variables of its own (8 KiB in DuckDB and librdkafka). Given in place, or in a register before; in a
/// library, loaded from a word that is filled in when it is loaded.
fn goroutine_slot(asmcgocall: &Code<'_>) -> Result<GoroutineSlot, PlanError> {
    let (mut immediates, mut stated) = (Vec::new(), Vec::new());
    for instruction in &asmcgocall.instructions {
        let moves = instruction.mnemonic() == Mnemonic::Mov;
        if moves && instruction.op1_kind() == OpKind::Immediate32to64 {
            immediates.push((instruction.op0_register(), instruction.immediate32to64()));
        }
        if moves && instruction.is_ip_rel_memory_operand() && instruction.op0_kind() == OpKind::Register {
            stated.push((instruction.op0_register(), Svma(instruction.ip_rel_memory_address())));
        }
        if instruction.segment_prefix() == Register::FS && moves {
            let word = stated.iter().find(|&&(register, _)| register == instruction.memory_base());
            if let (Some(&(_, word)), 0) = (word, instruction.memory_displacement64()) {
                return Ok(GoroutineSlot::Stated(word));
            }
            let base = immediates.iter().find(|&&(register, _)| register == instruction.memory_base());
            let displacement = instruction.memory_displacement64() as i64;
            let offset = match (instruction.memory_base(), base) {
                (Register::None, _) => displacement,
                (_, Some(&(_, immediate))) => immediate.wrapping_add(displacement),
                _ => break,
            };
            return i32::try_from(offset)
                .ok()
                .filter(|&offset| offset < 0)
                .map(GoroutineSlot::At)
                .ok_or_else(|| asmcgocall.unexpected(format!("the goroutine below FS, found {offset:#x}")));
        }
    }
    Err(asmcgocall.unexpected("the goroutine loaded from FS"))
}

fn frame_layout(cgocall: &Code<'_>, asmcgocall: &Code<'_>, enter: usize, asm: usize) -> Result<FrameLayout, PlanError> {
    let frame = frame_size(cgocall)?;
    let asm_has_frame = asmcgocall.bytes.starts_with(&[0x55, 0x48, 0x89, 0xe5]);
    let to_return = if asm_has_frame { 8 } else { 0 };
    let (fn_from, arg_from) = argument_sources(cgocall, enter, asm)?;
    let spilled =
        |from: u32| from.checked_sub(frame).ok_or_else(|| cgocall.unexpected("fn and arg spilled above the frame"));

    // After aligning the system stack, asmcgocall stores RDI twice: the g, then the depth.
    let aligned = asmcgocall
        .instructions
        .iter()
        .position(|instruction| instruction.mnemonic() == Mnemonic::And && instruction.op0_register() == Register::RSP);
    let aligned = aligned.ok_or_else(|| asmcgocall.unexpected("an aligned system stack"))?;
    let takes = |instruction: &&Instruction| {
        instruction.mnemonic() == Mnemonic::Sub && instruction.op0_register() == Register::RSP
    };
    let taken = asmcgocall.instructions[..aligned].last().filter(takes);
    let taken = taken.ok_or_else(|| asmcgocall.unexpected("how much of the system stack is taken"))?;
    let mut stores = asmcgocall.instructions[aligned..].iter().filter(|instruction| {
        instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_kind() == OpKind::Memory
            && instruction.memory_base() == Register::RSP
            && instruction.op1_register() == Register::RDI
    });
    let (Some(g), Some(depth)) = (stores.next(), stores.next()) else {
        return Err(asmcgocall.unexpected("the g and the depth saved on the system stack"));
    };
    // The call of C, or of the landing pad, has pushed its return address.
    let above_return = |store: &Instruction| store.memory_displacement64() as u32 + 8;
    Ok(FrameLayout {
        taken: taken.immediate32(),
        saved_g: above_return(g),
        saved_depth: above_return(depth),
        to_return,
        to_frame: to_return + 8 + frame,
        spilled_fn: spilled(fn_from)?,
        spilled_arg: spilled(arg_from)?,
    })
}

/// At the C hook RDX must be the goroutine's stack pointer in `asmcgocall`: on both of its ways to C it is saved from
/// there once the system stack is aligned, and must be left alone up to the call.
fn check_stack_pointer_kept(asmcgocall: &Code<'_>) -> Result<(), PlanError> {
    let aligns = |instruction: &Instruction| {
        instruction.mnemonic() == Mnemonic::And && instruction.op0_register() == Register::RSP
    };
    let mut ways = 0;
    for way in asmcgocall.instructions.split_inclusive(aligns).skip(1) {
        let to_call = way.iter().take_while(|instruction| {
            !matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
        });
        let (mut saved, mut changed) = (false, false);
        for instruction in to_call {
            saved |= instruction.op1_register() == Register::RDX
                && (instruction.mnemonic() == Mnemonic::Sub || instruction.memory_base() == Register::RSP);
            changed |= instruction.op0_kind() == OpKind::Register
                && instruction.op0_register().full_register() == Register::RDX;
        }
        if !saved || changed {
            return Err(asmcgocall.unexpected("the goroutine's stack pointer saved from RDX and left there"));
        }
        ways += 1;
    }
    if ways == 2 { Ok(()) } else { Err(asmcgocall.unexpected(format!("two ways to C, found {ways}"))) }
}

/// Bytes from `cgocall`'s stack pointer to its frame pointer.
fn frame_size(cgocall: &Code<'_>) -> Result<u32, PlanError> {
    let unexpected = || cgocall.unexpected("a frame pointer prologue");
    let [first, second, third] = cgocall.instructions.first_chunk().ok_or_else(unexpected)?;
    if first.mnemonic() == Mnemonic::Push && first.op0_register() == Register::RBP {
        // push rbp; mov rbp, rsp; sub rsp, F
        let sets = second.mnemonic() == Mnemonic::Mov
            && second.op0_register() == Register::RBP
            && second.op1_register() == Register::RSP;
        let takes = third.mnemonic() == Mnemonic::Sub && third.op0_register() == Register::RSP;
        if sets && takes {
            return Ok(third.immediate32to64() as u32);
        }
    }
    // sub rsp, F+8; mov [rsp+F], rbp; lea rbp, [rsp+F]
    let lea = third.mnemonic() == Mnemonic::Lea
        && third.op0_register() == Register::RBP
        && third.memory_base() == Register::RSP;
    let takes = first.mnemonic() == Mnemonic::Sub && first.op0_register() == Register::RSP;
    if takes && lea && u64::from(first.immediate32()) == third.memory_displacement64() + 8 {
        return Ok(third.memory_displacement64() as u32);
    }
    Err(unexpected())
}

/// Where `cgocall` keeps fn and arg while it enters the system call, from its stack pointer.
fn argument_sources(cgocall: &Code<'_>, enter: usize, asm: usize) -> Result<(u32, u32), PlanError> {
    let (mut held, mut fn_from, mut arg_from) = (Vec::new(), None, None);
    for instruction in &cgocall.instructions[enter + 1..asm] {
        if instruction.mnemonic() != Mnemonic::Mov || instruction.memory_base() != Register::RSP {
            continue;
        }
        let displacement = instruction.memory_displacement64() as u32;
        if instruction.op1_kind() == OpKind::Memory {
            held.retain(|&(register, _)| register != instruction.op0_register());
            held.push((instruction.op0_register(), displacement));
        } else if let Some(&(_, from)) = held.iter().find(|&&(register, _)| register == instruction.op1_register()) {
            match displacement {
                0 => fn_from = Some(from),
                8 => arg_from = Some(from),
                _ => {}
            }
        }
    }
    fn_from.zip(arg_from).ok_or_else(|| cgocall.unexpected("fn and arg loaded from the stack for asmcgocall"))
}

/// The struct offsets, which must be those that the start of `cgocall` uses: the measured ones of this release, else
/// DWARF's. Of a release that was not measured they are DWARF's, else those of the newest release that agree.
pub(super) fn offsets(target: &Target<'_>, cgocall: &[Instruction]) -> Result<RuntimeOffsets, PlanError> {
    let agrees = |offsets: &RuntimeOffsets| {
        let has = |displacement: u32, test: fn(&Instruction) -> bool| {
            let displacement = u64::from(displacement);
            cgocall.iter().any(|instruction| instruction.memory_displacement64() == displacement && test(instruction))
        };
        has(offsets.m_ncgocall, |i| i.mnemonic() == Mnemonic::Inc && i.memory_size() == MemorySize::UInt64)
            && has(offsets.m_ncgo, |i| i.mnemonic() == Mnemonic::Inc && i.memory_size() == MemorySize::UInt32)
            && has(offsets.m_incgo, |i| stores_byte(i, 1))
    };
    let measured = target.release.and_then(RuntimeOffsets::of_release).filter(agrees);
    let from_dwarf = || dwarf_offsets::read(&target.binary).filter(agrees);
    let newest = || MEASURED.into_iter().filter_map(RuntimeOffsets::of_release).find(agrees);
    let guessed = || newest().filter(|_| target.release.is_none());
    let unknown = || PlanError::Offsets(target.build.version_text.clone());
    measured.or_else(from_dwarf).or_else(guessed).ok_or_else(unknown)
}

fn stores_byte(instruction: &Instruction, value: u8) -> bool {
    instruction.mnemonic() == Mnemonic::Mov
        && instruction.memory_size() == MemorySize::UInt8
        && instruction.op1_kind() == OpKind::Immediate8
        && instruction.immediate8() == value
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::*;

    /// `asmcgocall`'s end as this code, or why not.
    fn check(what: &str, bytes: &[u8], accepted: bool) {
        let instructions = Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE).iter().collect();
        let code = Code { name: "runtime.asmcgocall".into(), start: Svma(0x1000), bytes, instructions };
        assert_eq!(check_stack_pointer_kept(&code).is_ok(), accepted, "{what}");
    }

    #[test]
    fn the_goroutines_stack_pointer_must_stay_in_rdx_up_to_c() {
        let align = [0x48, 0x83, 0xe4, 0xf0];
        let depth = [0x48, 0x29, 0xd7]; // sub rdi, rdx
        let save = [0x48, 0x89, 0x14, 0x24]; // mov [rsp], rdx
        let change = [0x48, 0x89, 0xc2]; // mov rdx, rax
        let narrow_change = [0x31, 0xd2]; // xor edx, edx
        let call = [0xff, 0xd0];
        let code = |parts: &[&[u8]]| parts.concat();
        check("both ways", &code(&[&align, &depth, &call, &change, &align, &save, &call]), true);
        check("changed", &code(&[&align, &depth, &change, &call, &align, &save, &call]), false);
        check("changed in part", &code(&[&align, &depth, &call, &align, &save, &narrow_change, &call]), false);
        check("not saved", &code(&[&align, &call, &align, &save, &call]), false);
        check("one way", &code(&[&align, &depth, &call]), false);
        check("no code", &[], false);
    }

    /// Once the planner stopped with a panic at it: a function that returns before it calls.
    #[test]
    fn a_return_before_the_last_call_is_no_epilogue() {
        let bytes = [0xc3, 0xe8, 0, 0, 0, 0, 0x90, 0x90];
        let instructions = Decoder::with_ip(64, &bytes, 0x1000, DecoderOptions::NONE).iter().collect();
        let code = Code { name: "runtime.cgocall".into(), start: Svma(0x1000), bytes: &bytes, instructions };
        assert!(matches!(epilogue(&code, 1), Err(PlanError::Shape { .. })));
    }
}
