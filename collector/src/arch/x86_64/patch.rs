//! Pieces of code that are replaced, and what replaces them.

use cgoprof_symbols::{Avma, Svma};
use iced_x86::{FlowControl, Instruction, Mnemonic, Register};

use super::code::Code;
use super::registers::Registers;
use crate::goruntime::plan::{Displaced, Hook, Patch, PlanError, Transfer};

/// `mov rcx, rbx; call rax`: how `asmcgocall` calls C up to Go 1.21.
pub(super) const CALL_C: [u8; 5] = [0x48, 0x89, 0xd9, 0xff, 0xd0];
/// `lea rax, [rip + ...]`.
pub(super) const LOAD_RAX: [u8; 3] = [0x48, 0x8d, 0x05];
/// `jmp [rip]`. The address follows it.
const FAR_JUMP: [u8; 6] = [0xff, 0x25, 0, 0, 0, 0];
/// `int3`, which is never executed.
pub(crate) const PADDING: u8 = 0xcc;

/// Returns the bytes that lead from a patch to a hook, whose addresses in memory are `at` and `hook`; none if the hook
/// is too far.
pub(crate) fn patch_bytes(patch: &Patch, at: u64, hook: u64) -> Option<Vec<u8>> {
    let opcode: &[u8] = match patch.transfer {
        Transfer::Call => &[0xe8],
        Transfer::Jump => &[0xe9],
        Transfer::Load => &LOAD_RAX,
    };
    let distance = distance(at + opcode.len() as u64 + 4, hook)?;
    let mut bytes = opcode.to_vec();
    bytes.extend(distance.to_le_bytes());
    bytes.resize(patch.original.len(), PADDING);
    Some(bytes)
}

/// Returns code for the address `start` that repeats instructions, calls a hook and jumps back; none if either is too
/// far.
pub(crate) fn repeat_and_call(repeated: &[u8], start: u64, hook: u64, back: u64) -> Option<Vec<u8>> {
    let call = start + repeated.len() as u64;
    let mut code = repeated.to_vec();
    code.push(0xe8);
    code.extend(distance(call + 5, hook)?.to_le_bytes());
    code.push(0xe9);
    code.extend(distance(call + 10, back)?.to_le_bytes());
    Some(code)
}

/// Returns code that frees a frame of this many bytes and returns: `add rsp, bytes; ret`.
pub(crate) fn free_and_return(bytes: u8) -> [u8; 5] {
    [0x48, 0x83, 0xc4, bytes, 0xc3]
}

/// Returns the distance from the end of an instruction to where it leads; none if it is too far.
pub(crate) fn distance(next: u64, to: u64) -> Option<i32> {
    i32::try_from((to as i64).wrapping_sub(next as i64)).ok()
}

/// Takes a thread that is between the instructions by which `asmcgocall` reaches C. Returns the registers with which it
/// gets there, and whether a return address must be written at their stack pointer.
pub(crate) fn in_c(registers: &Registers, original: &[u8]) -> (Registers, bool) {
    let there = registers.at(registers.called());
    if original.starts_with(&CALL_C) { (there.with_sp(registers.sp() - 8), true) } else { (there, false) }
}

/// Returns the bytes of a jump to anywhere in memory.
pub(crate) fn far_jump(to: Avma) -> Vec<u8> {
    [&FAR_JUMP[..], &to.0.to_le_bytes()].concat()
}

pub(super) fn call_patch(hook: Hook, code: &Code<'_>, index: usize) -> Patch {
    let call = &code.instructions[index];
    let original = code.bytes_of(call).to_vec();
    let (function, at) = (code.name.clone(), Svma(call.ip()));
    Patch { hook, function, at, original, transfer: Transfer::Call, frame_size: None }
}

/// Returns the patch of one instruction amid a function, and the instruction that its hook repeats.
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

/// Returns the epilogue of a function: the place and the bytes from the end of its work to its only return. The return
/// follows its last call.
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

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::*;

    /// A function that returns before it calls: the planner once panicked at it.
    #[test]
    fn a_return_before_the_last_call_is_no_epilogue() {
        let bytes = [0xc3, 0xe8, 0, 0, 0, 0, 0x90, 0x90];
        let instructions = Decoder::with_ip(64, &bytes, 0x1000, DecoderOptions::NONE).iter().collect();
        let code = Code { name: "runtime.cgocall".into(), start: Svma(0x1000), bytes: &bytes, instructions };
        assert!(matches!(epilogue(&code, 1), Err(PlanError::Shape { .. })));
    }
}
