//! Places where C calls Go: `cgocallbackg` from start to end, and where a foreign thread gets its M.

use cgoprof_symbols::Svma;
use cgoprof_symbols::runtime_offsets::G_STACKGUARD0;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::code::{Code, by_retpoline};
use super::patch::{LOAD_RAX, amid_patch, call_patch, epilogue};
use crate::goruntime::Target;
use crate::goruntime::functions::RuntimeFunctions;
use crate::goruntime::plan::{Displaced, Hook, Patch, PlanError, Transfer};

/// Returns the patches for the hooks of a callback.
pub(super) fn patches(
    target: &Target<'_>,
    functions: &RuntimeFunctions<'_>,
    displaced: &mut Vec<Displaced>,
) -> Result<Vec<Patch>, PlanError> {
    // Up to Go 1.26 there is an ABI wrapper of the same name, which calls neither.
    for function in &functions.cgocallbackg {
        let code = Code::decode(&target.binary, function)?;
        let begin = code.only_call(functions.exitsyscall.start, "runtime.exitsyscall");
        if let (Ok(begin), Ok(end)) = (begin, end_of_callback(target, functions, &code)) {
            let acquired = code.only_call(functions.cgocallbackg1, "runtime.cgocallbackg1")?;
            if !(begin < acquired && acquired < end.index) {
                return Err(code.unexpected("exitsyscall, cgocallbackg1 and reentersyscall in this order"));
            }
            let (at, epilogue) = epilogue(&code, end.index)?;
            let end = if end.inlined {
                let (patch, repeated) = amid_patch(Hook::CallbackEndInlined, &code, &code.instructions[end.index])?;
                displaced.push(repeated);
                patch
            } else {
                call_patch(Hook::CallbackEnd, &code, end.index)
            };
            displaced.push(Displaced { hook: Hook::CallbackRelease, at, code: epilogue.clone(), back: None });
            let release = Patch {
                hook: Hook::CallbackRelease,
                function: code.name.clone(),
                at,
                original: epilogue,
                transfer: Transfer::Jump,
                frame_size: None,
            };
            return Ok(vec![
                call_patch(Hook::CallbackBegin, &code, begin),
                call_patch(Hook::CallbackAcquired, &code, acquired),
                end,
                release,
            ]);
        }
    }
    let function = "runtime.cgocallbackg".to_owned();
    Err(PlanError::Shape { function, expected: "one call each of exitsyscall and reentersyscall".into() })
}

/// Where a callback ends.
pub(super) struct EndOfCallback {
    /// Index of the instruction: the call of `reentersyscall`, or an instruction of `reentersyscall` where that is
    /// inlined.
    pub(super) index: usize,
    pub(super) inlined: bool,
}

/// Finds where `cgocallbackg` enters the system call again. Profile-guided builds of programs that call back often
/// inline `reentersyscall` there. Then the place is where it sets `g.stackguard0 = stackPreempt` (runtime/proc.go).
pub(super) fn end_of_callback(
    target: &Target<'_>,
    functions: &RuntimeFunctions<'_>,
    code: &Code<'_>,
) -> Result<EndOfCallback, PlanError> {
    const NAME: &str = "runtime.reentersyscall";
    const STACK_PREEMPT: i64 = -1314;
    if let Some(reentersyscall) = functions.reentersyscall
        && let Ok(index) = code.only_call(reentersyscall, NAME)
    {
        return Ok(EndOfCallback { index, inlined: false });
    }
    let inlined_there = |instruction: &Instruction| {
        let frames = target.pclntab.frames_at(Svma(instruction.ip()));
        frames.first().is_some_and(|frame| frame.inlined && frame.function == NAME)
    };
    let preempts = |instruction: &Instruction| {
        instruction.mnemonic() == Mnemonic::Mov
            && instruction.memory_base() == Register::R14
            && instruction.memory_displacement64() == u64::from(G_STACKGUARD0)
            && instruction.op1_kind() == OpKind::Immediate32to64
            && instruction.immediate32to64() == STACK_PREEMPT
    };
    let found = |&index: &usize| preempts(&code.instructions[index]) && inlined_there(&code.instructions[index]);
    let mut places = (0..code.instructions.len()).filter(found);
    match (places.next(), places.next()) {
        (Some(index), None) => Ok(EndOfCallback { index, inlined: true }),
        _ => Err(code.unexpected("runtime.reentersyscall called or inlined once")),
    }
}

/// Finds where `cgocallback` loads the address of the function that gets an M for a foreign thread, for the call that
/// follows. Returns the patch of the load, and that address.
pub(super) fn attach(target: &Target<'_>, functions: &RuntimeFunctions<'_>) -> Result<(Patch, Svma), PlanError> {
    let code = Code::decode(&target.binary, &functions.cgocallback)?;
    for pair in code.instructions.windows(2) {
        let (load, call) = (&pair[0], &pair[1]);
        let original = code.bytes_of(load);
        let by_register = call.flow_control() == FlowControl::IndirectCall && call.op0_register() == Register::RAX;
        let calls = by_register || by_retpoline(functions, call);
        if !(calls && original.starts_with(&LOAD_RAX) && load.is_ip_rel_memory_operand()) {
            continue;
        }
        let loaded = Svma(load.ip_rel_memory_address());
        if functions.needm.contains(&loaded) {
            code.check_no_branch_into(load.ip()..call.next_ip())?;
            let (at, original) = (Svma(load.ip()), original.to_vec());
            let function = code.name.clone();
            let transfer = Transfer::Load;
            return Ok((Patch { hook: Hook::Attach, function, at, original, transfer, frame_size: None }, loaded));
        }
    }
    Err(code.unexpected("the address of needm or needAndBindM loaded and called"))
}
