//! The trampoline engine's plan. Every place is checked byte for byte against what it must be; any difference refuses
//! the engine. The Go version is not relied on for anything that the code itself can tell.

use cgoprof_symbols::Svma;
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;
use iced_x86::{FlowControl, Instruction, OpKind, Register};

use super::argument_slots::{check_result_left_alone, check_slots_stay_dead};
use super::code::{Code, by_retpoline};
use super::patch::{CALL_C, amid_patch, call_patch, epilogue};
use super::probes::resumption;
use super::stack_frames::{check_stack_pointer_kept, frame_layout, goroutine_slot};
use super::struct_offsets::{offsets, stores_byte};
use super::{callbacks, departures, locks, module};
use crate::goruntime::Target;
use crate::goruntime::functions::RuntimeFunctions;
use crate::goruntime::plan::{Displaced, Hook, Patch, Plan, PlanError, Transfer};

/// `mov rdi, rbx; jmp rax`: the landing pad, from Go 1.22 on.
const LANDING_PAD: [u8; 5] = [0x48, 0x89, 0xdf, 0xff, 0xe0];
/// `mov rdi, rbx`: the start of the landing pad that jumps by `retpolineAX`.
const RETPOLINE_PAD: [u8; 3] = [0x48, 0x89, 0xdf];

/// Works out the plan.
///
/// # Errors
/// See [`PlanError`]: then the engine can't be used.
pub(crate) fn plan(target: &Target<'_>) -> Result<Plan, PlanError> {
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
    let (leaving, departures) = departures::patches(target, &functions);
    patches.extend(leaving);
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
        departures,
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
        module: module::plan(target),
    })
}

/// Returns the patch of the place where a plugin has been loaded, in a program that loads plugins in the known way.
fn plugin_patch(target: &Target<'_>, functions: &RuntimeFunctions<'_>) -> Option<Patch> {
    let code = Code::decode_long(&target.binary, &functions.plugin_open?).ok()?;
    let call = code.only_call(functions.lastmoduleinit?, "plugin.lastmoduleinit").ok()?;
    Some(call_patch(Hook::PluginLoaded, &code, call))
}

/// Returns the patches where `asmcgocall` reaches C: at its landing pad, or at each of its two calls. With
/// `-spectre=ret`, an indirect jump or call goes by way of `retpolineAX` (runtime/asm_amd64.s).
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
            [load, jump, ..] if code.bytes.starts_with(&RETPOLINE_PAD) && by_retpoline(functions, jump) => {
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
        } else if by_retpoline(functions, &pair[1]) {
            patches.push(patch(asmcgocall, &pair[1], &pair[1], Transfer::Call));
        }
    }
    if patches.len() != 2 {
        return Err(asmcgocall.unexpected(format!("two of mov rcx, rbx; call rax, found {}", patches.len())));
    }
    Ok(patches)
}

/// Returns the index of the instruction of `unwindm` that stores `mp.incgo = false`. It only runs when a crossing is
/// left.
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

/// Checks that a function uses no vector register except X15, which Go keeps 0. Hooks amid a function keep the general
/// registers, the flags and X15.
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
