//! Checks of the frame words that carry a crossing from hook to hook: nothing may write there.

use cgoprof_symbols::Svma;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::code::Code;
use super::stack_frames::frame_size;
use crate::goruntime::Target;
use crate::goruntime::plan::PlanError;

/// Checks that `asmcgocall`'s arguments are not written again before the epilogue reads them.
pub(super) fn check_slots_stay_dead(
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

/// Checks that nothing writes the word for `asmcgocall`'s result between the enter hook and the call of `asmcgocall`:
/// the word carries the crossing there. Without inlining (`-gcflags=-l`), `cgocall` calls `osPreemptExtEnter` there,
/// which is empty on Linux (runtime/preempt_nonwindows.go).
pub(super) fn check_result_left_alone(
    target: &Target<'_>,
    cgocall: &Code<'_>,
    enter: usize,
    asm: usize,
) -> Result<(), PlanError> {
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

fn is_call(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
}

/// Whether a call leads to a function that writes nothing to its caller's frame. A function with arguments in registers
/// may write them there (Go's ABI specification, "spill space"), and does so before it grows its stack.
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
